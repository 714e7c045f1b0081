"""Encoder and decoder stacks: dense for rows of columns, convolutional for images."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasae.layers.tied import TiedDense


def dense_stack(
    input_shape: Sequence[int],
    hidden_units: Sequence[int],
    *,
    activation: str | Callable[..., Any] = "tanh",
    output_activation: str | Callable[..., Any] = "linear",
    codings_activation: str | Callable[..., Any] | None = None,
    corruption: keras.layers.Layer | None = None,
    codings: keras.layers.Layer | None = None,
    bottleneck: keras.layers.Layer | None = None,
    gate: keras.layers.Layer | None = None,
    tied: bool = False,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Dense layers that lead to the codings, and their mirror image.

    Args:
        input_shape: Shape of one row, `(columns,)`.
        hidden_units: Widths of the encoder's layers, the codings' last.
        activation: Name of a Keras activation, or a callable, for every hidden layer.
        output_activation: The same for the last layer, which has the width of the input.
        codings_activation: The same for the codings, or None for that of the hidden layers.
        corruption: Layer that stands before the first, or None.
        codings: Layer that gives the codings instead of a dense one, or None.
        bottleneck: Layer that stands after the codings, the encoder's last, or None.
        gate: Layer that the decoder begins with, or None.
        tied: Whether the decoder's kernels are the encoder's, transposed: `TiedDense`.

    Returns:
        Two `keras.Sequential`: the encoder, with layers hidden_1, hidden_2, ..., codings, and the
        decoder, whose layers count on from there, and whose output is float32.

    Raises:
        ValueError: The rows are no rows of columns, or `tied` goes with a `codings` layer.
    """
    if len(input_shape) != 1:
        raise ValueError(
            "input_shape must be (columns,) for a dense stack. "
            f"Received: input_shape={input_shape}. Try flattening the images"
        )
    if tied and codings is not None:
        raise ValueError(
            f"codings must be dense to be tied. Received: tied=True, codings={codings.name}"
        )
    *widths, last = hidden_units
    depth = len(widths)
    hidden = [
        keras.layers.Dense(units, activation=activation, name=f"hidden_{i}")
        for i, units in enumerate(widths, start=1)
    ]
    if codings is None:
        codings = keras.layers.Dense(
            last, activation=codings_activation or activation, name="codings"
        )
    encoder = _sequential("encoder", input_shape, corruption, *hidden, codings, bottleneck)

    def mirrored(i, **arguments):
        """The decoder's layer that leads back to the input of the encoder's layer i, from 0."""
        units = [*input_shape, *widths][i]
        partner = f"hidden_{i + 1}" if i < depth else "codings"
        dense = keras.layers.Dense if not tied else TiedDense
        return dense(units, **arguments, **({"tied_to": partner} if tied else {}))

    back = [
        mirrored(i, activation=activation, name=f"hidden_{2 * depth + 2 - i}")
        for i in range(depth, 0, -1)
    ]
    # float32 under every dtype policy: the error is the difference of two close numbers.
    output = mirrored(0, activation=output_activation, dtype="float32", name="output")
    return encoder, _sequential("decoder", encoder.output_shape[1:], gate, *back, output)


