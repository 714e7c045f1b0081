"""Pictures of the reconstructions of a few rows, while a model learns."""

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae import plots
from kerasae.atomic import write_file
from kerasae.layers.base import walk
from kerasae.layers.corruption import Corruption
from kerasae.layers.scaling import scale, unscale
from kerasae.validation import check_count


class ReconstructionGallery(keras.callbacks.Callback):
    """Draws fixed rows and their reconstructions every few epochs, and after the last.

    Where the encoder has a `Corruption` layer, the rows are drawn three times: original,
    corrupted, and the reconstruction of the corrupted. The corruption is the same in every picture
    and is drawn from a copy of the layer, so that training goes on as without the gallery. The
    files are called `epoch_0010.png` after epoch 10 and appear whole or not at all.

    Args:
        x: Rows in the user's units, shape (rows, *row_shape); ten at most are legible.
        directory: Folder of the pictures; made if need be.
        every: Epochs from one picture to the next, a whole number of at least 1.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds;
            None draws a row as a curve over its columns.
        tensorboard: TensorBoard directory for the same pictures, or None. TensorFlow is imported
            only if one is given.

    Raises:
        ValueError: `every` is not such a number, or the rows do not fit the model.
        OSError: The disk is full or not writable.

    Example:
        >>> import tempfile, numpy as np, kerasae
        >>> model = kerasae.denoising_autoencoder((8,), 4)
        >>> gallery = ReconstructionGallery(np.eye(8), tempfile.mkdtemp(), image_shape=(2, 4))
        >>> history = model.fit(np.eye(8), epochs=2, verbose=0, callbacks=[gallery])
        >>> [path.name for path in gallery.directory.iterdir()]
        ['epoch_0002.png']
    """

    def __init__(
        self,
        x: Any,
        directory: str | os.PathLike[str],
        every: int = 10,
        image_shape: tuple[int, ...] | None = None,
        tensorboard: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        check_count("every", every)
        self.x = x
        self.directory = Path(directory)
        self.every = every
        self.image_shape = image_shape
        self.tensorboard = tensorboard
        self._writer = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._originals = self.model._checked_rows(self.x, "ReconstructionGallery")
        self._corrupted = corrupted_rows(self.model, self._originals)
        if self.tensorboard is not None:
            import tensorflow as tf  # noqa: PLC0415

            self._writer = tf.summary.create_file_writer(str(self.tensorboard))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        done = epoch + 1
        if done % self.every and done != self.params.get("epochs"):
            return
        buffer = io.BytesIO()
        self._figure().savefig(buffer, format="png", dpi=120)
        path = self.directory / f"epoch_{done:04}.png"
        write_file(path, lambda file: file.write_bytes(buffer.getvalue()))
        if self._writer is not None:
            import tensorflow as tf  # noqa: PLC0415

            image = tf.io.decode_png(buffer.getvalue(), channels=3)
            with self._writer.as_default(step=epoch):
                tf.summary.image("reconstructions", image[None])
            self._writer.flush()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()

    def _figure(self):
        if self._corrupted is None:
            rows = [self._originals, self.model.reconstruct(self._originals)]
        else:
            rows = [self._originals, self._corrupted, self.model.reconstruct(self._corrupted)]
        if self.image_shape is None:
            # Columns of a table have units of their own: only their scaled values share an axis.
            rows = [ops.convert_to_numpy(scale(self.model.scaler, part)) for part in rows]
        draw = plots.reconstructions if self._corrupted is None else plots.corrupted_triples
        return draw(*rows, self.image_shape)


def corrupted_rows(model: Any, rows: np.ndarray) -> np.ndarray | None:
    """The rows after a copy of the model's corruption, or None if the model has none.

    Args:
        model: An `Autoencoder`.
        rows: Rows in the user's units, shape (rows, *row_shape).

    Returns:
        Corrupted rows in the user's units, the same in every call.
    """
    layers = [layer for layer in walk(model.encoder) if isinstance(layer, Corruption)]
    if not layers:
        return None
    scaled = scale(model.scaler, rows)
    for layer in layers:
        # A copy with a seed of its own: drawing from the layer would move its seed on.
        config = layer.get_config()
        scaled = layer.from_config({**config, **({"seed": 0} if "seed" in config else {})}).corrupt(
            scaled
        )
    return ops.convert_to_numpy(unscale(model.scaler, scaled))
