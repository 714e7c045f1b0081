"""Encoder and decoder stacks: dense for rows of columns, convolutional for images."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasae.layers.mixed_dense import MixedDense
from kerasae.layers.tied import TiedDense
from kerasae.validation import refuse_channels_first


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

    Example:
        >>> encoder, decoder = dense_stack((64,), (32, 10))
        >>> [layer.name for layer in encoder.layers], decoder.output_shape
        (['hidden_1', 'codings'], (None, 64))
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
        if tied:
            return TiedDense(units, tied_to=partner, **arguments)
        dense = MixedDense if "product_dtype" in arguments else keras.layers.Dense
        return dense(units, **arguments)

    back = [
        mirrored(i, activation=activation, name=f"hidden_{2 * depth + 2 - i}")
        for i in range(depth, 0, -1)
    ]
    # float32 under every dtype policy, but for the product: the error is the difference of two
    # close numbers.
    half = keras.config.dtype_policy().compute_dtype
    product = {} if half == "float32" else {"product_dtype": half}
    output = mirrored(0, activation=output_activation, dtype="float32", name="output", **product)
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
    single_kernel_size: int | None = None,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Convolutions that lead to the codings, and transposed ones that lead back.

    Each convolution divides height and width by `strides`, where Masci et al. pool. The codings are
    a dense layer over the last feature maps, or, with `maps`, feature maps themselves. Images may
    have any height and width: what the strides do not divide is padded with zeros on the way to the
    codings and cropped on the way back.

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
        strides: By how much each convolution divides height and width, rounded up; at least 1.
        maps: Whether the codings are feature maps.
        single_kernel_size: Height and width of the kernels of a decoder that is a single
            transposed convolution, as in a dictionary of patches; None mirrors the encoder. Only
            with `maps`.

    Returns:
        Two `keras.Sequential`: the encoder, with layers hidden_1, hidden_2, ..., codings, and the
        decoder, whose layers count on from there, and whose output is float32.

    Raises:
        ValueError: The rows are no images or have their channels first, there is no convolution,
            `maps` goes with a `codings` layer, or `single_kernel_size` without `maps`.

    Reference: Masci et al. (2011), Stacked convolutional auto-encoders for hierarchical feature
    extraction; Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning.

    Example:
        >>> encoder, decoder = conv_stack((45, 37, 3), (8, 16, 10))
        >>> [layer.output.shape[1:3] for layer in encoder.layers[:2]], decoder.output_shape
        ([(23, 19), (12, 10)], (None, 45, 37, 3))
    """
    if maps and codings is not None:
        raise ValueError(
            "codings must be None where they are feature maps. "
            f"Received: codings={codings.name}, maps=True"
        )
    if single_kernel_size is not None and not maps:
        raise ValueError(
            "maps must be True for a decoder of a single convolution. "
            f"Received: single_kernel_size={single_kernel_size}, maps=False"
        )
    filters = tuple(hidden_units) if maps else tuple(hidden_units)[:-1]
    sizes = _map_sizes(input_shape, hidden_units, filters, strides)
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
    back = []
    if single_kernel_size is None:
        for i, units in reversed(list(enumerate(filters[:-1], start=1))):
            name = f"hidden_{2 * depth + 2 - i}"
            back += _convolution_back(sizes[i], units, activation=activation, name=name, **side)
    else:
        side |= {"kernel_size": single_kernel_size, "strides": strides ** len(filters)}
    if not maps:
        if codings is None:
            codings = keras.layers.Dense(
                hidden_units[-1], activation=codings_activation, name="codings"
            )
        there += [keras.layers.Flatten("channels_last", name="flatten"), codings]
        small = (*sizes[-1], filters[-1])
        unflatten = keras.layers.Dense(
            math.prod(small), activation=activation, name=f"hidden_{depth + 2}"
        )
        back = [unflatten, keras.layers.Reshape(small, name="unflatten"), *back]
    output: dict[str, Any] = {"activation": output_activation, "dtype": "float32", "name": "output"}
    back += _convolution_back(sizes[0], input_shape[2], **output, **side)
    encoder = _sequential("encoder", input_shape, corruption, *there, bottleneck)
    return encoder, _sequential("decoder", encoder.output_shape[1:], gate, *back)


def _sequential(name, input_shape, *layers):
    present = [layer for layer in layers if layer is not None]
    return keras.Sequential([keras.Input(input_shape), *present], name=name)


def _convolution_back(size, filters, *, name, strides, **options):
    """A transposed convolution to maps of a size, and the crop of what is more than the size."""
    layer = keras.layers.Conv2DTranspose(filters, name=name, strides=strides, **options)
    # Where the convolution has padded with zeros, so that this is its exact transpose.
    padding, cut = options["kernel_size"] - strides, []
    for more in (-length % strides for length in size):
        first = max(0, padding + more) // 2 - max(0, padding) // 2
        cut.append((first, more - first))
    if not any(map(sum, cut)):
        return [layer]
    kept = {"data_format": "channels_last", "dtype": layer.dtype_policy}
    return [layer, keras.layers.Cropping2D(cut, name=f"{name}_crop", **kept)]


def _map_sizes(input_shape, hidden_units, filters, strides):
    """Height and width of the images, and after each of the convolutions."""
    if len(input_shape) != 3:
        raise ValueError(
            "input_shape must be (height, width, channels) for a convolutional stack. "
            f"Received: input_shape={input_shape}"
        )
    refuse_channels_first("input_shape", input_shape)
    if not filters:
        raise ValueError(
            "hidden_units must hold the filters of a convolution before the number of codings. "
            f"Received: hidden_units={tuple(hidden_units)}. Try (16, 32, 10)"
        )
    sizes = [tuple(input_shape[:2])]
    for _ in filters:
        sizes.append(tuple(math.ceil(size / strides) for size in sizes[-1]))
    return sizes
