"""Convolutional stacks for images and series."""

import functools
from collections.abc import Callable
from typing import Unpack

import keras

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.series_stacks import conv1d_stack
from kerasae.models.stacks import conv_stack
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, as_tuple, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder
from kerasae.validation import check_count


@passes_on_to(stacked_autoencoder, sets=("stack",))
def convolutional_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    kernel_size: int | None = None,
    strides: int = 2,
    maps: bool = False,
    activation: Activation = "relu",
    codings_activation: Activation | None = "linear",
    name: str = "convolutional_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """Convolutions that shrink images or series to codings, and others that lead back, compiled.

    Any other family does the same where it is given the shape of an image or a series: `conv_stack`
    and `conv1d_stack` are what they share.

    Args:
        input_shape: Shape of one row: `(height, width, channels)`, or `(steps, channels)`.
        hidden_units: Filters of the convolutions, then the number of codings, `(16, 32, 10)`; with
            `maps` the filters of every convolution, the codings' last.
        kernel_size: Height and width of the kernels, or their steps, at least 1; by default 3, and
            7 for series.
        strides: By how much each convolution divides height and width, or the steps, rounded up; at
            least 1.
        maps: Whether the codings are feature maps, (batch, height, width, filters) or (batch,
            steps, filters).
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        codings_activation: The same for the codings.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: The rows are neither images nor series, or what `stacked_autoencoder` refuses.

    Reference: Masci et al. (2011), Stacked convolutional auto-encoders for hierarchical feature
    extraction.

    Example:
        >>> model = convolutional_autoencoder((28, 28, 1), (8, 16, 10))
        >>> [layer.output.shape[1:] for layer in model.encoder.layers]
        [(14, 14, 8), (7, 7, 16), (784,), (10,)]
    """
    check_count("kernel_size", kernel_size)
    check_count("strides", strides)
    series = len(as_tuple("input_shape", input_shape)) == 2
    stack: Callable[..., tuple[keras.Model, keras.Model]] = conv1d_stack if series else conv_stack
    kernel_size = kernel_size or (7 if series else 3)
    return stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        stack=functools.partial(stack, kernel_size=kernel_size, strides=strides, maps=maps),
        activation=activation,
        codings_activation=codings_activation,
        name=name,
        **options,
    )
