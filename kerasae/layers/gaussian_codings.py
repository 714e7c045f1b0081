"""The bottleneck of a variational autoencoder."""

from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, batch_variable
from kerasae.layers.beta import add_beta
from kerasae.layers.priors import GaussianPrior
from kerasae.layers.seeded import SeededLayer


def gaussian_kl(mean: Any, log_variance: Any) -> Any:
    r"""Kullback-Leibler divergence of a diagonal normal distribution from the standard one.

    $$KL(N(\mu, \sigma^2) \| N(0, I)) =
    \frac{1}{2} \sum_j (\mu_j^2 + \sigma_j^2 - 1 - \log \sigma_j^2)$$

    Args:
        mean: Means, shape (batch, codings).
        log_variance: Logarithms of the variances, same shape.

    Returns:
        A tensor of shape (batch,), in nats, at least 0.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes, appendix B.

    Example:
        >>> import numpy as np
        >>> float(gaussian_kl(np.ones((1, 2)), np.zeros((1, 2)))[0])
        1.0
    """
    # expm1: near the prior, exp(v) - 1 - v in this form does not lose its digits.
    terms = ops.square(mean) + (ops.expm1(log_variance) - log_variance)
    return 0.5 * ops.sum(terms, axis=-1)


@keras.saving.register_keras_serializable("kerasae")
class GaussianCodings(SeededLayer):
    r"""Codings that are drawn from a normal distribution in training, and its mean at inference.

    $$h = \mu(x) + \sigma(x) \epsilon, \quad \epsilon \sim N(0, I), \quad
    \log \sigma^2(x) = b \tanh(v(x) / b)$$

    with two dense layers $\mu$ and v over the inputs, and the log-variance within its bound b.
    Adds $\beta$ times the mean over the batch of $KL(N(\mu, \sigma^2) \| N(0, I))$ to the loss, in
    nats, so that beside a negative log-likelihood the loss is the negative evidence lower bound
    for beta 1. Works in float32 under every dtype policy. The divergence is a metric in training,
    `kl_divergence`.

    Args:
        units: Number of codings.
        beta: Weight of the divergence, at least 0. It becomes the variable `beta`:
            `layer.beta.assign(0.5)` changes it between batches, as `PenaltyWarmup` does.
        bound: The log-variance lies in (-bound, bound); above 0.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `beta` is negative or not finite, or `bound` is not above 0.

    Shapes: (batch, inputs) to (batch, units).

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes; Higgins et al. (2017),
    beta-VAE, for beta.

    Example:
        >>> import numpy as np
        >>> layer = GaussianCodings(2, seed=0)
        >>> layer(np.ones((5, 3), "float32")).shape
        TensorShape([5, 2])
    """

    def __init__(
        self,
        units: int,
        beta: float = 1.0,
        bound: float = 10.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        if not 0 < bound < float("inf"):
            raise ValueError(f"bound must be finite and above 0. Received: bound={bound}")
        kwargs["dtype"] = "float32"
        super().__init__(seed, **kwargs)
        self.units = units
        self.normals_per_row = units
        self.bound = bound
        self.prior = GaussianPrior(units)
        self.mean = keras.layers.Dense(units, dtype="float32", name="mean")
        self.raw_log_variance = keras.layers.Dense(units, dtype="float32", name="log_variance")
        self.beta = add_beta(self, beta)
        self.divergence = batch_variable(self, "divergence")
        self.kl_divergence = keras.metrics.Mean("kl_divergence")

    def build(self, input_shape):
        self.mean.build(input_shape)
        self.raw_log_variance.build(input_shape)

    @property
    def stops_identity(self) -> bool:
        """Whether the divergence has any weight: without it the noise vanishes."""
        return float(ops.convert_to_numpy(self.beta)) > 0

    def distribution(self, inputs: Any) -> tuple[Any, Any]:
        """Mean and log-variance of the codings of each row, both (batch, units)."""
        inputs = ops.cast(inputs, "float32")
        raw = self.raw_log_variance(inputs)
        return self.mean(inputs), self.bound * ops.tanh(raw / self.bound)

    def call(self, inputs, training=False):
        mean, log_variance = self.distribution(inputs)
        divergence = ops.mean(gaussian_kl(mean, log_variance))
        self.add_loss(self.beta * divergence)
        if not training:
            return mean
        self.divergence.assign(divergence)
        noise = keras.random.normal(ops.shape(mean), dtype="float32", seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise

    def at_inference(self) -> keras.layers.Layer:
        """A dense layer with the weights of the mean."""
        dense = keras.layers.Dense(self.units, dtype="float32", name=self.name)
        dense.build((None, self.mean.kernel.shape[0]))
        dense.set_weights(self.mean.get_weights())
        return dense

    def report(self) -> None:
        """Updates the metric from the last batch."""
        self.kl_divergence.update_state(self.divergence)

    def compute_output_spec(self, inputs, training=False):
        return keras.KerasTensor((*inputs.shape[:-1], self.units), dtype="float32")
