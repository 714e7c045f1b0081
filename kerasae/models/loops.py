"""Many steps as one compiled program, on rows that lie on the device."""

import functools

import keras
from keras.src.trainers.trainer import model_supports_jit

# Steps from which XLA saves a processor more time than it takes to compile.
XLA_STEPS = 1000


class Loops:
    """The compiled loops of one model, each made once.

    Keras calls a compiled step for each batch, which costs a small model more than its matrix
    products do. Here the loop itself is compiled, with the gathering of the rows inside it.
    It is a plain object, so that Keras does not save the compiled functions as parts of the model.

    Args:
        model: The model whose `train_step` and `test_step` are repeated.
        steps: Whether the steps of an execution are to be chosen here.
        jit: Whether the use of XLA is to be chosen here.
    """

    def __init__(self, model, steps=False, jit=False):
        self.automatic_steps = steps
        self.automatic_jit = jit
        self._model = model
        self._made = {}

    def train(self, rows, epochs):
        """What stands in for Keras's `train_function` in a `fit` of that many epochs."""
        large = rows.num_batches * epochs >= XLA_STEPS and model_supports_jit(self._model)
        # A short last batch is one step an epoch: not worth another run of the compiler.
        return self._function(self._model.train_step, rows, rows.batch_size if large else None)

    def test(self, rows):
        """What stands in for Keras's `test_function`."""
        return self._function(self._model.test_step, rows, None)

    def _function(self, step, rows, size_for_xla):
        def loop(size):
            jit = self._model.jit_compile or (self.automatic_jit and size == size_for_xla)
            key = step.__name__, jit
            if key not in self._made:
                self._made[key] = BACKENDS[keras.backend.backend()](step, jit)
            return self._made[key]

        def on_tensorflow(iterator):
            for first, steps, size in rows.advance():
                logs = loop(size)(rows.parts, rows.order, first, steps, size)
            return logs

        def on_jax(state, iterator):
            for first, steps, size in rows.advance():
                where = {"first": first, "steps": steps, "size": size}
                state, logs = loop(size)(state, rows.parts, rows.order, **where)
            return logs, state

        return on_jax if keras.backend.backend() == "jax" else on_tensorflow


# Over rows, targets and weights, of which some may be None.
each = functools.partial(keras.tree.map_structure, none_is_leaf=False)


def _on_tensorflow(step, jit_compile):
    import tensorflow as tf

    @tf.function(autograph=False, jit_compile=jit_compile)
    def loop(parts, order, first, end, size):
        one_step = tf.function(step, autograph=False)
        batch = each(lambda part: tf.TensorSpec((size, *part.shape[1:]), part.dtype), parts)
        specs = one_step.get_concrete_function(batch).structured_outputs
        logs = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), specs)

        def body(row, _):
            index = tf.slice(order, [row], [size])
            return row + size, one_step(each(lambda part: tf.gather(part, index), parts))

        # One iteration after the other: each reads the weights that the last one wrote. Of the row
        # itself, as XLA would compile a loop for each value that a slice is computed from.
        start = first, logs
        return tf.while_loop(lambda row, _: row < end, body, start, parallel_iterations=1)[1]

    def call(parts, order, first, steps, size):
        # As tensors: a Python number would be compiled into a loop of its own.
        return loop(parts, order, tf.constant(first), tf.constant(first + steps * size), size)

    return call


def _on_jax(step, _):
    import jax

    step = jax.jit(step)

    @functools.partial(jax.jit, donate_argnums=0, static_argnames="size")
    def loop(state, parts, order, *, first, steps, size):
        def batch(i):
            index = jax.lax.dynamic_slice_in_dim(order, first + i * size, size)
            take = functools.partial(jax.numpy.take, indices=index, axis=0, mode="clip")
            return jax.tree.map(take, parts)

        def body(i, carry):
            logs, new_state = step(carry[0], batch(i))
            return jax.tree.unflatten(structure, jax.tree.leaves(new_state)), logs

        structure = jax.tree.structure(state)
        logs, _ = jax.eval_shape(step, state, batch(0))
        logs = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), logs)
        return jax.lax.fori_loop(0, steps, body, (state, logs))

    return loop


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


BACKENDS = {"tensorflow": _on_tensorflow, "jax": _on_jax}


def on_one_device(model):
    """Whether a model trains on one device that these loops can be compiled for."""
    backend = keras.backend.backend()
    if backend not in BACKENDS or model.run_eagerly or keras.distribution.distribution():
        return False
    if backend == "jax":
        return model.jit_compile
    import tensorflow as tf

    return model._distribute_strategy is None and not tf.distribute.has_strategy()
