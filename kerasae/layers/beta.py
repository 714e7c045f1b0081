"""The weight of a penalty, as a variable."""

import keras


def add_beta(layer: keras.layers.Layer, beta: float) -> keras.Variable:
    """Gives a built or unbuilt layer the variable of its penalty's weight.

    Args:
        layer: Layer whose variable it becomes.
        beta: First value, at least 0.

    Returns:
        A float32 scalar that is not trained, saved with the layer.

    Raises:
        ValueError: `beta` is negative or not finite.
    """
    if not 0 <= beta < float("inf"):
        raise ValueError(f"beta must be finite and at least 0. Received: beta={beta}")
    return layer.add_weight(
        shape=(),
        initializer=keras.initializers.Constant(beta),
        dtype="float32",
        trainable=False,
        name="beta",
    )
