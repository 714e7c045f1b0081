"""Encoder and decoder stacks for windows of a series: convolutional and recurrent."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kerasae.models.stacks import _sequential
from kerasae.validation import unknown

CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def conv1d_stack(
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
    kernel_size: int = 7,
    strides: int = 2,
    maps: bool = False,
) -> tuple[keras.Sequential, keras.Sequential]:
    """Convolutions over time that lead to the codings, and transposed ones that lead back.

    Each convolution divides the number of steps by `strides`, rounded up; the decoder cuts off the
    steps that come back too many, so that any number serves. The codings are a dense layer over
    the last feature maps, or, with `maps`, feature maps themselves.

    Args:
        input_shape: Shape of one row, `(steps, channels)`.
        hidden_units: Filters of the convolutions, then the number of codings; with `maps` the
            filters of every convolution, the codings' last.
        activation: Name of a Keras activation, or a callable, for every hidden layer.
        output_activation: The same for the last layer, which has the channels of the input.
        codings_activation: The same for the codings, or None for that of the hidden layers.
        corruption: Layer before the first, or None.
        codings: Layer that gives the codings instead of a dense one, or None; not with `maps`.
        bottleneck: Layer after the codings, the encoder's last, or None.
        gate: Layer that the decoder begins with, or None.
        kernel_size: Steps that a kernel covers, at least 1.
        strides: By how much each convolution divides the steps, at least 1.
        maps: Whether the codings are feature maps, (batch, steps, filters).

    Returns:
        Two `keras.Sequential`: the encoder, with layers hidden_1, hidden_2, ..., codings, and the
        decoder, whose layers count on from there, and whose output is float32.

    Raises:
        ValueError: The rows are not windows of a series, there is no convolution, or `maps` goes
            with a `codings` layer.

    Reference: Vijay (2020), Timeseries anomaly detection using an autoencoder, Keras code examples.

    Example:
        >>> encoder, decoder = conv1d_stack((45, 3), (8, 16, 4))
        >>> [layer.output.shape[1:] for layer in encoder.layers]
        [(23, 8), (12, 16), (192,), (4,)]
        >>> decoder.layers[-2].output.shape[1:], decoder.output_shape[1:]
        ((48, 3), (45, 3))
    """
    if maps and codings is not None:
        raise ValueError(
            "codings must be None where they are feature maps. "
            f"Received: codings={codings.name}, maps=True"
        )
    filters = tuple(hidden_units) if maps else tuple(hidden_units)[:-1]
    _check(input_shape, hidden_units, filters, "convolution", "filters of a convolution")
    depth = len(hidden_units) - 1
    codings_activation = codings_activation or activation
    side: dict[str, Any] = {"kernel_size": kernel_size, "strides": strides, "padding": "same"}
    side["data_format"] = "channels_last"  # whatever that of Keras is
    names = [*(f"hidden_{i}" for i in range(1, depth + 1)), "codings"]
    there = [
        keras.layers.Conv1D(
            units,
            **side,
            activation=codings_activation if name == "codings" else activation,
            name=name,
        )
        for units, name in zip(filters, names, strict=False)
    ]
    back = [
        keras.layers.Conv1DTranspose(
            units, **side, activation=activation, name=f"hidden_{2 * depth + 2 - i}"
        )
        for i, units in reversed(list(enumerate(filters[:-1], start=1)))
    ]
    steps = input_shape[0]
    for _ in filters:
        steps = math.ceil(steps / strides)
    if not maps:
        if codings is None:
            codings = keras.layers.Dense(
                hidden_units[-1], activation=codings_activation, name="codings"
            )
        there += [keras.layers.Flatten("channels_last", name="flatten"), codings]
        unflatten = keras.layers.Dense(
            steps * filters[-1], activation=activation, name=f"hidden_{depth + 2}"
        )
        back = [unflatten, keras.layers.Reshape((steps, filters[-1]), name="unflatten"), *back]
    # float32 under every dtype policy: the error is the difference of two close numbers.
    output = keras.layers.Conv1DTranspose(
        input_shape[1], **side, activation=output_activation, dtype="float32", name="output"
    )
    over = steps * strides ** len(filters) - input_shape[0]
    crop = keras.layers.Cropping1D((0, over), dtype="float32", name="crop") if over else None
    encoder = _sequential("encoder", input_shape, corruption, *there, bottleneck)
    return encoder, _sequential("decoder", encoder.output_shape[1:], gate, *back, output, crop)


def recurrent_stack(
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
    cell: str = "gru",
) -> tuple[keras.Sequential, keras.Sequential]:
    """Recurrent layers that read a window into codings, and others that write it from them.

    The codings are a dense layer over the last state. The decoder repeats them at every step.
    States are those of tanh, whatever `activation` is: with an unbounded one they would grow from
    step to step.

    Args:
        input_shape: Shape of one row, `(steps, channels)`.
        hidden_units: Units of the recurrent layers, then the number of codings.
        activation: Name of a Keras activation, or a callable, for the codings where
            `codings_activation` is None.
        output_activation: The same for the last layer, which has the channels of the input.
        codings_activation: The same for the codings.
        corruption: Layer before the first, or None.
        codings: Layer that gives the codings instead of a dense one, or None.
        bottleneck: Layer after the codings, the encoder's last, or None.
        gate: Layer that the decoder begins with, or None.
        cell: "gru" or "lstm".

    Returns:
        Two `keras.Sequential`: the encoder, with layers hidden_1, hidden_2, ..., codings, and the
        decoder, whose layers count on from there, and whose output is float32.

    Raises:
        ValueError: The rows are not windows of a series, there is no recurrent layer, or an unknown
            cell.

    Reference: Srivastava, Mansimov and Salakhutdinov (2015), Unsupervised learning of video
    representations using LSTMs; Malhotra et al. (2016), LSTM-based encoder-decoder for multi-sensor
    anomaly detection.

    Example:
        >>> encoder, decoder = recurrent_stack((45, 3), (16, 8, 4), cell="lstm")
        >>> [layer.name for layer in encoder.layers + decoder.layers]
        ['hidden_1', 'hidden_2', 'codings', 'repeat', 'hidden_4', 'hidden_5', 'output']
    """
    if cell not in CELLS:
        raise ValueError(unknown("cell", cell, list(CELLS)))
    *widths, last = hidden_units
    _check(input_shape, hidden_units, widths, "recurrent", "units of a recurrent layer")
    depth = len(widths)
    layer = CELLS[cell]
    there = [
        layer(units, return_sequences=i < depth, name=f"hidden_{i}")
        for i, units in enumerate(widths, start=1)
    ]
    if codings is None:
        codings = keras.layers.Dense(
            last, activation=codings_activation or activation, name="codings"
        )
    back = [
        layer(units, return_sequences=True, name=f"hidden_{depth + 1 + i}")
        for i, units in enumerate(reversed(widths), start=1)
    ]
    repeat = keras.layers.RepeatVector(input_shape[0], name="repeat")
    output = keras.layers.Dense(
        input_shape[1], activation=output_activation, dtype="float32", name="output"
    )
    encoder = _sequential("encoder", input_shape, corruption, *there, codings, bottleneck)
    decoder = _sequential("decoder", encoder.output_shape[1:], gate, repeat, *back, output)
    return encoder, decoder


def _check(input_shape, hidden_units, layers, kind, what):
    if len(input_shape) != 2:
        hint = ". Try (columns, 1)" if len(input_shape) == 1 else ""
        named = "convolutional" if kind == "convolution" else kind
        raise ValueError(
            f"input_shape must be (steps, channels) for a {named} stack over time. "
            f"Received: input_shape={tuple(input_shape)}{hint}"
        )
    if not layers:
        raise ValueError(
            f"hidden_units must hold the {what} before the number of codings. "
            f"Received: hidden_units={tuple(hidden_units)}. Try (32, 16, 8)"
        )
