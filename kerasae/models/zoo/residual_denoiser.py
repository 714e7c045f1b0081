"""A denoiser of many noise levels, which learns what lies beyond independent columns."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Unpack

import keras

from kerasae.layers.corruption import GaussianCorruption
from kerasae.layers.noise_levels import NoiseLevelFeatures, ResidualDenoising
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo.arguments import (
    Activation,
    Shape,
    StackOptions,
    as_tuple,
    passes_on_to,
)
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(
    stacked_autoencoder, sets=("corruption", "codings", "bottleneck", "gate", "stack", "tied")
)
def residual_denoiser(
    input_shape: Shape,
    hidden_units: Shape = (256, 256),
    *,
    stddev: tuple[float, float] = (0.2, 1.6),
    activation: Activation = "silu",
    codings_activation: Activation | None = None,
    seed: int | None = None,
    name: str = "residual_denoiser",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """Dense layers that are told how noisy a row is and find its noise, compiled.

    Each row gets noise of its own level in training; see `ResidualDenoising` for what is learnt.
    Columns have to be standardised for it, by a `keras.layers.Normalization` for example. It is
    the model behind `kerasae.anomaly.Detector`. There is no bottleneck: the codings are the hidden
    units, then the row and the level, which the decoder needs, too.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the dense layers.
        stddev: The lowest and the highest standard deviation of the noise, above 0, on the scaled
            values. At inference the row is taken to have the lowest.
        activation: Name of a Keras activation, or a callable, for the dense layers.
        codings_activation: The same for the last of them; by default that of the others.
        seed: Integer, or None for a random one, of the first weights and of the noise.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with mean squared error and Adam, whose second moments follow the changing
        noise (beta_2 0.99) and whose gradients are clipped. Its sample weights weigh the mean
        squared error alone, not what the levels below 1 count more.

    Raises:
        ValueError: The rows are no rows of columns, a `stddev` that cannot be, or what
            `stacked_autoencoder` refuses.

    Reference: Karras et al. (2022), Elucidating the design space of diffusion-based generative
    models; Livernoche et al. (2024), On diffusion modeling for anomaly detection.

    Example:
        >>> model = residual_denoiser((6,), (32, 16))
        >>> [layer.name for layer in model.encoder.layers]
        ['input', 'corruption', 'features', 'hidden_1', 'codings', 'with_row']
    """
    noise = GaussianCorruption(stddev, seed=seed, append_level=True, name="corruption")
    model = stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        corruption=noise,
        stack=functools.partial(_residual_stack, seed=seed),
        name=name,
        **options,
    )
    model.compile(keras.optimizers.Adam(0.001, beta_2=0.99, global_clipnorm=5.0))
    return model


def _residual_stack(
    input_shape: Sequence[int],
    hidden_units: Sequence[int],
    *,
    activation: str | Callable[..., Any],
    output_activation: str | Callable[..., Any],
    codings_activation: str | Callable[..., Any] | None,
    corruption: keras.layers.Layer,
    seed: int | None,
    **absent: None,
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder; see `stacks.dense_stack` for the arguments."""
    columns = as_tuple("input_shape", input_shape)
    if len(columns) != 1:
        raise ValueError(
            "input_shape must be (columns,) for a residual denoiser. "
            f"Received: input_shape={input_shape}. Try flattening the images"
        )
    row = keras.Input(columns, name="input")
    noisy = corruption(row)
    hidden = NoiseLevelFeatures(name="features")(noisy)
    last = len(hidden_units)
    for i, units in enumerate(hidden_units, start=1):
        hidden = keras.layers.Dense(
            units,
            activation=(codings_activation if i == last else None) or activation,
            kernel_initializer=keras.initializers.GlorotUniform(None if seed is None else seed + i),
            name="codings" if i == last else f"hidden_{i}",
        )(hidden)
    # float32 under every dtype policy: the row is in it.
    join = keras.layers.Concatenate(dtype="float32", name="with_row")
    encoder = keras.Model(row, join([hidden, noisy]), name="encoder")
    output = ResidualDenoising(columns[0], output_activation, seed=seed, name="output")
    decoder = keras.Sequential([keras.Input(encoder.output_shape[1:]), output], name="decoder")
    return encoder, decoder
