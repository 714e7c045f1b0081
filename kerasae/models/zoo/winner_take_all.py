"""Sparse codings by competition: k-sparse and winner-take-all."""

import functools
from typing import Unpack

from kerasae.layers.winner_take_all import KSparse, SpatialWinnerTakeAll, WinnerTakeAll
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.series_stacks import conv1d_stack
from kerasae.models.stacks import conv_stack
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, as_tuple, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder, sets=("bottleneck",))
def k_sparse_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    k: int = 10,
    alpha: float = 1.0,
    activation: Activation = "relu",
    codings_activation: Activation | None = "linear",
    name: str = "k_sparse_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack that reconstructs each row from its k largest codings, compiled.

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last; the codings may be more
            than the columns.
        k: How many codings a row keeps, at least 1.
        alpha: By how much more at inference, at least 1.
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        codings_activation: The same for the codings; the paper has linear ones.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: `k` or `alpha` cannot be, or what `stacked_autoencoder` refuses.

    Reference: Makhzani and Frey (2013), k-Sparse autoencoders.

    Example:
        >>> import numpy as np
        >>> model = k_sparse_autoencoder((64,), 100, k=5)
        >>> np.count_nonzero(model.encode(np.eye(64)), axis=1).max()
        np.int64(5)
    """
    return stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        bottleneck=KSparse(k, alpha, name="k_sparse"),
        name=name,
        **options,
    )


@passes_on_to(stacked_autoencoder, sets=("gate",))
def winner_take_all_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    winners: float = 0.05,
    activation: Activation = "relu",
    codings_activation: Activation | None = None,
    name: str = "winner_take_all_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack in which each coding stands for the few rows that excite it most, compiled.

    Rows of columns get lifetime sparsity; images and series get feature maps as codings, with
    spatial and lifetime sparsity. `encode` gives the rectified codings of before the competition,
    which are the paper's features; the decoder begins with the competition. See `WinnerTakeAll`.

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last; for images and series the
            filters of the convolutions, which keep height and width, or the steps. For images they
            are of 5x5, `(128, 128)` in the paper, and the decoder is, as there, a single linear
            convolution of 11x11.
        winners: Share of the rows that a coding is passed on for, in (0, 1].
        activation: Name of a Keras activation, or a callable, for the hidden layers and codings.
        codings_activation: The same for the codings; by default that of the hidden layers.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: `winners` lies outside (0, 1], or what `stacked_autoencoder` refuses.

    Reference: Makhzani and Frey (2015), Winner-take-all autoencoders.

    Example:
        >>> model = winner_take_all_autoencoder((64,), 100)
        >>> [layer.name for layer in model.decoder.layers]
        ['winner_take_all', 'output']
    """
    convolutions = {
        2: functools.partial(conv1d_stack, kernel_size=5, strides=1, maps=True),
        3: functools.partial(
            conv_stack, kernel_size=5, strides=1, maps=True, single_kernel_size=11
        ),
    }.get(len(as_tuple("input_shape", input_shape)))
    if convolutions:
        options["stack"] = options.get("stack") or convolutions
    gate = SpatialWinnerTakeAll if convolutions else WinnerTakeAll
    return stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        gate=gate(winners, name="winner_take_all"),
        name=name,
        **options,
    )
