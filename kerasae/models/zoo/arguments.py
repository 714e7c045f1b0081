"""What the builders ask of their arguments."""

import keras

from kerasae.layers.sparsity import ACTIVATION_RANGES
from kerasae.validation import check_count, unknown


def as_tuple(name, value):
    """Whole numbers of at least 1 as a tuple, from several or a single one."""
    values = tuple(value) if hasattr(value, "__iter__") else (value,)
    if not values or isinstance(value, str):
        raise ValueError(f"{name} must be whole numbers, (300, 100). Received: {name}={value!r}")
    for one in values:
        check_count(name, one)
    return tuple(map(int, values))


def check_activation(activation):
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


def bounded_range(activation):
    """The range of an activation, or an error that says which have one."""
    name = _activation_name(activation)
    if name not in ACTIVATION_RANGES:
        raise ValueError(
            f"KL sparsity needs a bounded activation; expected one of "
            f"{', '.join(ACTIVATION_RANGES)}. Received: activation={name or activation}"
        )
    return ACTIVATION_RANGES[name]


def check_range(activation, sparsity):
    """Refuses a sparsity whose range is not that of the activation before it."""
    name = _activation_name(activation)
    if name and not hasattr(keras.activations, name):
        return  # a function of the user's own: its range is the user's to know
    expected = bounded_range(activation)
    if expected != tuple(sparsity.activation_range):
        raise ValueError(
            f"The activation_range of the sparsity must be that of {name}, {expected}. "
            f"Received: {sparsity.activation_range}"
        )
