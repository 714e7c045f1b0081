"""Variational autoencoders: codings with a distribution, and rows generated from it."""

from typing import Unpack

from kerasae.layers.gaussian_codings import GaussianCodings
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.losses import BernoulliLikelihood, GaussianLikelihood
from kerasae.models.zoo.arguments import Activation, Shape, StackOptions, as_tuple, passes_on_to
from kerasae.models.zoo.stacked import stacked_autoencoder
from kerasae.validation import unknown


@passes_on_to(stacked_autoencoder, sets=("codings", "codings_activation"))
def variational_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    beta: float = 1.0,
    likelihood: str = "bernoulli",
    stddev: float = 0.1,
    activation: Activation = "relu",
    seed: int | None = None,
    name: str = "variational_autoencoder",
    **options: Unpack[StackOptions],
) -> Autoencoder:
    """A stack whose codings are distributions, near the standard normal one, compiled.

    The loss is the negative evidence lower bound in nats a row, with the divergence weighed by
    beta; `kerasae.evidence_lower_bound` and `kerasae.log_likelihood` measure it, and
    `model.generate` draws new rows. `encode` gives the mean, without randomness.

    Args:
        input_shape: Shape of one row: `(columns,)`, the number of columns, or `(height, width,
            channels)`.
        hidden_units: Widths of the encoder's layers, the codings' last.
        beta: Weight of the divergence; 1 for the bound itself.
        likelihood: "bernoulli", for scaled values in [0, 1], with a sigmoid output; or "gaussian",
            for any, with a linear one. A table has its own, which is Gaussian for numbers.
        stddev: Standard deviation of the Gaussian likelihood, on the scaled values.
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        seed: Integer, or None for a random one, of the draws in training.
        name: Name of the model.
        **options: Other arguments of `stacked_autoencoder`.

    Returns:
        An `Autoencoder` with Adam and the likelihood as its loss.

    Raises:
        ValueError: An unknown likelihood, a `beta` or `stddev` that cannot be, or what
            `stacked_autoencoder` refuses.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes; Doersch (2016), Tutorial
    on variational autoencoders.

    Example:
        >>> model = variational_autoencoder((64,), (32, 2))
        >>> model.generate(3, seed=0).shape
        (3, 64)
    """
    likelihoods = {
        "bernoulli": (BernoulliLikelihood, {}, "sigmoid"),
        "gaussian": (GaussianLikelihood, {"stddev": stddev}, "linear"),
    }
    if likelihood not in likelihoods:
        raise ValueError(unknown("likelihood", likelihood, list(likelihoods)))
    loss, settings, output_activation = likelihoods[likelihood]
    if (own := getattr(options.get("scaler"), "likelihood", None)) is not None:  # of tables
        loss, settings, output_activation = own, {"stddev": stddev}, "linear"
    hidden_units = as_tuple("hidden_units", hidden_units)
    return stacked_autoencoder(
        input_shape,
        hidden_units,
        activation=activation,
        codings=GaussianCodings(hidden_units[-1], beta, seed=seed, name="codings"),
        name=name,
        **{"loss": loss(**settings), "output_activation": output_activation, **options},
    )
