"""Many steps of training or evaluation as one compiled program, over rows on the device."""

import contextlib
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae.layers.base import autoencoder_layers, walk
from kerasae.models.adam import FusedAdam
from kerasae.models.chunks import Chunk, each, on_processor

# Rules for TensorFlow on a processor, measured on an AMD EPYC: the steps of a fit from which on XLA
# saves more time than it takes to compile, which it does later where the update is fused anyway;
# and XLA draws normal numbers slowly.
XLA_STEPS, XLA_STEPS_FUSED = 1000, 5000
XLA_NORMALS = 50
# Seconds between two looks of the host at the device: progress and callbacks move on then.
EXECUTION_SECONDS = 0.5
FIRST_STEPS = 50

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

    def steps(self, kind: str) -> int:
        """Steps of the next execution: about `EXECUTION_SECONDS`, as far as is known."""
        seconds = self._seconds.get(kind)
        return FIRST_STEPS if not seconds else max(1, round(EXECUTION_SECONDS / seconds))

    def run(
        self, kind: str, chunk: Chunk, first: int, steps: int, *, xla: bool = False
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
        make = _on_jax_by_steps if _convolves(model) else _on_jax
        program = self._program(make, kind, chunk, chunk.batch_size, chunk.rest)
        logs, state = program(state, chunk, *where, bool(rest))
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return logs


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


def gains_by_xla(model: keras.Model, steps: float) -> bool:
    """Whether XLA saves a fit on TensorFlow and a processor more time than it takes to compile."""
    layers = list(walk(model))
    normals = sum(layer.normals_per_row for layer in autoencoder_layers(model))
    keras_noise = (keras.layers.GaussianNoise, keras.layers.GaussianDropout)
    least = XLA_STEPS_FUSED if isinstance(model.optimizer, FusedAdam) else XLA_STEPS
    return (
        steps >= least
        and not (has_matrix_units() and any(map(_in_bfloat16, layers)))
        and all(layer.supports_jit for layer in layers)
        and not _convolves(model)
        and not any(isinstance(layer, keras_noise) for layer in layers)
        and not any(layer.sorts for layer in autoencoder_layers(model))
        and normals <= XLA_NORMALS
    )


@functools.cache
def has_matrix_units() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in units for it, which XLA leaves."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _in_bfloat16(layer):
    return getattr(layer, "compute_dtype", None) == "bfloat16"


def _convolves(model):
    """Whether there are convolutions, which XLA makes slow in a loop on a processor, on JAX too."""
    return on_processor() and any(len(weight.shape) > 2 for weight in model.weights)


# While a step runs in a program, models give scaled values: the loss is taken on them, and needs no
# unscaling and scaling again. Of one thread and one trace, so that other calls are not affected.
_scaled_outputs = contextvars.ContextVar("scaled_outputs", default=False)


def outputs_are_scaled() -> bool:
    """Whether a model's output is to stay scaled, for its loss and metrics."""
    return _scaled_outputs.get()


def gives_scaled(model):
    """Whether no method that a user wrote would see scaled values."""
    methods = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
    modules = (getattr(getattr(model, method), "__module__", "") for method in methods)
    return all(str(module).split(".")[0] in ("keras", "kerasae") for module in modules)


def scaled_outputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with models that give scaled values while it runs."""

    def with_scaled(*arguments):
        token = _scaled_outputs.set(True)
        try:
            return function(*arguments)
        finally:
            _scaled_outputs.reset(token)

    return with_scaled


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


def _on_jax(step, batch_of, size, rest_size):
    import jax

    one = _step_on_jax(step, batch_of)

    # One program for all batches, the short last one included, which runs where it is reached.
    # The state is not donated: other threads may be at work with these weights.
    @jax.jit
    def loop(state, rows, first, end, rest):
        def body(i, carry):
            return one(carry[0], rows, first + i * size, size)

        _, logs = jax.eval_shape(lambda: one(state, rows, first, size))
        logs = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), logs)
        carry = jax.lax.fori_loop(0, (end - first) // size, body, (state, logs))
        if rest_size:
            last = lambda carry: one(carry[0], rows, end, rest_size)  # noqa: E731
            carry = jax.lax.cond(rest, last, lambda carry: carry, carry)
        return carry

    def program(state, chunk, first, end, rest):
        state, logs = loop(*_committed(state, chunk), first, end, rest)
        return logs, state

    return program


def _on_jax_by_steps(step, batch_of, size, rest_size):
    import jax

    one = jax.jit(_step_on_jax(step, batch_of), static_argnums=3)

    def program(state, chunk, first, end, rest):
        state, rows = _committed(state, chunk)
        for row in range(first, end, size):
            state, logs = one(state, rows, row, size)
        if rest:
            state, logs = one(state, rows, end, rest_size)
        return logs, state

    return program


def _committed(state, chunk):
    """State and rows, all bound to the device: JAX compiles anew where that changes."""
    import jax

    return jax.device_put((state, (chunk.parts, chunk.order)), jax.local_devices()[0])


def _step_on_jax(step, batch_of):
    import jax

    def one(state, rows, row, size):
        parts, order = rows
        index = jax.lax.dynamic_slice_in_dim(order, row, size)
        take = functools.partial(jax.numpy.take, indices=index, axis=0, mode="clip")
        logs, new_state = step(state, batch_of(jax.tree.map(take, parts)))
        return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new_state)), logs

    return one


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
