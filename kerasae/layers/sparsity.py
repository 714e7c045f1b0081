"""True Kullback-Leibler sparsity of the codings."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, PassThrough
from kerasae.layers.beta import add_beta

ACTIVATION_RANGES = {
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
}


def bernoulli_kl(p: Any, q: Any) -> Any:
    r"""Kullback-Leibler divergence between two Bernoulli distributions, in nats.

    $$KL(p \| q) = p \log \frac{p}{q} + (1 - p) \log \frac{1 - p}{1 - q}$$

    Args:
        p: Probability of a success under the first distribution, in (0, 1); any shape.
        q: The same under the second, in (0, 1); broadcast against `p`.

    Returns:
        A tensor of the broadcast shape, at least 0, and 0 where the two agree.

    Example:
        >>> float(bernoulli_kl(0.5, 0.5))
        0.0
    """
    return p * (ops.log(p) - ops.log(q)) + (1 - p) * (ops.log1p(-p) - ops.log1p(-q))


@keras.saving.register_keras_serializable("kerasae")
class KLSparsityRegularizer(PassThrough):
    r"""Passes the codings through and pulls each one's mean activation towards `rho`.

    Adds to the loss

    $$\beta \sum_j KL(\rho \| \hat\rho_j), \quad
    \hat\rho_j = \frac{1}{n} \sum_{i=1}^{n} h_{ij}$$

    with the sum over the codings and `rho_hat` their mean over the batch, both mapped from
    `activation_range` to (0, 1). The penalty does not depend on the size of the batch. It is taken
    in float32 whatever the activations are, and on $\epsilon + (1 - 2 \epsilon) \rho$, so that
    its gradient stays finite, and points towards `rho`, where a unit is always off or always on.

    Args:
        rho: Target of the mean activation, strictly inside `activation_range`.
        beta: Weight of the penalty, at least 0; 0 adds nothing. It becomes the variable `beta`:
            `layer.beta.assign(0.05)` changes it between batches, and it is saved with the model.
        activation_range: The two bounds of the activations: (-1, 1) for tanh, (0, 1) for sigmoid.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `rho` does not lie inside the range, the range is empty or unbounded, or `beta`
            is negative or not finite.

    Shapes: any with the batch first; the output is the input.

    Reference: Lee, Ekanadham and Ng (2008), Sparse deep belief net model for visual area V2;
    Ng (2011), Sparse autoencoder, CS294A lecture notes.

    Example:
        >>> import numpy as np
        >>> layer = KLSparsityRegularizer(rho=0.5, beta=1.0, activation_range=(0, 1))
        >>> codings = layer(np.full((4, 3), 0.5, "float32"))
        >>> float(layer.losses[0])
        0.0
    """

    identity_at_inference = True

    def __init__(
        self,
        rho: float,
        beta: float,
        activation_range: Sequence[float] = (-1.0, 1.0),
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        low, high = activation_range
        if not -float("inf") < low < high < float("inf"):
            raise ValueError(
                "activation_range must be two finite bounds in order; KL sparsity needs a bounded "
                f"activation such as tanh or sigmoid. Received: {tuple(activation_range)}"
            )
        if not low < rho < high:
            raise ValueError(
                f"rho must lie strictly inside the activation range ({low}, {high}); tanh has "
                f"(-1, 1), sigmoid (0, 1). Received: rho={rho}"
            )
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.rho = rho
        self.activation_range = (low, high)
        self.beta = add_beta(self, beta)
        self.built = True

    @property
    def stops_identity(self) -> bool:
        """Whether the penalty has any weight."""
        return float(ops.convert_to_numpy(self.beta)) > 0

    def call(self, inputs):
        self.add_loss(self.beta * ops.sum(self.divergence(inputs)))
        return inputs

    def divergence(self, activations: Any) -> Any:
        """KL(rho || rho_hat) of each coding over the batch, in nats: the input's shape less it."""
        # In float16 a gradient of rho / epsilon would overflow: 65504 is its largest number.
        half = keras.backend.standardize_dtype(activations.dtype) == "float16"
        epsilon = 1e-3 if half else 1e-6
        rho_hat = ops.mean(ops.cast(activations, "float32"), axis=0)
        return bernoulli_kl(
            self._to_probability(self.rho, epsilon), self._to_probability(rho_hat, epsilon)
        )

    def _to_probability(self, activation, epsilon):
        low, high = self.activation_range
        return epsilon + (1 - 2 * epsilon) * (activation - low) / (high - low)
