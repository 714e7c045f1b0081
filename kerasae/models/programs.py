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

from kerasae.models.chunks import Chunk, each, on_processor
from kerasae.models.scaled_outputs import gives_scaled, scaled_outputs
from kerasae.models.xla import convolves

# Seconds between two looks of the host at the device: progress and callbacks move on then.
EXECUTION_SECONDS = 0.5
FIRST_STEPS = 50
# The most steps that an accelerator takes without asking the host whether to go on.
BLOCK_STEPS = 256
# Rows times weights of a short last batch up to which no kernels are tried out for it on a GPU,
# which takes most of the compiler's time: on an H200, 1.4 s and then 1.9 ms a step of 2,656 rows of
# 1000-500-250-30, against 11.5 s and 1.5 ms. With 90 times the weights it took a third of a second.
UNTUNED = 2e10

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
        self._seconds: dict[str, float] = {}
        self.xla_failed = False

    def forget(self) -> None:
        """Drops the programs, whose constants have changed."""
        self._made.clear()
        self._seconds.clear()
        self.xla_failed = False

    def steps(self, kind: str, chunk: Chunk) -> int:
        """Steps of the next execution: about `EXECUTION_SECONDS`, as far as is known."""
        seconds, block = self._seconds.get(kind), _block(chunk.rows // chunk.batch_size)
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
    ) -> dict[str, Any]:
        """Runs some steps.

        Args:
            kind: "train" or "test".
            chunk: The rows.
            first: The first step, counted from the beginning of the chunk.
            steps: How many, the last one included.
            xla: Whether XLA may compile them, on TensorFlow.

        Returns:
            The logs of the last step.
        """
        started = time.perf_counter()
        known = len(self._made)
        full = min(first + steps, chunk.rows // chunk.batch_size)
        where = first * chunk.batch_size, full * chunk.batch_size
        rest = chunk.rows - where[1] if full < first + steps else 0
        with quiet_tracing(), ONE_AT_A_TIME:  # JAX returns before the device is done
            if keras.backend.backend() == "jax":
                logs = self._run_on_jax(kind, chunk, where, rest)
            else:
                logs = self._run_on_tensorflow(kind, chunk, where, rest, xla)
        keras.tree.map_structure(_send, logs)
        logs = {name: _value(value) for name, value in logs.items()}  # waits for the device
        if len(self._made) == known:  # what was compiled in between says nothing of a step
            self._seconds[kind] = (time.perf_counter() - started) / steps
        return logs

    def _program(self, make, kind, chunk, *options):
        key = (kind, chunk.target_is_input, *_kinds(chunk), *options)
        if key not in self._made:
            step = getattr(self._model, f"{kind}_step")
            if gives_scaled(self._model):
                step = scaled_outputs(step)
            batch_of = functools.partial(_batch, chunk.target_is_input)
            self._made[key] = make(step, batch_of, *options)
        return self._made[key]

    # TensorFlow: the state is in variables ------------------------------------------------------

    def _run_on_tensorflow(self, kind, chunk, where, rest, xla):
        import tensorflow as tf

        logs, size = {}, chunk.batch_size
        for first, end, rows in ((*where, size), (where[1], where[1] + rest, rest)):
            if end <= first:
                continue
            # A short last batch is one step an epoch: not worth another run of the compiler.
            jit = self._model.jit_compile or (xla and rows == size and not self.xla_failed)
            try:
                program = self._program(_on_tensorflow, kind, chunk, bool(jit))
                logs = program(chunk, first, end, rows)
            except tf.errors.OpError:
                if not jit or self._model.jit_compile:
                    raise
                # Some layer has an operation that XLA does not know; no step was taken.
                self.xla_failed = True
                program = self._program(_on_tensorflow, kind, chunk, False)
                logs = program(chunk, first, end, rows)
        return logs

    # JAX: the state goes through the program ----------------------------------------------------

    def _run_on_jax(self, kind, chunk, where, rest):
        model = self._model
        groups = [model.trainable_variables, model.non_trainable_variables]
        groups += [model.optimizer.variables] if kind == "train" else []
        groups += [model.metrics_variables]
        state = tuple([variable.value for variable in group] for group in groups)
        program = self._program_on_jax(kind, chunk, where)
        logs, state = program(state, chunk, *where, bool(rest))
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return logs

    def _program_on_jax(self, kind, chunk, where):
        make = _on_jax_by_steps if convolves(self._model) else _on_jax
        block = _block(chunk.rows // chunk.batch_size)
        if any(row % (block * chunk.batch_size) for row in where):  # steps that were asked for
            block = _block(math.gcd(*where) // chunk.batch_size)
        short = chunk.rest, chunk.rest * self._model.count_params() < UNTUNED
        return self._program(make, kind, chunk, chunk.batch_size, short, block)


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


def _on_tensorflow(step, batch_of, jit_compile):
    import tensorflow as tf

    # Fits on other numbers of rows take the same loop, but those that XLA compiles for each.
    @tf.function(autograph=False, jit_compile=jit_compile, reduce_retracing=True)
    def loop(parts, order, first, end, size):
        one_step = tf.function(step, autograph=False)
        length = size if isinstance(size, int) else None
        specs = each(lambda part: tf.TensorSpec((length, *part.shape[1:]), part.dtype), parts)
        outputs = one_step.get_concrete_function(batch_of(specs)).structured_outputs
        logs = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), outputs)

        def body(row, _):
            index = tf.slice(order, [row], [size])
            return row + size, one_step(batch_of(each(lambda part: tf.gather(part, index), parts)))

        # One iteration after the other: each reads the weights that the last one wrote. Of the row
        # itself, as XLA would compile a loop for each value that a slice is computed from.
        start = first, logs
        return tf.while_loop(lambda row, _: row < end, body, start, parallel_iterations=1)[1]

    def program(chunk, first, end, size):
        # As tensors: a Python number would be compiled into a loop of its own. XLA has to know the
        # rows of a step.
        where = tf.constant(first), tf.constant(end)
        return loop(chunk.parts, chunk.order, *where, size if jit_compile else tf.constant(size))

    return program


def _block(steps):
    """Steps whose number XLA knows: a divisor of those of a chunk, or 1 on a processor.

    An accelerator waits for the host before each turn of a loop whose end is not known.
    """
    if on_processor() or not steps:
        return 1
    block = max(n for n in range(1, BLOCK_STEPS + 1) if steps % n == 0)
    return block if block > BLOCK_STEPS // 32 else steps


def _on_jax(step, batch_of, size, short_batch, block):
    import jax

    rest_size, quick = short_batch
    one = _step_on_jax(step, batch_of)

    # The state is not donated: other threads may be at work with these weights.
    @jax.jit
    def loop(state, rows, first, blocks, rest):
        def run_block(i, carry):
            row = first + i * block * size
            take = lambda j, carry: one(carry[0], rows, row + j * size, size)  # noqa: E731
            return jax.lax.fori_loop(0, block, take, carry)

        _, logs = jax.eval_shape(lambda: one(state, rows, first, size))
        logs = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), logs)
        carry = jax.lax.fori_loop(0, blocks, run_block, (state, logs))
        # On a processor one program takes the short last batch, too, where it is reached.
        if rest_size and on_processor():
            end = first + blocks * block * size
            last = lambda carry: one(carry[0], rows, end, rest_size)  # noqa: E731
            carry = jax.lax.cond(rest, last, lambda carry: carry, carry)
        return carry

    # Elsewhere that one step an epoch is a program of its own.
    untuned = {"xla_gpu_autotune_level": 0}
    quick = untuned if quick and jax.default_backend() == "gpu" else None
    short = jax.jit(one, static_argnums=3, compiler_options=quick)

    def program(state, chunk, first, end, rest):
        state, rows = _committed(state, chunk)
        blocks, apart = (end - first) // (block * size), rest and not on_processor()
        logs = None
        if blocks or not apart:
            state, logs = loop(state, rows, first, blocks, rest)
        if apart:
            state, logs = short(state, rows, end, rest_size)
        return logs, state

    return program


def _on_jax_by_steps(step, batch_of, size, short_batch, _):
    import jax

    one = jax.jit(_step_on_jax(step, batch_of), static_argnums=3)

    def program(state, chunk, first, end, rest):
        state, rows = _committed(state, chunk)
        for row in range(first, end, size):
            state, logs = one(state, rows, row, size)
        if rest:
            state, logs = one(state, rows, end, short_batch[0])
        return logs, state

    return program


def _committed(state, chunk):
    """State and rows, all bound to the device: JAX compiles anew where that changes."""
    import jax

    device = jax.local_devices()[0]
    bound = lambda value: value if value.committed else jax.device_put(value, device)  # noqa: E731
    return jax.tree.map(bound, (state, (chunk.parts, chunk.order)))


def _step_on_jax(step, batch_of):
    import jax

    def one(state, rows, row, size):
        parts, order = rows
        index = jax.lax.dynamic_slice_in_dim(order, row, size)
        take = functools.partial(jax.numpy.take, indices=index, axis=0, mode="clip")
        logs, new_state = step(state, batch_of(jax.tree.map(take, parts)))
        return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new_state)), logs

    return one


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
