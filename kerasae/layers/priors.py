"""Distributions of codings, made from uniform noise."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


class Prior:
    """A distribution of codings.

    A subclass has `codings`, the number of values of one draw; `uniforms`, the number of uniform
    random numbers that a draw needs; and `__call__`, which makes draws of these, in `keras.ops`, so
    that the same prior serves in training on any backend and in an exported model.
    """

    codings: int
    uniforms: int

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Draws codings.

        Args:
            n: How many rows, at least 1.
            seed: Integer, or None for a random one.

        Returns:
            float32 array of shape (n, codings); the same seed gives the same rows.
        """
        noise = np.random.default_rng(seed).random((n, self.uniforms), dtype="float32")
        return ops.convert_to_numpy(self(ops.convert_to_tensor(noise)))

    def __call__(self, noise: Any) -> Any:
        """Makes draws, (n, codings), of uniform noise in [0, 1), shape (n, uniforms)."""
        raise NotImplementedError

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Prior":
        """Makes the prior that `get_config` described."""
        return cls(**config)


@keras.saving.register_keras_serializable("kerasae")
class GaussianPrior(Prior):
    r"""Independent normal codings, $h \sim N(0, \mathtt{stddev}^2 I)$.

    Args:
        codings: Number of codings.
        stddev: Their standard deviation, above 0.

    Raises:
        ValueError: `stddev` is not above 0.

    Example:
        >>> GaussianPrior(3).sample(2, seed=0).shape
        (2, 3)
    """

    def __init__(self, codings: int, stddev: float = 1.0) -> None:
        _check_positive("stddev", stddev)
        self.codings = self.uniforms = int(codings)
        self.stddev = stddev

    def __call__(self, noise: Any) -> Any:
        return self.stddev * _normal(noise)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"codings": self.codings, "stddev": self.stddev}


@keras.saving.register_keras_serializable("kerasae")
class MixturePrior(Prior):
    r"""Equally likely normal distributions.

    $$h \sim \frac{1}{m} \sum_i N(\mu_i, \mathtt{stddev}^2 I)$$

    Args:
        means: Their centers, shape (m, codings); by default ten on a circle of radius 4.
        stddev: Standard deviation around each, above 0.

    Raises:
        ValueError: `stddev` is not above 0, or `means` are not rows of numbers.

    Reference: Makhzani et al. (2015), Adversarial autoencoders, figure 2.

    Example:
        >>> MixturePrior([[0.0, 0.0], [5.0, 5.0]], stddev=0.1).sample(4, seed=0).shape
        (4, 2)
    """

    def __init__(self, means: Sequence[Sequence[float]] | None = None, stddev: float = 0.5) -> None:
        _check_positive("stddev", stddev)
        if means is None:
            angles = 2 * np.pi * np.arange(10) / 10
            centers = 4 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        else:
            centers = np.asarray(means)
        self.means = centers.astype("float32")
        if self.means.ndim != 2 or not np.isfinite(self.means).all() or not self.means.size:
            raise ValueError(
                f"means must be finite rows of codings. Received: shape={self.means.shape}"
            )
        self.stddev = stddev
        self.codings = self.means.shape[1]
        self.uniforms = self.codings + 1

    def __call__(self, noise: Any) -> Any:
        which = ops.cast(ops.floor(noise[:, 0] * len(self.means)), "int32")
        which = ops.minimum(which, len(self.means) - 1)
        centers = ops.take(ops.convert_to_tensor(self.means), which, axis=0)
        return centers + self.stddev * _normal(noise[:, 1:])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"means": self.means.tolist(), "stddev": self.stddev}


@keras.saving.register_keras_serializable("kerasae")
class SwissRollPrior(Prior):
    r"""A spiral of two turns in the plane.

    $$h = \mathtt{radius} \sqrt u (\cos 4 \pi \sqrt u, \sin 4 \pi \sqrt u) + \epsilon, \quad
    u \sim U(0, 1), \quad \epsilon \sim N(0, \mathtt{stddev}^2 I)$$

    Args:
        radius: Distance of the outer end from the center, above 0.
        stddev: Standard deviation of the normal noise around the spiral, above 0.

    Raises:
        ValueError: An argument is not above 0.

    Reference: Makhzani et al. (2015), Adversarial autoencoders, figure 2.

    Example:
        >>> SwissRollPrior().sample(4, seed=0).shape
        (4, 2)
    """

    def __init__(self, radius: float = 4.0, stddev: float = 0.1) -> None:
        _check_positive("radius", radius)
        _check_positive("stddev", stddev)
        self.radius, self.stddev = radius, stddev
        self.codings, self.uniforms = 2, 3

    def __call__(self, noise: Any) -> Any:
        # The square root makes the points as dense on the long outer turns as on the inner ones.
        share = ops.sqrt(noise[:, :1])
        angle = 4 * math.pi * share
        spiral = self.radius * share * ops.concatenate([ops.cos(angle), ops.sin(angle)], axis=1)
        return spiral + self.stddev * _normal(noise[:, 1:])

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"radius": self.radius, "stddev": self.stddev}


def _normal(uniform):
    """Standard normal values from uniform ones in [0, 1), by the inverse distribution function."""
    # Away from 0 and 1, whose images are infinite: the tails end at 5.3.
    margin = 2.0**-24
    inside = ops.clip(ops.cast(uniform, "float32"), margin, 1 - margin)
    return math.sqrt(2) * ops.erfinv(2 * inside - 1)


def _check_positive(name, value):
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0. Received: {name}={value}")
