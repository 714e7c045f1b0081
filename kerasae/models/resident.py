"""Loops over rows on the device, in the place of Keras's functions while a `fit` lasts."""

import contextlib
import functools
import random

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_slicing import train_validation_split

from kerasae.models.loops import on_one_device, on_processor
from kerasae.models.rows import ResidentRows

# Bytes of rows that are put on an accelerator, whose memory the model needs, too.
DEVICE_BYTES = 2**31
PARTS = "x", "y", "sample_weight"
FUNCTIONS = "steps_per_execution", "train_function", "test_function"
NO_TARGETS = {"y": None, "sample_weight": None}


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
        steps = model._loops.steps(len(parts[0]), size, arguments.get("callbacks"))
        model.steps_per_execution = steps
        rows = ResidentRows(parts, size, steps, shuffle, lambda: int(model.optimizer.iterations))
        model.train_function = model._loops.train(rows, arguments.get("epochs", 1))
        given = dict(zip(PARTS, validation, strict=False))
        if _applies(model, {**given, "steps": arguments.get("validation_steps")}):
            size = arguments.get("validation_batch_size") or size
            validation = ResidentRows(_parts(given), size, steps)
        changed = {"x": rows, "validation_data": validation or None, "validation_split": 0.0}
        yield {**arguments, **NO_TARGETS, **changed}
    random.getrandbits(63)  # so that the next fit has other orders


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
            steps = model._loops.steps(len(parts[0]), size, arguments.get("callbacks"))
            model.steps_per_execution = steps
            rows = ResidentRows(parts, size, steps)
        model.test_function = model._loops.test(rows)
        yield {**arguments, "x": rows, **NO_TARGETS}


@contextlib.contextmanager
def own_functions(model):
    """Gives a model Keras's functions and steps back, for what a callback calls in a `fit`."""
    if not model._loops or model._loops.replaced is None:
        yield
        return
    now = _state(model)
    _set_state(model, model._loops.replaced)
    model._loops.replaced = None
    try:
        yield
    finally:
        model._loops.replaced = _state(model)
        _set_state(model, now)


def in_callbacks(method):
    """A method of Keras's model that callbacks can call in a `fit`, too."""

    @functools.wraps(method)
    def call(model, *args, **kwargs):
        with own_functions(model):
            return method(model, *args, **kwargs)

    return call


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
    loops, now = model._loops, _state(model)
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
