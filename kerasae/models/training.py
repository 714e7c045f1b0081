"""The loop behind `fit` and `evaluate`: Keras's callbacks around compiled programs, over chunks."""

import functools
import logging
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae.models.chunks import Chunks
from kerasae.models.xla import gains_by_xla

logger = logging.getLogger("kerasae")
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
    resumed, model._resumed, seed = model._resumed, None, None
    # By all epochs: one that is resumed takes the same programs, to the same bits.
    xla = gains_by_xla(model, math.inf if rows.num_batches is None else rows.num_batches * epochs)
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        start = resumed or Position(0, model._next_order_seed(seed))
        seed = start.seed
        ahead = following(seed) if epoch + 1 < epochs else None
        logs = _run_epoch(model, "train", rows, callbacks, xla=xla, start=start, ahead=ahead)
        resumed = model._position = None
        if validate and _is_due(epoch, validation_freq):
            logs.update({f"val_{name}": value for name, value in validate(callbacks).items()})
        callbacks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
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
    logs = _run_epoch(model, "test", rows, callbacks)
    callbacks.on_test_end(logs)
    return logs


def _run_epoch(model, kind, rows, callbacks, *, xla=False, start=START, ahead=None):
    begin = getattr(callbacks, f"on_{kind}_batch_begin")
    end = getattr(callbacks, f"on_{kind}_batch_end")
    flag = "stop_training" if kind == "train" else "stop_evaluating"
    fixed = model._given_steps or (1 if _watches_batches(model, callbacks, kind) else None)
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
        while first < count and not getattr(model, flag):
            steps = min(fixed or model._programs.steps(kind, chunk), count - first)
            begun = step
            begin(begun)
            last = ahead is not None and first + steps == count
            options = {"meanwhile": functools.partial(rows.prepare, ahead)} if last else {}
            logs = model._programs.run(kind, chunk, first, steps, xla=xla, **options)
            first, step = first + steps, step + steps
            model._position = Position(step, start.seed) if kind == "train" else model._position
            # Keras counts all steps of an execution, those beyond the last batch, too.
            end(max(step, begun + (model._given_steps or 1)) - 1, logs)
        if getattr(model, flag):
            break
    logs = logs or model.get_metrics_result()  # none where a fit goes on at the end of an epoch
    return {name: _number(value) for name, value in logs.items()}


def following(seed: Any) -> np.ndarray:
    """The seed after one of a `keras.random.SeedGenerator`, which counts its second number."""
    return np.asarray(seed, "uint32") + np.array([0, 1], "uint32")


def _number(value):
    array = keras.ops.convert_to_numpy(value)
    return float(array) if array.ndim == 0 else array


def _is_due(epoch, frequency):
    if isinstance(frequency, int):
        return (epoch + 1) % frequency == 0
    return epoch + 1 in frequency


def _watches_batches(model, callbacks, kind):
    """Whether a callback has to be called for every batch, which is logged once."""
    hooks = [f"on_{of}batch_{at}" for of in (f"{kind}_", "") for at in ("begin", "end")]
    watching = [one for one in callbacks.callbacks if _watches(one, hooks)]
    if watching and not model._steps_logged:
        names = ", ".join(sorted({type(one).__name__ for one in watching}))
        logger.warning("%s is called for every batch, so that training goes step by step", names)
        model._steps_logged = True
    return bool(watching)


def _watches(callback, hooks):
    if isinstance(callback, keras.callbacks.ProgbarLogger | keras.callbacks.History):
        return False
    # Those of KerasTuner pass batches on to a tuner, which has no use for them.
    of_tuner = type(callback).__module__.startswith("keras_tuner.")
    if of_tuner or not getattr(callback, "needs_every_batch", True):
        return False
    if isinstance(callback, keras.callbacks.ModelCheckpoint | keras.callbacks.BackupAndRestore):
        return callback.save_freq != "epoch"
    if type(callback) is keras.callbacks.TensorBoard:
        return callback.update_freq != "epoch" or callback._should_trace
    if type(callback) is keras.callbacks.LambdaCallback:
        return any(hook in vars(callback) for hook in hooks)
    return any(
        getattr(getattr(callback, hook), "__func__", None)
        is not getattr(keras.callbacks.Callback, hook)
        for hook in hooks
    )
