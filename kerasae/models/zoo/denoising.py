"""Denoising: corrupted rows in, clean rows out."""

from kerasae.layers.corruption import GaussianCorruption
from kerasae.models.zoo.stacked import stacked_autoencoder


def denoising_autoencoder(
    input_shape, hidden_units, *, corruption=None, name="denoising_autoencoder", **arguments
):
    """A stack that learns to restore rows from corrupted ones, compiled.

    Its inputs are corrupted in training only; the target is the clean row, and so is what it is
    validated on. The codings may be more than the columns.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns.
        hidden_units: Widths of the encoder's layers, the codings' last.
        corruption: `GaussianCorruption`, `SaltPepperDropout` or another layer, on the scaled
            values; by default Gaussian noise with a standard deviation of 0.2.
        name: Name of the model.
        **arguments: Other arguments of `stacked_autoencoder`.

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
    if corruption is None:
        corruption = GaussianCorruption(0.2, name="corruption")
    return stacked_autoencoder(
        input_shape, hidden_units, corruption=corruption, name=name, **arguments
    )
