"""Adversarial autoencoders: a discriminator shapes the codings."""

from collections.abc import Callable
from typing import Unpack

import keras

from kerasae.layers.adversarial import AdversarialPrior
from kerasae.layers.priors import GaussianPrior, MixturePrior, Prior, SwissRollPrior
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, as_tuple, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder
from kerasae.validation import unknown

PRIORS: dict[str, Callable[[int], Prior]] = {
    "gaussian": GaussianPrior,
    "mixture": lambda codings: MixturePrior(),
    "swiss-roll": lambda codings: SwissRollPrior(),
}


@passes_on_to(stacked_autoencoder, sets=("bottleneck",))
def adversarial_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    prior: str | Prior = "gaussian",
    discriminator_units: Shape = (256, 256),
    beta: float = 0.05,
    activation: Activation = "relu",
    codings_activation: Activation | None = "linear",
    seed: int | None = None,
    name: str = "adversarial_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack whose codings are made to look like draws of a prior, compiled.

    `model.generate` decodes draws of the prior. See `AdversarialPrior` for how it trains; it is
    steadier with Adam's first beta at 0.5 than at 0.9 (Radford et al., 2016).

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last.
        prior: "gaussian", or in two codings "mixture" or "swiss-roll"; or a `Prior`.
        discriminator_units: Widths of the discriminator's hidden layers.
        beta: Weight of the term that makes the encoder fool the discriminator, beside the mean
            squared error.
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        codings_activation: The same for the codings, which must reach all that the prior does.
        seed: Integer, or None for a random one, of the draws in training.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam, whose first beta is 0.5, and mean squared error.

    Raises:
        ValueError: An unknown prior, one of another number of codings, or what
            `stacked_autoencoder` refuses.

    Reference: Makhzani et al. (2015), Adversarial autoencoders.

    Example:
        >>> model = adversarial_autoencoder((64,), (32, 2), prior="swiss-roll")
        >>> model.generate(3, seed=0).shape
        (3, 64)
    """
    hidden_units = as_tuple("hidden_units", hidden_units)
    if isinstance(prior, str) and prior not in PRIORS:
        raise ValueError(unknown("prior", prior, list(PRIORS)))
    bottleneck = AdversarialPrior(
        PRIORS[prior](hidden_units[-1]) if isinstance(prior, str) else prior,
        as_tuple("discriminator_units", discriminator_units),
        beta,
        seed,
        name="adversary",
    )
    model = stacked_autoencoder(  # type: ignore[misc]
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        bottleneck=bottleneck,
        name=name,
        **options,
    )
    model.compile(keras.optimizers.Adam(beta_1=0.5))
    return model
