"""Many steps of training or evaluation as one compiled program, over rows on the device."""

import contextlib
import functools
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from kerasae.models.chunks import Chunk, on_processor
from kerasae.models.scaled_outputs import gives_scaled, scaled_outputs

# Seconds between two looks of the host at the device: progress and callbacks move on then.
EXECUTION_SECONDS = 0.5
FIRST_STEPS = 50
# The most steps that an accelerator takes without asking the host whether to go on.
BLOCK_STEPS = 256
# On JAX, Keras's `predict` donates the weights, which are gone for other threads until it returns.
ONE_AT_A_TIME: Any = (
    threading.RLock() if keras.backend.backend() == "jax" else contextlib.nullcontext()
)


class Programs:
    """The compiled programs of one model, each made once and kept until `forget`.

    Keras calls a compiled step for each batch, which costs a small model more than its matrix
    products do. Here the loop over the batches is compiled, with the gathering of the rows in it.
    It is a plain object, so that Keras does not save the programs as parts of the model.

    Args:
        model: The model whose `train_step` and `test_step` are repeated.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._made: dict[tuple, Callable[..., Any]] = {}
        self._seconds: dict[tuple[str, int], float] = {}  # of a step

    def forget(self) -> None:
        """Drops the programs, whose constants have changed."""
        self._made.clear()
        self._seconds.clear()

    def steps(self, kind: str, chunk: Chunk) -> int:
        """Steps of the next execution: about `EXECUTION_SECONDS`, as far as is known."""
        seconds = self._seconds.get((kind, chunk.batch_size))
        block = block_of(chunk.rows // chunk.batch_size)
        steps = FIRST_STEPS if not seconds else max(1, round(EXECUTION_SECONDS / seconds))
        return math.ceil(steps / block) * block

    def run(
        self,
        kind: str,
        chunk: Chunk,
        first: int,
        steps: int,
        *,
        xla: bool = False,
        meanwhile: Callable[[], None] = lambda: None,
        waits: bool = True,
    ) -> dict[str, Any]:
        """Runs some steps.

        Args:
            kind: "train" or "test".
            chunk: The rows.
            first: The first step, counted from the beginning of the chunk.
            steps: How many, the last one included.
            xla: Whether XLA may compile them, on TensorFlow.
            meanwhile: What the host does while the device is at work.
            waits: Whether it waits for the device then. It does anyway until it is known how long
                a step takes.

        Returns:
            The logs of the last step; where it does not wait, on the device.
        """
        started = time.perf_counter()
        known = len(self._made)
        full = min(first + steps, chunk.rows // chunk.batch_size)
        where = first * chunk.batch_size, full * chunk.batch_size
        rest = chunk.rows - where[1] if full < first + steps else 0
        with quiet_tracing(), ONE_AT_A_TIME:  # JAX returns before the device is done
            logs = self._run(kind, chunk, where, rest, xla)
        keras.tree.map_structure(_send, logs)
        meanwhile()
        if not waits and (kind, chunk.batch_size) in self._seconds:
            return logs
        logs = {name: _value(value) for name, value in logs.items()}  # waits for the device
        if len(self._made) == known:  # what was compiled in between says nothing of a step
            self._seconds[kind, chunk.batch_size] = (time.perf_counter() - started) / steps
        return logs

    def _run(self, kind, chunk, where, rest, xla):
        """The logs of the last step, on the device.

        Args:
            kind: "train" or "test".
            chunk: The rows.
            where: The first row and the one after the last, in the order of the chunk, of whole
                batches.
            rest: Rows of a short batch after them, or 0.
            xla: Whether XLA may compile the steps, on TensorFlow.
        """
        raise NotImplementedError(f"programs on {keras.backend.backend()}")

    def _program(self, make, kind, chunk, *options):
        key = (kind, chunk.target_is_input, *_kinds(chunk), *options)
        if key not in self._made:
            step = getattr(self._model, f"{kind}_step")
            if gives_scaled(self._model):
                step = scaled_outputs(step)
            batch_of = functools.partial(_batch, chunk.target_is_input)
            self._made[key] = make(step, batch_of, *options)
        return self._made[key]


@contextlib.contextmanager
def quiet_tracing() -> Iterator[None]:
    """Keeps TensorFlow from warning of needless retracing.

    Each model compiles functions of its own, which are the first calls that it takes for a loop
    that compiles again and again.
    """
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_not_of_retracing)
    try:
        yield
    finally:
        logger.removeFilter(_not_of_retracing)


def _not_of_retracing(record):
    return "retracing" not in record.getMessage()


def _batch(target_is_input, parts):
    """What Keras gives to a step."""
    x, y, sample_weight = parts
    return keras.utils.pack_x_y_sample_weight(x, x if target_is_input else y, sample_weight)


def _kinds(chunk):
    """Ranks and dtypes of the parts, for which a program is made."""
    return tuple(
        None if part is None else (len(part.shape), keras.backend.standardize_dtype(part.dtype))
        for part in chunk.parts
    )


def _send(value):
    """Has a value sent to the host without waiting for it."""
    if hasattr(value, "copy_to_host_async"):
        value.copy_to_host_async()


def _value(value):
    return keras.tree.map_structure(lambda one: np.asarray(one)[()], value)


def block_of(steps: int) -> int:
    """Steps whose number XLA knows: a divisor of those of a chunk, or 1 on a processor.

    An accelerator waits for the host before each turn of a loop whose end is not known.
    """
    if on_processor() or not steps:
        return 1
    block = max(n for n in range(1, BLOCK_STEPS + 1) if steps % n == 0)
    return block if block > BLOCK_STEPS // 32 else steps


def traced(function: Callable[..., None], *arguments: Any) -> None:
    """Calls a function for what it makes, on JAX without compiling each of its operations."""
    if keras.backend.backend() != "jax":
        return function(*arguments)
    import jax

    jax.eval_shape(function, *arguments)
    return None


def runs_programs(model: keras.Model) -> bool:
    """Whether a model trains on one device that programs can be compiled for."""
    backend = keras.backend.backend()
    if (
        backend not in ("tensorflow", "jax")
        or model.run_eagerly
        or keras.distribution.distribution()
    ):
        return False
    if backend == "jax":
        return model.jit_compile
    import tensorflow as tf

    # Without a strategy of the model's own, its strategy is the one in force.
    alone = model.distribute_strategy is tf.distribute.get_strategy()
    return alone and not tf.distribute.has_strategy()
