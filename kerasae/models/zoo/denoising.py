"""Denoising: corrupted rows in, clean rows out."""

from typing import Unpack

from kerasae.layers.corruption import GaussianCorruption
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.denoising_stack import denoising_stack
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, as_tuple, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder)
def denoising_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    activation: Activation | None = None,
    codings_activation: Activation | None = None,
    name: str = "denoising_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack that learns to restore rows from corrupted ones, compiled.

    Its inputs are corrupted in training only; the target is the clean row, and so is what it is
    validated on. The codings may be more than the columns.

    Images get a `denoising_stack`: convolutions that keep height and width and correct the image
    they get, so that its detail has no bottleneck to pass. What keeps them from the identity is the
    noise. Such a model's weights fit images of any size; see the notebook of photographs.

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last; for images the filters of
            the convolutions.
        activation: Name of a Keras activation, or a callable, for the hidden layers; by default
            tanh, or relu for images.
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
    images = len(as_tuple("input_shape", input_shape)) == 3
    if images and options.get("stack") is None:
        options["stack"] = denoising_stack
    if options.get("corruption") is None:
        options["corruption"] = GaussianCorruption(0.2, name="corruption")
    return stacked_autoencoder(
        input_shape,
        hidden_units,
        activation=activation or ("relu" if images else "tanh"),
        codings_activation=codings_activation,
        name=name,
        **options,
    )
