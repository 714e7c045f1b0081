"""How active the codings are, epoch by epoch."""

import os
from collections.abc import Mapping
from typing import Any

import keras

from kerasae.methods.features import average_activation


class AverageActivation(keras.callbacks.Callback):
    r"""Reports the mean activation of the codings over fixed rows after each epoch.

    $$\hat\rho_j = \frac{1}{n} \sum_{i=1}^{n} h_{ij}$$

    The mean over the codings j goes to the logs as `average_activation`, and so to the history, the
    progress bar and the callbacks that come later in the list. With a TensorBoard directory, it
    is also written there as a scalar, and the rho_hat of all codings as a histogram.

    Args:
        x: Rows in the user's units, shape (rows, *row_shape), the same every epoch.
        directory: TensorBoard directory, or None. TensorFlow is imported only if one is given.

    Raises:
        ValueError: The rows do not fit the model, when training begins.

    Reference: Ng (2011), Sparse autoencoder, CS294A lecture notes.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.sparse_autoencoder((8,), 4)
        >>> history = model.fit(np.eye(8), verbose=0, callbacks=[AverageActivation(np.eye(8))])
        >>> len(history.history["average_activation"])
        1
    """

    def __init__(self, x: Any, directory: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.x = x
        self.directory = directory
        self._writer = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._rows = self.model._checked_rows(self.x, "AverageActivation")
        if self.directory is not None:
            import tensorflow as tf  # noqa: PLC0415

            self._writer = tf.summary.create_file_writer(str(self.directory))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rho_hat = average_activation(self.model, self._rows)
        if logs is not None:
            logs["average_activation"] = rho_hat.overall
        if self._writer is not None:
            import tensorflow as tf  # noqa: PLC0415

            with self._writer.as_default(step=epoch):
                tf.summary.scalar("average_activation", rho_hat.overall)
                tf.summary.histogram("average_activation/codings", rho_hat.per_coding)
            self._writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
