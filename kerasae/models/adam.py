"""Adam by one operation a weight, on TensorFlow."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("kerasae")
class FusedAdam(keras.optimizers.Adam):
    """Keras's Adam, to the same weights up to rounding, in one operation a weight on TensorFlow.

    Keras writes Adam out in a dozen operations, each of which goes over all weights and is traced
    and compiled anew for every one of them. TensorFlow has one kernel that goes over them once.
    On other backends, where the compiler joins the operations, it is Keras's Adam.

    Args: those of `keras.optimizers.Adam`.

    Reference: Kingma and Ba (2015), Adam: a method for stochastic optimization.

    Example:
        >>> import kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4,))
        >>> model.compile(FusedAdam(0.01))
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Applies one gradient to its weight."""
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        if isinstance(gradient, tf.IndexedSlices):
            return super().update_step(gradient, variable, learning_rate)
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        as_weight = lambda number: tf.cast(number, variable.dtype)  # noqa: E731
        beta_1, beta_2 = as_weight(self.beta_1), as_weight(self.beta_2)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=as_weight(learning_rate),
            beta1=beta_1,
            beta2=beta_2,
            epsilon=as_weight(self.epsilon),
            grad=as_weight(gradient),
        )
        return None
