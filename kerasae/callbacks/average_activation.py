"""How active the codings are, epoch by epoch."""

import keras

from kerasae.features import average_activation


class AverageActivation(keras.callbacks.Callback):
    r"""Reports the mean activation of the codings over fixed rows after each epoch.

    The logs, and so the history, get `average_activation`, the mean over the codings of

    $$\hat\rho_j = \frac{1}{n} \sum_{i=1}^{n} h_{ij}$$

    Args:
        x: Rows in the user's units, shape (rows, *row_shape).
        directory: Folder for TensorBoard, which gets the rho_hat of all codings as a histogram each
            epoch; or None.

    Reference: Ng (2011), Sparse autoencoder, CS294A lecture notes.

    Example:
        >>> import numpy as np, kerasae
        >>> model, x = kerasae.stacked_autoencoder((4,), (2,)), np.eye(4)
        >>> history = model.fit(x, callbacks=[AverageActivation(x)], verbose=0).history
        >>> len(history["average_activation"])
        1
    """

    def __init__(self, x, directory=None):
        super().__init__()
        self.x = x
        self.directory = directory
        self._writer = None

    def on_epoch_end(self, epoch, logs=None):
        """Puts the mean activation into the logs."""
        activation = average_activation(self.model, self.x)
        if logs is not None:
            logs["average_activation"] = activation.overall
        if self.directory is not None:
            self._write(epoch, activation)

    def _write(self, epoch, activation):
        import tensorflow as tf  # noqa: PLC0415

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.directory))
        with self._writer.as_default():
            tf.summary.histogram("average activation", activation.per_coding, step=epoch)
            tf.summary.scalar("average activation, overall", activation.overall, step=epoch)
        self._writer.flush()
