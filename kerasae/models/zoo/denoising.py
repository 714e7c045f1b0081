"""Denoising: corrupted rows in, clean rows out."""

from typing import Unpack

from kerasae.layers.corruption import GaussianCorruption
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder)
def denoising_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    activation: Activation = "tanh",
    codings_activation: Activation | None = None,
    name: str = "denoising_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack that learns to restore rows from corrupted ones, compiled.

    Its inputs are corrupted in training only; the target is the clean row, and so is what it is
    validated on. The codings may be more than the columns.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the encoder's layers, the codings' last.
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        codings_activation: The same for the codings; by default that of the hidden layers.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`. `corruption` is `GaussianCorruption`,
            `SaltPepperDropout` or another layer, on the scaled values; by default Gaussian noise
            with a standard deviation of 0.2.

    Returns:
        An `Autoencoder` with Adam and mean squared error.

    Raises:
        ValueError: What `stacked_autoencoder` refuses.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
    autoencoders.

    Example:
        >>> model = denoising_autoencoder((64,), 100)
        >>> model.encoder.layers[0].name, model.encoder.layers[0].stddev
        ('corruption', 0.2)
    """
    if options.get("corruption") is None:
        options["corruption"] = GaussianCorruption(0.2, name="corruption")
    return stacked_autoencoder(
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        name=name,
        **options,
    )
