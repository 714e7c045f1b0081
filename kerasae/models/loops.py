"""Many steps as one compiled program, on rows that lie on the device."""

import functools
import math

import keras
from keras.src.trainers.trainer import model_supports_jit

# Steps from which XLA saves a processor more time than it takes to compile.
XLA_STEPS = 1000
# An execution, after which callbacks are called and progress is shown, is a tenth of an epoch, but
# not fewer steps than pay for its start.
EXECUTIONS, STEPS = 10, 50
BATCH_HOOKS = [f"on_{of}batch_{at}" for of in ("train_", "test_", "") for at in ("begin", "end")]


class Loops:
    """The compiled loops of one model, each made once.

    Keras calls a compiled step for each batch, which costs a small model more than its matrix
    products do. Here the loop itself is compiled, with the gathering of the rows inside it.
    It is a plain object, so that Keras does not save the compiled functions as parts of the model.

    Args:
        model: The model whose `train_step` and `test_step` are repeated.

    Attributes:
        replaced: Keras's own functions and steps, while a `fit` or `evaluate` has others there.
    """

    def __init__(self, model):
        self.replaced = None
        self._model = model
        self._made = {}

    def choose(self, steps, jit):
        """Begins anew for a compiled model.

        Args:
            steps: Whether the steps of an execution are to be chosen here.
            jit: Whether the use of XLA is to be chosen here.
        """
        self.automatic_steps = steps
        self.automatic_jit = jit
        self.xla_failed = False
        self.forget()

    def forget(self):
        """Drops the compiled loops, whose constants have changed."""
        self._made.clear()

    def steps(self, rows, batch_size, callbacks):
        """Steps an execution: 1 where someone's own callback looks at the batches."""
        if not self.automatic_steps:
            return self._model.steps_per_execution
        callbacks = getattr(callbacks, "callbacks", callbacks)  # of a CallbackList
        if any(map(_looks_at_batches, keras.tree.flatten(callbacks or ()))):
            return 1
        return max(STEPS, math.ceil(math.ceil(rows / batch_size) / EXECUTIONS))

    def train(self, rows, epochs):
        """What stands in for Keras's `train_function` in a `fit` of that many epochs."""
        long = self.automatic_jit and rows.num_batches * epochs >= XLA_STEPS
        xla = long and not self.xla_failed and _gains_by_xla(self._model)
        # A short last batch is one step an epoch: not worth another run of the compiler.
        return self._function("train_step", rows, rows.batch_size if xla else None)

    def test(self, rows):
        """What stands in for Keras's `test_function`."""
        return self._function("test_step", rows, None)

    def _function(self, name, rows, size_for_xla):
        ranks = each(lambda part: len(part.shape), rows.parts)

        def loop(size):
            jit = self._model.jit_compile or size == size_for_xla
            key = name, jit, rows.target_is_input, ranks
            if key not in self._made:
                step = getattr(self._model, name)
                of = functools.partial(_batch, rows.target_is_input)
                if keras.backend.backend() == "jax":
                    make = _on_jax_by_steps if _convolves(self._model) else _on_jax
                    self._made[key] = make(step, of)
                else:
                    self._made[key] = _on_tensorflow(step, of, jit)
            return self._made[key]

        def on_tensorflow(iterator):
            import tensorflow as tf

            nonlocal size_for_xla
            for first, steps, size in rows.advance():
                where = rows.parts, rows.order, first, steps, size
                try:
                    logs = loop(size)(*where)
                except tf.errors.OpError:
                    if size != size_for_xla:
                        raise
                    # Some layer has an operation that XLA does not know; no step was taken.
                    size_for_xla, self.xla_failed = None, True
                    logs = loop(size)(*where)
            return logs

        def on_jax(state, iterator):
            for first, steps, size in rows.advance():
                where = {"first": first, "steps": steps, "size": size}
                state, logs = loop(size)(state, rows.parts, rows.order, **where)
            return logs, state

        return on_jax if keras.backend.backend() == "jax" else on_tensorflow


def _convolves(model):
    """Whether there are convolutions, which XLA makes slow in a loop on a processor, on JAX too."""
    weights = (*model.encoder.weights, *model.decoder.weights)
    return on_processor() and any(len(weight.shape) > 2 for weight in weights)