def conv_stack(
    input_shape: Sequence[int],
    hidden_units: Sequence[int],
    *,
    activation: str | Callable[..., Any] = "tanh",
    output_activation: str | Callable[..., Any] = "linear",
    codings_activation: str | Callable[..., Any] | None = None,
    corruption: keras.layers.Layer | None = None,
    codings: keras.layers.Layer | None = None,
    bottleneck: keras.layers.Layer | None = None,
    gate: keras.layers.Layer | None = None,
    kernel_size: int = 3,
    strides: int = 2,
    maps: bool = False,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Convolutions that lead to the codings, and transposed ones that lead back.

    Each convolution divides height and width by `strides`, where Masci et al. pool. The codings are
    a dense layer over the last feature maps, or, with `maps`, feature maps themselves.

    Args:
        input_shape: Shape of one row, `(height, width, channels)`.
        hidden_units: Filters of the convolutions, then the number of codings; with `maps` the
            filters of every convolution, the codings' last.
        activation: Name of a Keras activation, or a callable, for every hidden layer.
        output_activation: The same for the last layer, which has the channels of the input.
        codings_activation: The same for the codings, or None for that of the hidden layers.
        corruption: Layer that stands before the first, or None.
        codings: Layer that gives the codings instead of a dense one, or None; not with `maps`.
        bottleneck: Layer that stands after the codings, the encoder's last, or None.
        gate: Layer that the decoder begins with, or None.
        kernel_size: Height and width of the kernels, at least 1.
        strides: By how much each convolution divides height and width, at least 1.
        maps: Whether the codings are feature maps.

    Returns:
        Two `keras.Sequential`: the encoder, with layers hidden_1, hidden_2, ..., codings, and the
        decoder, whose layers count on from there, and whose output is float32.

    Raises:
        ValueError: The rows are no images, the strides do not divide height and width, there is no
            convolution, or `maps` goes with a `codings` layer.

    Reference: Masci et al. (2011), Stacked convolutional auto-encoders for hierarchical feature
    extraction.
    """
    if maps and codings is not None:
        raise ValueError(
            "codings must be None where they are feature maps. "
            f"Received: codings={codings.name}, maps=True"
        )
    filters = tuple(hidden_units) if maps else tuple(hidden_units)[:-1]
    small = _small_maps(input_shape, hidden_units, filters, strides)
    depth = len(hidden_units) - 1
    names = [*(f"hidden_{i}" for i in range(1, depth + 1)), "codings"]
    codings_activation = codings_activation or activation
    side: dict[str, Any] = {"kernel_size": kernel_size, "strides": strides, "padding": "same"}
    side["data_format"] = "channels_last"  # whatever that of Keras is
    there = [
        keras.layers.Conv2D(
            units,
            **side,
            activation=codings_activation if name == "codings" else activation,
            name=name,
        )
        for units, name in zip(filters, names, strict=False)
    ]
    back = [
        keras.layers.Conv2DTranspose(
            units, **side, activation=activation, name=f"hidden_{2 * depth + 2 - i}"
        )
        for i, units in reversed(list(enumerate(filters[:-1], start=1)))
    ]
    if not maps:
        if codings is None:
            codings = keras.layers.Dense(
                hidden_units[-1], activation=codings_activation, name="codings"
            )
        there += [keras.layers.Flatten("channels_last", name="flatten"), codings]
        unflatten = keras.layers.Dense(
            math.prod(small) * filters[-1], activation=activation, name=f"hidden_{depth + 2}"
        )
        back = [unflatten, keras.layers.Reshape((*small, filters[-1]), name="unflatten"), *back]
    output = keras.layers.Conv2DTranspose(
        input_shape[2], **side, activation=output_activation, dtype="float32", name="output"
    )
    encoder = _sequential("encoder", input_shape, corruption, *there, bottleneck)
    return encoder, _sequential("decoder", encoder.output_shape[1:], gate, *back, output)


def _sequential(name, input_shape, *layers):
    present = [layer for layer in layers if layer is not None]
    return keras.Sequential([keras.Input(input_shape), *present], name=name)


def _small_maps(input_shape, hidden_units, filters, strides):
    """Height and width after the convolutions, or an error where the strides do not fit."""
    if len(input_shape) != 3:
        raise ValueError(
            "input_shape must be (height, width, channels) for a convolutional stack. "
            f"Received: input_shape={input_shape}"
        )
    if not filters:
        raise ValueError(
            "hidden_units must hold the filters of a convolution before the number of codings. "
            f"Received: hidden_units={tuple(hidden_units)}. Try (16, 32, 10)"
        )
    by = strides ** len(filters)
    wrong = [size for size in input_shape[:2] if size % by]
    if wrong:
        fitting = tuple(max(1, round(size / by)) * by for size in input_shape[:2])
        raise ValueError(
            f"height and width must be divisible by {by}, for {len(filters)} convolutions with "
            f"strides {strides}. Received: input_shape={input_shape}. "
            f"Try padding or cropping to {fitting}, or fewer convolutions"
        )
    return tuple(size // by for size in input_shape[:2])
