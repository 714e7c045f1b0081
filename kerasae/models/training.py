"""The loop behind `fit` and `evaluate`: Keras's callbacks around compiled programs, over chunks."""

import functools
import math
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae.models.chunks import Chunks
from kerasae.models.watching import watches_batches, watches_epochs
from kerasae.models.xla import gains_by_xla

Logs = dict[str, Any]


class Position(NamedTuple):
    """How far an epoch has come, from which it can go on as if nothing had been.

    Attributes:
        steps: Number of steps that were taken.
        seed: What the order of the rows in this epoch follows from.
        metrics: The values of the variables of the metrics, or none.
    """

    steps: int
    seed: Any
    metrics: tuple[Any, ...] = ()


START = Position(0, None)


def fit_rows(
    model: Any,
    rows: Chunks,
    *,
    epochs: int,
    initial_epoch: int,
    verbose: int | str,
    callbacks: Any,
    validate: Callable[[Any], Logs] | None,
    validation_freq: int | list[int],
) -> keras.callbacks.History:
    """Trains a model as `keras.Model.fit` does, with many steps an execution.

    Args:
        model: A compiled `RowModel`.
        rows: What to train on.
        epochs: As in `fit`, like those that follow.
        initial_epoch: The first epoch.
        verbose: Whether a progress bar is shown.
        callbacks: Callbacks of Keras or others.
        validate: Function from the list of callbacks to the logs of a validation, or None.
        validation_freq: Epochs between two validations, or a list of epochs.

    Returns:
        The history.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=rows.num_batches,
            model=model,
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    model.stop_training = False
    callbacks.on_train_begin()
    logs: Logs = {}
    # Keras's BackupAndRestore, and AtomicBackup, say here where a resumed fit begins.
    initial_epoch = model._initial_epoch or initial_epoch
    resumed, model._resumed, ahead = model._resumed, None, None
    # By all epochs: one that is resumed takes the same programs, to the same bits.
    xla = gains_by_xla(model, math.inf if rows.num_batches is None else rows.num_batches * epochs)
    # Where nothing is asked for between epochs, the next one is under way before the host waits for
    # the logs of the last: an accelerator has no pause.
    waiting = 0 if validate or watches_epochs(callbacks) else 1
    ended: deque[tuple[int, Logs]] = deque()

    def end_epoch() -> Logs:
        epoch, found = ended.popleft()
        logs = _numbers(found)
        if validate and _is_due(epoch, validation_freq):
            logs.update({f"val_{name}": value for name, value in validate(callbacks).items()})
        callbacks.on_epoch_end(epoch, logs)
        return logs

    try:
        for epoch in range(initial_epoch, epochs):
            model.reset_metrics()
            callbacks.on_epoch_begin(epoch)
            start = resumed or Position(0, model._next_order_seed(ahead))
            ahead = following(start.seed) if epoch + 1 < epochs else None
            options = {"xla": xla, "start": start, "ahead": ahead, "waits": not waiting}
            ended.append((epoch, _run_epoch(model, "train", rows, callbacks, **options)))
            resumed = model._position = None
            if len(ended) > waiting:
                logs = end_epoch()
            if model.stop_training:
                break
    finally:  # an interrupt does not lose the epoch before it
        if ended:
            logs = end_epoch()
    if epochs > 0:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    callbacks.on_train_end(logs)
    return model.history


def evaluate_rows(model: Any, rows: Chunks, *, verbose: int | str, callbacks: Any) -> Logs:
    """Evaluates a model as `keras.Model.evaluate` does, with many steps an execution.

    Args:
        model: A compiled `RowModel`.
        rows: What to evaluate on.
        verbose: Whether a progress bar is shown.
        callbacks: Callbacks of Keras or others, or the list of a `fit`.

    Returns:
        The metrics by name.
    """
    if not isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = keras.callbacks.CallbackList(
            callbacks,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=1,
            steps=rows.num_batches,
            model=model,
        )
    model.stop_evaluating = False
    callbacks.on_test_begin()
    model.reset_metrics()
    logs = _numbers(_run_epoch(model, "test", rows, callbacks))
    callbacks.on_test_end(logs)
    return logs


def _run_epoch(model, kind, rows, callbacks, *, xla=False, start=START, ahead=None, waits=True):
    begin = getattr(callbacks, f"on_{kind}_batch_begin")
    end = getattr(callbacks, f"on_{kind}_batch_end")
    flag = "stop_training" if kind == "train" else "stop_evaluating"
    fixed = model._given_steps or (1 if watches_batches(model, callbacks, kind) else None)
    step, logs, metrics = 0, {}, start.metrics
    for chunk in rows.chunks(start.seed):
        model._build_metrics(chunk.parts)
        for variable, value in zip(
            model.metrics_variables if metrics else (), metrics, strict=True
        ):
            variable.assign(value)
        metrics = ()
        count = math.ceil(chunk.rows / chunk.batch_size)
        first = min(start.steps - step, count) if step < start.steps else 0
        step += first
        while first < count:
            # As Keras does, one step is taken before a stop is looked at.
            most = 1 if getattr(model, flag) else fixed or model._programs.steps(kind, chunk)
            steps = min(most, count - first)
            begun = step
            begin(begun)
            options = {"xla": xla, "waits": waits or steps != rows.num_batches}
            if ahead is not None and first + steps == count:
                options["meanwhile"] = functools.partial(rows.prepare, ahead)
            logs = model._programs.run(kind, chunk, first, steps, **options)
            first, step = first + steps, step + steps
            model._position = Position(step, start.seed) if kind == "train" else model._position
            # Keras counts all steps of an execution, those beyond the last batch, too.
            end(max(step, begun + (model._given_steps or 1)) - 1, logs)
            if getattr(model, flag):
                break
        if getattr(model, flag):
            break
    return logs or model.get_metrics_result()  # none where a fit goes on at the end of an epoch


def following(seed: Any) -> np.ndarray:
    """The seed after one of a `keras.random.SeedGenerator`, which counts its second number."""
    return np.asarray(seed, "uint32") + np.array([0, 1], "uint32")


def _numbers(logs):
    """Logs on the host, once the device has them."""
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in logs.items()}
    return {name: float(x) if x.ndim == 0 else x for name, x in arrays.items()}


def _is_due(epoch, frequency):
    if isinstance(frequency, int):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency
