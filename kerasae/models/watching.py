"""What callbacks look at, which says how far a training may go without them."""

import logging
from typing import Any

import keras
from keras.callbacks import CallbackList

logger = logging.getLogger("kerasae")


def watches_epochs(callbacks: CallbackList) -> bool:
    """Whether a callback may ask for something between two epochs: all but the history may."""
    return any(type(one) is not keras.callbacks.History for one in callbacks.callbacks)


def watches_batches(model: Any, callbacks: CallbackList, kind: str) -> bool:
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
