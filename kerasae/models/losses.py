"""Likelihoods as losses, in nats a row."""

import functools
import math
from typing import Any

import keras
from keras import ops


class Likelihood(keras.losses.Loss):
    """Negative log-likelihood, summed over the features and averaged over the rows.

    A subclass has `terms`, the term of each feature, and `needs_unit_interval`, whether they are
    those of values in [0, 1]. Where the target is NaN there is no term.
    """

    needs_unit_interval = False

    def __init__(self, name: str) -> None:
        super().__init__(name=name, reduction="sum_over_batch_size")

    def terms(self, y_true: Any, y_pred: Any) -> Any:
        """The term of each feature, the shape of the inputs."""
        raise NotImplementedError

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
        known = ops.logical_not(ops.isnan(y_true))
        terms = self.terms(ops.where(known, y_true, 0), y_pred)
        if terms.shape[1:] == known.shape[1:]:  # those of a table leave its missing cells out
            terms = ops.where(known, terms, 0)
        return ops.sum(terms, axis=tuple(range(1, len(terms.shape))))


@keras.saving.register_keras_serializable("kerasae")
class BernoulliLikelihood(Likelihood):
    r"""Negative log-likelihood of independent Bernoulli values: the summed cross-entropy.

    $$- \log p(x | \hat x) = - \sum_i x_i \log \hat x_i + (1 - x_i) \log (1 - \hat x_i)$$

    Args:
        name: Name of the loss.

    Shapes: targets and probabilities in [0, 1], (batch, ...); the loss of a row is in nats.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes, appendix C.

    Example:
        >>> import numpy as np
        >>> round(float(BernoulliLikelihood()(np.ones((1, 2)), np.full((1, 2), 0.5))), 3)
        1.386
    """

    needs_unit_interval = True

    def __init__(self, name: str = "bernoulli_crossentropy") -> None:
        super().__init__(name)

    def terms(self, y_true: Any, y_pred: Any) -> Any:
        """The term of each feature, the shape of the inputs."""
        # A clip to the margin would have no gradient where the output is certain and wrong; this
        # one only undoes the rounding of a value that went through the scaler and back.
        p = 1e-7 + (1 - 2e-7) * ops.clip(y_pred, 0, 1)
        return -(y_true * ops.log(p) + (1 - y_true) * ops.log1p(-p))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("kerasae")
class GaussianLikelihood(Likelihood):
    r"""Negative log-likelihood of independent normal values with one standard deviation.

    $$- \log p(x | \hat x) = \sum_i \frac{(x_i - \hat x_i)^2}{2 \mathtt{stddev}^2}
    + \frac{1}{2} \log (2 \pi \mathtt{stddev}^2)$$

    Args:
        stddev: Standard deviation, above 0, in the units of the (scaled) values.
        name: Name of the loss.

    Raises:
        ValueError: `stddev` is not above 0.

    Shapes: targets and means, (batch, ...); the loss of a row is in nats, and can be negative.

    Reference: Doersch (2016), Tutorial on variational autoencoders.

    Example:
        >>> import numpy as np
        >>> round(float(GaussianLikelihood(1.0)(np.ones((1, 2)), np.ones((1, 2)))), 3)
        1.838
    """

    def __init__(self, stddev: float, name: str = "gaussian_likelihood") -> None:
        if not 0 < stddev < math.inf:
            raise ValueError(f"stddev must be finite and above 0. Received: stddev={stddev}")
        super().__init__(name)
        self.stddev = stddev

    def terms(self, y_true: Any, y_pred: Any) -> Any:
        """The term of each feature, the shape of the inputs."""
        constant = 0.5 * math.log(2 * math.pi * self.stddev**2)
        return 0.5 * ops.square((y_true - y_pred) / self.stddev) + constant

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"name": self.name, "stddev": self.stddev}


# Losses of Keras whose targets are probabilities, by the functions behind all their names.
_OF_PROBABILITIES = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.kl_divergence,
)


def needs_unit_interval(loss: Any) -> bool:
    """Whether a loss is one of values in [0, 1]: outside it has no minimum where they agree.

    Args:
        loss: What `compile` takes: a name such as "bce", a function, an object, several, or None.

    Returns:
        Whether it is a cross-entropy of Keras, under any of its names, or a Bernoulli likelihood.

    Example:
        >>> needs_unit_interval("bce"), needs_unit_interval("mse")
        (True, False)
    """
    if isinstance(loss, dict | list | tuple):
        return any(map(needs_unit_interval, loss.values() if isinstance(loss, dict) else loss))
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return False  # `compile` refuses it
    if isinstance(loss, Likelihood):
        return loss.needs_unit_interval
    while isinstance(loss, functools.partial):
        loss = loss.func
    function = getattr(loss, "fn", loss)
    return function in _OF_PROBABILITIES