def _gains_by_xla(model):
    """Not convolutions, a sort of all codings, and noise on all inputs: up to nine times slower."""
    slow = (keras.layers.GaussianNoise, keras.layers.GaussianDropout)
    layers = model._flatten_layers()
    return (
        model_supports_jit(model)
        and not _convolves(model)
        and not any(isinstance(one, slow) or getattr(one, "slow_in_xla", False) for one in layers)
    )


def _looks_at_batches(callback):
    if getattr(callback, "update_freq", "epoch") != "epoch":  # of TensorBoard
        return True
    modules = [getattr(callback, hook).__module__ for hook in BATCH_HOOKS]
    return any(str(m).split(".")[0] not in ("keras", "kerasae", "keras_tuner") for m in modules)


# Over rows, targets and weights, of which some may be None.
each = functools.partial(keras.tree.map_structure, none_is_leaf=False)


def _batch(target_is_input, parts):
    """What Keras gives to a step."""
    x, y, sample_weight = parts
    return keras.utils.pack_x_y_sample_weight(x, x if target_is_input else y, sample_weight)


def _on_tensorflow(step, batch_of, jit_compile):
    import tensorflow as tf

    # Fits on other numbers of rows take the same loop, but those that XLA compiles for each.
    @tf.function(autograph=False, jit_compile=jit_compile, reduce_retracing=True)
    def loop(parts, order, first, end, size):
        one_step = tf.function(step, autograph=False)
        length = size if isinstance(size, int) else None
        specs = each(lambda part: tf.TensorSpec((length, *part.shape[1:]), part.dtype), parts)
        answer = one_step.get_concrete_function(batch_of(specs)).structured_outputs
        logs = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), answer)

        def body(row, _):
            index = tf.slice(order, [row], [size])
            return row + size, one_step(batch_of(each(lambda part: tf.gather(part, index), parts)))

        # One iteration after the other: each reads the weights that the last one wrote. Of the row
        # itself, as XLA would compile a loop for each value that a slice is computed from.
        start = first, logs
        return tf.while_loop(lambda row, _: row < end, body, start, parallel_iterations=1)[1]

    def call(parts, order, first, steps, size):
        # As tensors: a Python number would be compiled into a loop of its own. XLA has to know the
        # rows of a step.
        where = tf.constant(first), tf.constant(first + steps * size)
        return loop(parts, order, *where, size if jit_compile else tf.constant(size))

    return call


def _on_jax(step, batch_of):
    import jax

    one = _step_on_jax(step, batch_of)

    @functools.partial(jax.jit, donate_argnums=0, static_argnames="size")
    def loop(state, parts, order, *, first, steps, size):
        def body(i, carry):
            return one(carry[0], parts, order, first + i * size, size)

        _, logs = jax.eval_shape(lambda: one(state, parts, order, first, size))
        logs = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), logs)
        return jax.lax.fori_loop(0, steps, body, (state, logs))

    return loop


def _on_jax_by_steps(step, batch_of):
    import jax

    one = jax.jit(_step_on_jax(step, batch_of), donate_argnums=0, static_argnums=4)

    def call(state, parts, order, *, first, steps, size):
        for row in range(first, first + steps * size, size):
            state, logs = one(state, parts, order, row, size)
        return state, logs

    return call


def _step_on_jax(step, batch_of):
    import jax

    def one(state, parts, order, row, size):
        index = jax.lax.dynamic_slice_in_dim(order, row, size)
        take = functools.partial(jax.numpy.take, indices=index, axis=0, mode="clip")
        logs, new_state = step(state, batch_of(jax.tree.map(take, parts)))
        return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new_state)), logs

    return one


def in_place(array):
    """A tensor in an array's own memory, which must begin at a multiple of 64 bytes."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.dlpack.from_dlpack(array)
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def on_processor():
    """Whether all devices are processors, whose memory the rows are in."""
    return all(device.startswith("cpu") for device in keras.distribution.list_devices())


def on_one_device(model):
    """Whether a model trains on one device that these loops can be compiled for."""
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

    return model._distribute_strategy is None and not tf.distribute.has_strategy()
