"""Rows that lie on the device while a model is trained on them."""

import itertools
import math
import random

import keras
import numpy as np
from keras import ops
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from kerasae.models.loops import each, in_place, on_processor


class ResidentRows(DataAdapter):
    """Rows on the device, in an order that is drawn anew for each epoch.

    Keras counts the steps of an epoch by it and calls its callbacks; what Keras iterates over is
    always the first row, of which it may build metrics. The rows themselves go into `Loops`.

    Args:
        parts: Rows, targets and sample weights, arrays of equal length or None; targets that are
            the rows themselves take no room.
        batch_size: Rows a step; the last step has what is left.
        steps_per_execution: Steps that `advance` moves on by.
        shuffle: As in `fit`.
        progress: Function without arguments to the number of steps that the model has been trained.
    """

    def __init__(self, parts, batch_size, steps_per_execution, shuffle=False, progress=lambda: 0):
        self._rows = len(parts[0])
        self._batch_size = batch_size
        self._steps_per_execution = steps_per_execution
        self._shuffle = shuffle
        self._progress = progress
        self._seed = self._order = None
        x, y, weights = parts
        self.target_is_input = y is x
        if weights is not None:
            weights = np.asarray(weights, keras.config.floatx())
        self._example = each(lambda part: part[:1], (x, y, weights))
        self.parts = each(_on_device, (x, None if y is x else y, weights))

    def get_tf_dataset(self):
        return itertools.repeat(self._example)

    get_jax_iterator = get_tf_dataset

    @property
    def num_batches(self):
        return math.ceil(self._rows / self._batch_size)

    @property
    def batch_size(self):
        return self._batch_size

    @property
    def has_partial_batch(self):
        return self.partial_batch_size is not None

    @property
    def partial_batch_size(self):
        return self._rows % self._batch_size or None

    def on_epoch_begin(self):
        at = self._progress()
        # Epochs are counted where steps are not, as while gradients accumulate.
        self._again = self._again + 1 if self._order is not None and at == self._at else 0
        self._at, self._next, self._order = at, 0, None

    @property
    def order(self):
        """Indices of the rows in this epoch, drawn when first asked for: Keras may only look."""
        if self._order is None:
            self._order = ops.convert_to_tensor(self._draw())
        return self._order

    def _draw(self):
        order = np.arange(self._rows, dtype="int32")
        if not self._shuffle:
            return order
        if self._seed is None:
            # What Python's generator would draw, which a backup may have restored by now: with the
            # steps done, a run that was killed goes on in the order it had.
            state = random.getstate()
            self._seed = random.getrandbits(63)
            random.setstate(state)
        rng = np.random.default_rng((self._seed, self._at, self._again))
        by = self._batch_size if self._shuffle == "batch" else self._rows
        for first in range(0, self._rows, by):
            rng.shuffle(order[first : first + by])
        return order

    def advance(self):
        """Yields first row, steps and rows a step of the loops of one execution."""
        last = min(self._next + self._steps_per_execution, self.num_batches)
        full = min(last, self._rows // self._batch_size)
        if full > self._next:
            yield self._next * self._batch_size, full - self._next, self._batch_size
        if last > full:
            yield full * self._batch_size, 1, self.partial_batch_size
        self._next = last


def _on_device(rows):
    """A tensor with a copy of an array's rows."""
    if rows.dtype not in ("float32", "uint8") or not on_processor():
        return ops.convert_to_tensor(rows)
    # The backends would copy them twice, the second time to where their products want them, at a
    # multiple of 64 bytes. Here they are there from the start.
    room = np.empty(rows.nbytes + 64, "uint8")
    start = -room.ctypes.data % 64
    copy = room[start : start + rows.nbytes].view(rows.dtype).reshape(rows.shape)
    copy[...] = rows
    return in_place(copy)
