"""What the builders take: the arguments that all share, and what is checked of them."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypedDict, TypeVar

import keras

from kerasae.layers.sparsity import ACTIVATION_RANGES, KLSparsityRegularizer
from kerasae.models.autoencoder import Autoencoder
from kerasae.validation import check_count, unknown

Shape = int | Sequence[int]
Activation = str | Callable[..., Any]
P = ParamSpec("P")
R = TypeVar("R")


class StackOptions(TypedDict, total=False):
    """Arguments of `stacked_autoencoder` that every builder passes on."""

    output_activation: Activation
    corruption: keras.layers.Layer | None
    codings: keras.layers.Layer | None
    bottleneck: keras.layers.Layer | None
    gate: keras.layers.Layer | None
    tied: bool
    stack: Callable[..., tuple[keras.Model, keras.Model]] | None
    scaler: keras.layers.Layer | None
    columns: Sequence[str] | None
    loss: str | keras.losses.Loss | None
    mask_value: float | None
    model_class: Callable[..., Autoencoder]


def passes_on_to(
    shared: Callable[..., Any], sets: Sequence[str] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a decorator for builders that pass arguments on to a shared one.

    The builder gets the signature of all that it takes, so that editors and notebooks complete it,
    and refuses other arguments under its own name.

    Args:
        shared: The builder that the others pass their `**options` on to.
        sets: Names of its arguments that the decorated builder sets itself.

    Returns:
        A decorator.
    """

    def decorate(builder: Callable[P, R]) -> Callable[P, R]:
        own = inspect.signature(builder)
        parameters = {
            name: parameter
            for name, parameter in own.parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        for name, parameter in inspect.signature(shared).parameters.items():
            if name not in sets:
                parameters.setdefault(name, parameter)

        @functools.wraps(builder)
        def build(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs:
                if name not in parameters:
                    raise TypeError(unknown(f"argument of {builder.__name__}", name, parameters))
            return builder(*args, **kwargs)

        build.__signature__ = own.replace(parameters=list(parameters.values()))  # type: ignore
        return build

    return decorate


def as_tuple(name: str, value: Shape) -> tuple[int, ...]:
    """Whole numbers of at least 1 as a tuple, from several or a single one."""
    values = tuple(value) if hasattr(value, "__iter__") else (value,)
    if not values or isinstance(value, str):
        raise ValueError(
            f"{name} must be whole numbers of at least 1. Received: {name}={value!r}. "
            "Try (300, 100)"
        )
    for one in values:
        check_count(name, one)
    return tuple(map(int, values))


def check_activation(activation: Activation | None) -> None:
    """Refuses the name of an activation that Keras does not have."""
    if isinstance(activation, str):
        known = [
            name
            for name in dir(keras.activations)
            if name[0] != "_" and name not in ("get", "serialize", "deserialize")
        ]
        if activation not in known:
            raise ValueError(unknown("activation", activation, known))


def _activation_name(activation):
    return activation if isinstance(activation, str) else getattr(activation, "__name__", "")


def bounded_range(activation: Activation) -> tuple[float, float]:
    """The range of an activation, or an error that says which have one."""
    name = _activation_name(activation)
    if name not in ACTIVATION_RANGES:
        raise ValueError(
            f"activation must be a bounded one for KL sparsity, one of "
            f"{', '.join(ACTIVATION_RANGES)}. Received: activation={name or activation}"
        )
    return ACTIVATION_RANGES[name]


def check_range(activation: Activation, sparsity: KLSparsityRegularizer) -> None:
    """Refuses a sparsity whose range is not that of the activation before it."""
    name = _activation_name(activation)
    if name and not hasattr(keras.activations, name):
        return  # a function of the user's own: its range is the user's to know
    expected = bounded_range(activation)
    if expected != tuple(sparsity.activation_range):
        raise ValueError(
            f"activation_range of the sparsity must be that of {name}, {expected}. "
            f"Received: activation_range={sparsity.activation_range}"
        )
