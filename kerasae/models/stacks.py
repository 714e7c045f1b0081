"""Encoder and decoder stacks."""

import keras


def dense_encoder(input_shape, hidden_units, *, activation, corruption=None, bottleneck=None):
    """The half of a stack that leads to the codings.

    Args:
        input_shape: Shape of one row, `(columns,)`.
        hidden_units: Widths of the layers, the codings' last.
        activation: Name of a Keras activation, or a callable, for every layer.
        corruption: Layer that stands before the first, or None.
        bottleneck: Layer that stands after the last, or None.

    Returns:
        A `keras.Sequential` named encoder, with layers hidden_1, hidden_2, ..., codings.
    """
    names = [f"hidden_{i}" for i in range(1, len(hidden_units))] + ["codings"]
    layers = [
        keras.layers.Dense(units, activation=activation, name=name)
        for units, name in zip(hidden_units, names, strict=True)
    ]
    before = [] if corruption is None else [corruption]
    after = [] if bottleneck is None else [bottleneck]
    return keras.Sequential([keras.Input(input_shape), *before, *layers, *after], name="encoder")


def dense_decoder(input_shape, hidden_units, *, activation, output_activation):
    """The mirror image of `dense_encoder`; its layers count on from there.

    Args:
        input_shape: Shape of one row, `(columns,)`.
        hidden_units: Widths of the encoder's layers, the codings' last.
        activation: Activation of the hidden layers.
        output_activation: Activation of the last layer, which has the width of the input.

    Returns:
        A `keras.Sequential` named decoder, with layers hidden_n, ..., and output in float32.
    """
    *widths, codings = hidden_units
    depth = len(widths)
    hidden = [
        keras.layers.Dense(units, activation=activation, name=f"hidden_{depth + 1 + i}")
        for i, units in enumerate(reversed(widths), start=1)
    ]
    # float32 under every dtype policy: the error is the difference of two close numbers.
    output = keras.layers.Dense(
        input_shape[0], activation=output_activation, dtype="float32", name="output"
    )
    return keras.Sequential([keras.Input((codings,)), *hidden, output], name="decoder")
