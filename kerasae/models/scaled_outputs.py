"""Losses and metrics on scaled values, without unscaling and scaling again."""

import contextvars
from collections.abc import Callable
from typing import Any

import keras

# While a step runs in a program, models give scaled values: the loss is taken on them, and needs no
# unscaling and scaling again. Of one thread and one trace, so that other calls are not affected.
_scaled_outputs = contextvars.ContextVar("scaled_outputs", default=False)


def outputs_are_scaled() -> bool:
    """Whether a model's output is to stay scaled, for its loss and metrics."""
    return _scaled_outputs.get()


def gives_scaled(model: keras.Model) -> bool:
    """Whether no method that a user wrote would see scaled values."""
    methods = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
    modules = (getattr(getattr(model, method), "__module__", "") for method in methods)
    return all(str(module).split(".")[0] in ("keras", "kerasae") for module in modules)


def scaled_outputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with models that give scaled values while it runs."""

    def with_scaled(*arguments):
        token = _scaled_outputs.set(True)
        try:
            return function(*arguments)
        finally:
            _scaled_outputs.reset(token)

    return with_scaled
