"""A backup of the training state that no kill can spoil."""

import contextlib
import json
import math
import os
import random
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.atomic import remove_partials, write_file
from kerasae.models.training import Position

# Attributes that Keras's counting and comparing callbacks keep between epochs.
COUNTERS = (
    *("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter", "first_loss"),
    *("first_mse", "worst", "_weight_limit"),
)


class AtomicBackup(keras.callbacks.Callback):
    """Lets a `fit` that was killed go on where it was, to the same weights bit for bit.

    A drop-in for `keras.callbacks.BackupAndRestore`, which writes its files in place and leaves the
    state of noise out. Before each epoch but the first, one file is written beside the backup,
    flushed and renamed over it: weights, optimizer, the seed states of all layers, those of NumPy's
    and Python's generators (which shuffle the rows on some backends), and the number of the epoch.
    Within an epoch that takes longer, it is written twice a minute. A kill at any moment, while
    writing too, costs that much or one epoch. The next `fit` of the same program goes on from
    there; one that reaches its end deletes the backup.

    Weights that are not finite are never stored: the last sound state stays. The learning rate is
    part of the state: after a change of arguments, delete the directory or name another.

    Args:
        directory: Folder of the backup, of this one run; made if need be.
        callbacks: Other callbacks of the same `fit` that count or compare over the epochs, such as
            `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint`, in an order that stays the
            same. What they have counted is stored and restored with the rest; Keras starts them
            anew. `PenaltyWarmup` and schedules follow from the number of the epoch and need not be
            named.
        keep: Whether a `fit` that reaches its end leaves a backup of it, for programs that are not
            done by then. A `fit` that goes on from there trains no more.
        seconds: Least time between two backups, for epochs that take less than writing one. A kill
            costs the epochs of this time.
        within: Seconds between two backups within an epoch; infinity for none. Of datasets,
            generators and several devices, which Keras's own loop trains on, there are none.

    Attributes:
        path: Path of the backup, `directory/backup.npz`.
        history: After `fit`, its numbers as in `fit(...).history`, those of the epochs before a
            kill included.

    Raises:
        OSError: The disk is full or not writable; the backup of before is whole.
        ValueError: The backup is damaged, or of another model; a number of seconds is below 0.

    Warns:
        UserWarning: `fit` ends with weights that are not finite, and the backup is kept.

    Reference: Pillai et al. (2014), All file systems are not created equal.

    Example:
        >>> import tempfile, numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4,))
        >>> backup = AtomicBackup(tempfile.mkdtemp() + "/run")
        >>> history = model.fit(np.eye(8), epochs=2, verbose=0, callbacks=[backup])
        >>> backup.path.exists()
        False
    """

    needs_every_batch = False  # an epoch is left and entered where the loop looks up

    def __init__(
        self,
        directory: str | os.PathLike[str],
        callbacks: Sequence[keras.callbacks.Callback] = (),
        keep: bool = False,
        seconds: float = 0.0,
        within: float = 30.0,
    ) -> None:
        super().__init__()
        for name, value in {"seconds": seconds, "within": within}.items():
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0. Received: {name}={value}")
        self.path = Path(directory) / "backup.npz"
        self.callbacks = tuple(callbacks)
        self.keep, self.seconds, self.within = keep, seconds, within
        self._written = -math.inf
        self.history: dict[str, list[Any]] = {}

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._counted = None
        self._started = False
        self._epochs = 0
        self.history = {}
        if not self.path.exists():
            _check_writable(self.path.parent)
            return
        state, arrays, metrics, best = _read(self.path)
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        variables = self._variables()
        if [tuple(v.shape) for v in variables] != [array.shape for array in arrays]:
            raise ValueError(
                "the backup must be that of the model in training. Received: one of another model "
                f"or optimizer ({self.path}). Try another directory, or deleting this one to start "
                "anew"
            )
        for variable, array in zip(variables, arrays, strict=True):
            # NumPy stores bfloat16 as two bytes without a name.
            variable.assign(array.view(ops.convert_to_numpy(variable).dtype))
        random.setstate(_tuples(state["python"]))
        np.random.set_state(_tuples(state["numpy"]))  # noqa: NPY002
        self._counted = state["callbacks"], best
        self.history = state.get("history", {})
        self.model._initial_epoch = self._epochs = state["epoch"]
        if position := state.get("position"):
            # The loop takes it; Keras's own begins the epoch anew.
            self.model._resumed = Position(position[0], position[1], metrics)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Here, not at the end of an epoch: the other callbacks have now done their part of it, and
        # before the first they have reset what they count.
        if self._started and time.monotonic() >= self._written + self.seconds:
            self._write(epoch)
            self._written = time.monotonic()
        elif self._counted is not None:
            _restore_callbacks(self.callbacks, *self._counted)
        self._counted = None  # once: in later epochs they have gone on counting
        self._started = True
        self._looked = time.monotonic()
        self.model._initial_epoch = None  # Keras would start every later fit there

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        position = getattr(self.model, "_position", None)
        late = time.monotonic() >= self._looked + self.within
        if position is not None and late and not self.model.stop_training:
            self._write(self._epochs, position)
            self._written = self._looked = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epochs = epoch + 1
        for name, value in (logs or {}).items():
            if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "biuf":
                self.history.setdefault(name, []).append(float(value))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self.model._initial_epoch = None
        if not all(np.isfinite(ops.convert_to_numpy(v)).all() for v in self.model.weights):
            warnings.warn(
                f"training ends with weights that are not finite; the last sound state, if there "
                f"is one, stays in {self.path}",
                UserWarning,
                stacklevel=2,
            )
            return
        if self.keep:
            if self._started:
                self._write(self._epochs)
            return
        self.path.unlink(missing_ok=True)
        remove_partials(self.path.parent)
        with contextlib.suppress(OSError):  # not empty: the files of others stay
            self.path.parent.rmdir()

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _write(self, epoch, position=None):
        arrays = [ops.convert_to_numpy(variable) for variable in self._variables()]
        if not all(np.isfinite(array).all() for array in arrays):
            return
        counted, best = _callbacks_state(self.callbacks)
        state = {
            "epoch": epoch,
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "callbacks": counted,
            "history": self.history,
            "position": None if position is None else [position.steps, position.seed],
        }
        text = json.dumps(state, default=lambda array: array.tolist())
        named = {f"variable {i}": array for i, array in enumerate(arrays)}
        if position is not None:
            metrics = map(ops.convert_to_numpy, self.model.metrics_variables)
            named |= {f"metric {i}": array for i, array in enumerate(metrics)}
        try:
            write_file(
                self.path, lambda file: np.savez(file, state=np.array(text), **named, **best)
            )
        except OSError as error:
            raise OSError(
                f"the state after epoch {epoch} must be written. "
                f"Received: {error.strerror or error} ({self.path}). Try freeing space: an earlier "
                "backup is whole"
            ) from error


