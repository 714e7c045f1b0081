"""What denoising adds to the inputs: noise that acts in training only."""

import math
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, PassThrough
from kerasae.layers.seeded import SeededLayer


class Corruption(SeededLayer, PassThrough):
    """The identity at inference; `corrupt(x)` in training.

    Args:
        seed: Integer, or None for a random one.
        **kwargs: Name and other arguments of `keras.layers.Layer`.
    """

    identity_at_inference = True

    def __init__(self, seed: int | None, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(seed, **kwargs)
        self.built = True

    def corrupt(self, x: Any) -> Any:
        """Draws one corruption of `x`, whatever the mode."""
        raise NotImplementedError

    def call(self, inputs, training=False):
        return self.corrupt(inputs) if training else inputs

    def _selected(self, x, rate):
        """A random mask, true for a fraction `rate` of the entries of `x`."""
        # float32 whatever x is: float16 has too few values below 1 for small rates.
        return keras.random.uniform(ops.shape(x), dtype="float32", seed=self.seed_generator) < rate


@keras.saving.register_keras_serializable("kerasae")
class GaussianCorruption(Corruption):
    r"""Adds Gaussian noise to a random fraction of the inputs, in training only.

    $$\tilde x_i = x_i + m_i \epsilon_i, \quad
    \epsilon_i \sim N(0, \mathtt{stddev}^2), \quad m_i \sim \mathrm{Bernoulli}(\mathtt{rate})$$

    Args:
        stddev: Standard deviation of the noise, at least 0, in the units of the (scaled) inputs.
        rate: Fraction of the entries that receive noise, in [0, 1].
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `stddev` is negative or not finite, or `rate` lies outside [0, 1].
        TypeError: The inputs are integers, which cannot hold the noise.

    Shapes: any; the output has the shape and dtype of the input.

    Reference: Vincent (2011), A connection between score matching and denoising autoencoders.

    Example:
        >>> import numpy as np
        >>> layer = GaussianCorruption(stddev=0.1, seed=0)
        >>> float(np.std(layer(np.zeros((100, 100), "float32"), training=True))).__round__(2)
        0.1
    """

    normals_per_row = math.inf  # one a value, of which there can be any number

    def __init__(
        self,
        stddev: float,
        rate: float = 1.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        if not 0 <= stddev < float("inf"):
            raise ValueError(f"stddev must be finite and at least 0. Received: stddev={stddev}")
        _check_fraction("rate", rate)
        super().__init__(seed, **kwargs)
        self.stddev = stddev
        self.rate = rate

    @property
    def stops_identity(self) -> bool:
        """Whether there is any noise."""
        return self.stddev > 0 and self.rate > 0

    def corrupt(self, x: Any) -> Any:
        """Draws one corruption of `x`, whatever the mode."""
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
            raise TypeError(
                "inputs must be floating-point numbers for GaussianCorruption. "
                f"Received: dtype={x.dtype}. Try scaling or casting them first"
            )
        noise = keras.random.normal(
            ops.shape(x), stddev=self.stddev, dtype=x.dtype, seed=self.seed_generator
        )
        if self.rate < 1:
            noise = ops.where(self._selected(x, self.rate), noise, ops.zeros_like(noise))
        return x + noise


@keras.saving.register_keras_serializable("kerasae")
class SaltPepperDropout(Corruption):
    r"""Sets a random fraction of the inputs to their highest or lowest value, in training only.

    $$\tilde x_i = \begin{cases}
    \mathtt{high} & \text{with probability } \mathtt{rate} \cdot \mathtt{salt} \\
    \mathtt{low} & \text{with probability } \mathtt{rate} \cdot (1 - \mathtt{salt}) \\
    x_i & \text{otherwise} \end{cases}$$

    The survivors are not rescaled, unlike in dropout. With `salt=0` and `low=0` this is the
    masking noise of Vincent et al. (2008).

    Args:
        rate: Fraction of the entries that are replaced, in [0, 1].
        salt: Share of these that become `high`, in [0, 1]; the rest become `low`.
        low: The pepper, in the units of the (scaled) inputs.
        high: The salt, in the same units, not below `low`.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `rate` or `salt` lies outside [0, 1], or `low` and `high` are not finite and
            in order.
        TypeError: The inputs are integers and `low` or `high` is not a whole number.

    Shapes: any; the output has the shape and dtype of the input.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
    autoencoders; Vincent et al. (2010) for salt and pepper.

    Example:
        >>> import numpy as np
        >>> layer = SaltPepperDropout(rate=0.3, salt=0.0, seed=0)
        >>> float(np.mean(layer(np.ones((100, 100), "float32"), training=True))).__round__(1)
        0.7
    """

    def __init__(
        self,
        rate: float,
        salt: float = 0.5,
        low: float = 0.0,
        high: float = 1.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        _check_fraction("rate", rate)
        _check_fraction("salt", salt)
        if not -float("inf") < low <= high < float("inf"):
            raise ValueError(
                f"low and high must be finite and in order. Received: low={low}, high={high}"
            )
        super().__init__(seed, **kwargs)
        self.rate = rate
        self.salt = salt
        self.low = low
        self.high = high

    @property
    def stops_identity(self) -> bool:
        """Whether any entry is replaced."""
        return self.rate > 0

    def corrupt(self, x: Any) -> Any:
        """Draws one corruption of `x`, whatever the mode."""
        x = ops.convert_to_tensor(x)
        floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
        if not floating and (self.low % 1 or self.high % 1):
            raise TypeError(
                "low and high must be whole numbers for integers. "
                f"Received: dtype={x.dtype}, low={self.low}, high={self.high}"
            )
        low, high = (ops.cast(value, x.dtype) for value in (self.low, self.high))
        noise = ops.where(self._selected(x, self.salt), high, low)
        return ops.where(self._selected(x, self.rate), noise, x)


def _check_fraction(name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1]. Received: {name}={value}")
