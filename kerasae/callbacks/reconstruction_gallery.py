"""Pictures of fixed rows while a model learns to reconstruct them."""

import io
import os
from pathlib import Path

import keras
from keras import ops

from kerasae import plots
from kerasae.door import check_count
from kerasae.layers.scaling import scale, unscale


class ReconstructionGallery(keras.callbacks.Callback):
    """Draws fixed rows beside their reconstructions every few epochs.

    Where the encoder corrupts its inputs, the rows are corrupted once, at the start, and the
    pictures show original, corrupted and the reconstruction of the corrupted rows. The noise of the
    training itself stays what it would be without pictures.

    Args:
        x: Rows in the user's units, shape (rows, columns); ten at most are legible.
        directory: Folder of the pictures, `epoch_0010.png` after the tenth epoch; made if need be.
        every: Epochs from one picture to the next.
        image_shape: (height, width) of the image that a row holds; None draws curves.
        tensorboard: Folder for TensorBoard, which gets the same pictures; or None.

    Raises:
        ValueError: `every` is not a whole number of at least 1.

    Example:
        >>> import tempfile, numpy as np, kerasae
        >>> model, x = kerasae.stacked_autoencoder((4,), (2,)), np.eye(4)
        >>> gallery = ReconstructionGallery(x, tempfile.mkdtemp(), every=1)
        >>> history = model.fit(x, callbacks=[gallery], verbose=0)
        >>> [path.name for path in gallery.directory.iterdir()]
        ['epoch_0001.png']
    """

    def __init__(self, x, directory, every=10, image_shape=None, tensorboard=None):
        super().__init__()
        check_count("every", every)
        self.x = x
        self.directory = Path(directory)
        self.every = every
        self.image_shape = image_shape
        self.tensorboard = tensorboard
        self._corrupted = self._writer = None

    def on_train_begin(self, logs=None):
        """Draws the corruption that all pictures share."""
        self.directory.mkdir(parents=True, exist_ok=True)
        model = self.model
        self.x = model.checked_rows(self.x, "x")
        layer = next((one for one in model.encoder.layers if hasattr(one, "corrupt")), None)
        if layer is not None:
            state = ops.convert_to_numpy(layer.seed_generator.state)
            noisy = layer.corrupt(scale(model.scaler, self.x))
            layer.seed_generator.state.assign(state)
            self._corrupted = ops.convert_to_numpy(unscale(model.scaler, noisy))

    def on_epoch_end(self, epoch, logs=None):
        """Draws the picture of every `every`-th epoch."""
        if (epoch + 1) % self.every:
            return
        if self._corrupted is None:
            figure = plots.reconstructions(
                self.x, self.model.reconstruct(self.x), image_shape=self.image_shape
            )
        else:
            figure = plots.corrupted_triples(
                self.x,
                self._corrupted,
                self.model.reconstruct(self._corrupted),
                image_shape=self.image_shape,
            )
        picture = io.BytesIO()
        figure.savefig(picture, dpi=120, format="png")
        final = self.directory / f"epoch_{epoch + 1:04}.png"
        beside = final.with_name(f".{final.name}.{os.getpid()}")
        beside.write_bytes(picture.getvalue())
        beside.replace(final)
        if self.tensorboard is not None:
            self._write(epoch, picture.getvalue())

    def _write(self, epoch, picture):
        import tensorflow as tf  # noqa: PLC0415

        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.tensorboard))
        with self._writer.as_default():
            tf.summary.image("reconstructions", tf.io.decode_png(picture)[None], step=epoch)
        self._writer.flush()