def _check_writable(folder):
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(
            f"directory must be writable. Received: directory={str(folder)!r}, which is not"
        )


def _read(path):
    """The state of a backup, and the arrays of variables, of metrics and of callbacks."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        state = json.loads(str(arrays.pop("state")))
    except Exception as error:  # any that a damaged zip can raise
        raise ValueError(
            "the backup must be a whole file. "
            f"Received: {' '.join(str(error).split())[:200]} ({path}). "
            "Try deleting it to start anew"
        ) from error
    variables, metrics, best = (
        {name: array for name, array in arrays.items() if name.split(" ")[0] == kind}
        for kind in ("variable", "metric", "best")
    )
    return state, [*variables.values()], (*metrics.values(),), best


def _tuples(state):
    return tuple(tuple(part) if isinstance(part, list) else part for part in state)


def _callbacks_state(callbacks):
    counted, best = [], {}
    for i, callback in enumerate(callbacks):
        values = {name: getattr(callback, name, None) for name in COUNTERS}
        counted.append({name: np.asarray(v).item() for name, v in values.items() if v is not None})
        weights = getattr(callback, "best_weights", None) or ()
        best.update({f"best {i} {j}": np.asarray(array) for j, array in enumerate(weights)})
    return counted, best


def _restore_callbacks(callbacks, counted, best):
    for i, (callback, values) in enumerate(zip(callbacks, counted, strict=True)):
        for name, value in values.items():
            setattr(callback, name, value)
        weights = [array for name, array in best.items() if name.startswith(f"best {i} ")]
        if weights:
            callback.best_weights = weights
