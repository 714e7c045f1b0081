"""Rows that lie on the device while a model is trained on them."""

import contextlib
import functools
import itertools
import math
import random

import keras
import numpy as np
from keras import ops
from keras.src.trainers.data_adapters.array_slicing import train_validation_split
from keras.src.trainers.data_adapters.data_adapter import DataAdapter

from kerasae.models.loops import each, in_place, on_one_device, on_processor

# Bytes of rows that are put on an accelerator, whose memory the model needs, too.
DEVICE_BYTES = 2**31
PARTS = "x", "y", "sample_weight"
FUNCTIONS = "steps_per_execution", "train_function", "test_function"
NO_TARGETS = {"y": None, "sample_weight": None}


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
    """

    def __init__(self, parts, batch_size, steps_per_execution, shuffle=False):
        self._rows = len(parts[0])
        self._batch_size = batch_size
        self._steps_per_execution = steps_per_execution
        self._shuffle = shuffle
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
        self._next, self._order = 0, None

    @property
    def order(self):
        """Indices of the rows in this epoch, drawn when first asked for: Keras may only look."""
        if self._order is None:
            self._order = ops.convert_to_tensor(self._draw())
        return self._order

    def _draw(self):
        order = np.arange(self._rows, dtype="int32")
        if self._shuffle:
            # By Python's generator, which `AtomicBackup` keeps: a run goes on in the order it had.
            rng = np.random.default_rng(random.getrandbits(63))
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


@contextlib.contextmanager
def resident_fit(model, arguments):
    """Puts the rows of one `fit` on the device, and loops in the place of Keras's functions.

    Where that does not apply, Keras feeds the rows in its own way: datasets, several devices,
    `run_eagerly`, `class_weight`, a given number of steps, and rows that are too large for an
    accelerator.

    Args:
        model: A compiled `CheckedModel`.
        arguments: Checked arguments of `fit`, by name.

    Yields:
        The arguments to call Keras's `fit` with.
    """
    if not _applies(model, arguments):
        with own_functions(model):
            yield arguments
        return
    size, shuffle = arguments.get("batch_size") or 32, arguments.get("shuffle", True)
    parts, validation = _split(arguments)
    with _replacing(model):
        steps = model.loops.steps(len(parts[0]), size, arguments.get("callbacks"))
        model.steps_per_execution = steps
        rows = ResidentRows(parts, size, steps, shuffle)
        model.train_function = model.loops.train(rows, arguments.get("epochs", 1))
        given = dict(zip(PARTS, validation, strict=False))
        if _applies(model, {**given, "steps": arguments.get("validation_steps")}):
            size = arguments.get("validation_batch_size") or size
            validation = ResidentRows(_parts(given), size, steps)
        changed = {"x": rows, "validation_data": validation or None, "validation_split": 0.0}
        yield {**arguments, **NO_TARGETS, **changed}


@contextlib.contextmanager
def resident_evaluate(model, arguments):
    """The same for one `evaluate`, which in a `fit` is given rows that are on the device."""
    rows, cached = arguments.get("x"), arguments.get("_use_cached_eval_dataset")
    if not isinstance(rows, ResidentRows) and (cached or not _applies(model, arguments)):
        with own_functions(model):
            if cached:  # by a `fit`, for steps that were its own
                model._eval_epoch_iterator.steps_per_execution = model.steps_per_execution
            yield arguments
        return
    with _replacing(model):
        if not isinstance(rows, ResidentRows):
            parts, size = _parts(arguments), arguments.get("batch_size") or 32
            steps = model.loops.steps(len(parts[0]), size, arguments.get("callbacks"))
            model.steps_per_execution = steps
            rows = ResidentRows(parts, size, steps)
        model.test_function = model.loops.test(rows)
        yield {**arguments, "x": rows, **NO_TARGETS}


@contextlib.contextmanager
def own_functions(model):
    """Gives a model Keras's functions and steps back, for what a callback calls in a `fit`."""
    if not model.loops or model.loops.replaced is None:
        yield
        return
    now = _state(model)
    _set_state(model, model.loops.replaced)
    model.loops.replaced = None
    try:
        yield
    finally:
        model.loops.replaced = _state(model)
        _set_state(model, now)


def in_callbacks(method):
    """A method of Keras's model that callbacks can call in a `fit`, too."""

    @functools.wraps(method)
    def call(model, *args, **kwargs):
        with own_functions(model):
            return method(model, *args, **kwargs)

    return call


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


def _parts(arguments):
    """Rows, targets and sample weights."""
    return tuple(arguments.get(name) for name in PARTS)


def _split(arguments):
    """The parts to train on, and those to validate on, where there are any."""
    parts, validation = _parts(arguments), arguments.get("validation_data")
    if validation is None and arguments.get("validation_split"):
        x, y, weights = parts
        first, last = train_validation_split(
            (x, None if y is x else y, weights), arguments["validation_split"]
        )
        return tuple((a, a if y is x else b, c) for a, b, c in (first, last))
    if validation is None:
        return parts, ()
    return parts, validation if isinstance(validation, tuple) else (validation,)


def _applies(model, arguments):
    parts = {id(part): part for part in _parts(arguments) if part is not None}.values()
    arrays = model.compiled and parts and all(isinstance(part, np.ndarray) for part in parts)
    return (
        arrays
        and len(set(map(len, parts))) == 1
        and not any(arguments.get(name) for name in ("class_weight", "steps_per_epoch", "steps"))
        and not keras.config.max_steps_per_epoch()
        and on_one_device(model)
        and (sum(part.nbytes for part in parts) <= DEVICE_BYTES or on_processor())
    )


@contextlib.contextmanager
def _replacing(model):
    """Puts back what is there now; the first of several nested ones keeps it."""
    loops, now = model.loops, _state(model)
    first = loops.replaced is None
    if first:
        loops.replaced = now
    try:
        yield
    finally:
        _set_state(model, loops.replaced if first else now)
        if first:
            loops.replaced = None


def _state(model):
    return {name: getattr(model, name) for name in FUNCTIONS}


def _set_state(model, state):
    for name, value in state.items():
        setattr(model, name, value)
