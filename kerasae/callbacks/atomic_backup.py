"""Backups that a kill at any moment leaves whole."""

import os
import re
from pathlib import Path

import keras
import numpy as np
from keras import ops


class AtomicBackup(keras.callbacks.Callback):
    """Saves the state of training after each epoch, and goes on from there after a kill.

    What `keras.callbacks.BackupAndRestore` does, but a kill during the save loses nothing: the
    state is written beside its place, flushed to disk and renamed, and the epoch is part of the
    file's name, so that the two cannot disagree. Weights, optimizer and the state of noise layers
    are restored: the same call of `fit`, run again, ends with the weights it would have ended with.
    Weights that are not finite are never saved. A `fit` that ends removes its backup.

    Args:
        directory: Folder of the backup, one a run; made if need be.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; the earlier backup is whole.
        ValueError: The folder holds the backup of another model.

    Example:
        >>> import tempfile, numpy as np, kerasae
        >>> model, folder = kerasae.stacked_autoencoder((4,), (2,)), tempfile.mkdtemp()
        >>> history = model.fit(np.eye(4), callbacks=[AtomicBackup(folder)], verbose=0)
        >>> list(Path(folder).iterdir())
        []
    """

    def __init__(self, directory):
        super().__init__()
        self.directory = Path(directory)

    def _backups(self):
        """The files by their number of finished epochs, the newest last."""
        found = {}
        for path in self.directory.glob("epoch-*.weights.h5"):
            if match := re.fullmatch(r"epoch-(\d+)\.weights\.h5", path.name):
                found[int(match[1])] = path
        return dict(sorted(found.items()))

    def on_train_begin(self, logs=None):
        """Restores the newest backup, if there is one."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for left_over in self.directory.glob(".epoch-*"):
            left_over.unlink()
        if not (backups := self._backups()):
            return
        epoch, path = list(backups.items())[-1]
        try:
            # Slots of an optimizer that is not built yet would be skipped.
            self.model.optimizer.build(self.model.trainable_variables)
            self.model.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the backup does not fit this model: {reason} ({path}); expected the same "
                "architecture; try another directory"
            ) from error
        self.model._initial_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        """Saves the state, whole or not at all."""
        weights = (ops.convert_to_numpy(weight) for weight in self.model.weights)
        if not all(np.isfinite(weight).all() for weight in weights):
            return
        final = self.directory / f"epoch-{epoch + 1}.weights.h5"
        beside = self.directory / f".epoch-{epoch + 1}.{os.getpid()}.weights.h5"
        try:
            self.model.save_weights(beside, overwrite=True)
            _flush(beside)
            beside.replace(final)
            _flush(self.directory)
        finally:
            beside.unlink(missing_ok=True)
        for number, path in self._backups().items():
            if number != epoch + 1:
                path.unlink()

    def on_train_end(self, logs=None):
        """Removes the backup of a run that ended."""
        for path in self._backups().values():
            path.unlink()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
