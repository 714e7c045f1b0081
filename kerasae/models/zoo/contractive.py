"""Contractive autoencoders: codings that hardly move when a row does."""

import functools
from typing import Unpack

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.contractive import ContractiveAutoencoder
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder


@passes_on_to(stacked_autoencoder, sets=("model_class",))
def contractive_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    beta: float = 0.001,
    activation: Activation = "sigmoid",
    codings_activation: Activation | None = None,
    seed: int | None = None,
    name: str = "contractive_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack whose codings are penalized for how much they move with the row, compiled.

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last; the codings may be more
            than the columns.
        beta: Weight of the squared Frobenius norm of the encoder's Jacobian, at least 0.
        activation: One whose derivative follows from its output, for the hidden layers and codings:
            see `ContractivePenalty`.
        codings_activation: The same for the codings; by default that of the hidden layers.
        seed: Integer, or None for a random one, of the estimator for images.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        A `ContractiveAutoencoder` with Adam and mean squared error.

    Raises:
        ValueError: `beta` is negative, the encoder holds a layer whose Jacobian is not known, or
            what `stacked_autoencoder` refuses.

    Reference: Rifai et al. (2011), Contractive auto-encoders: explicit invariance during feature
    extraction.

    Example:
        >>> model = contractive_autoencoder((64,), 100, beta=0.01)
        >>> round(float(model.contraction.beta), 3)
        0.01
    """
    return stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        model_class=functools.partial(ContractiveAutoencoder, beta=beta, seed=seed),
        name=name,
        **options,
    )
