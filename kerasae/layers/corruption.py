"""What denoising adds to the inputs: noise that acts in training only."""

import contextlib
import contextvars
import math
from collections.abc import Iterator, Sequence
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


# The level that corruptions hand on at inference, in place of their lowest. Of one thread and one
# trace, as in `programs.scaled_outputs`.
_level: contextvars.ContextVar[float | None] = contextvars.ContextVar("noise_level", default=None)


@contextlib.contextmanager
def noise_level(level: float | None) -> Iterator[None]:
    """Has corruptions that hand their level on hand on this one, while rows stay clean.

    Args:
        level: Standard deviation of the noise that a model is to expect, or None for the lowest.
    """
    token = _level.set(level)
    try:
        yield
    finally:
        _level.reset(token)


@keras.saving.register_keras_serializable("kerasae")
class GaussianCorruption(Corruption):
    r"""Adds Gaussian noise to a random fraction of the inputs, in training only.

    $$\tilde x_i = x_i + m_i \epsilon_i, \quad
    \epsilon_i \sim N(0, \mathtt{stddev}^2), \quad m_i \sim \mathrm{Bernoulli}(\mathtt{rate})$$

    A pair `(low, high)` draws a standard deviation for each row, log-uniformly between the two.
    With `append_level` the output has one more column that holds it, so that the layers behind
    know how noisy a row is. At inference the row is clean, and the level is `low`, or that of the
    context `noise_level`.

    Args:
        stddev: Standard deviation of the noise, at least 0, in the units of the (scaled) inputs; or
            the lowest and the highest, above 0 and in order.
        rate: Fraction of the entries that receive noise, in [0, 1].
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        append_level: Whether the level is handed on, as the last column.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `stddev` is negative or not finite, a pair is not above 0 and in order, or
            `rate` lies outside [0, 1].
        TypeError: The inputs are integers, which cannot hold the noise.

    Shapes: any; the output has the shape and dtype of the input, and one more column, the last,
    with `append_level`.

    Reference: Vincent (2011), A connection between score matching and denoising autoencoders; Song
    and Ermon (2019), Generative modeling by estimating gradients of the data distribution, for many
    levels.

    Example:
        >>> import numpy as np
        >>> layer = GaussianCorruption(stddev=0.1, seed=0)
        >>> float(np.std(layer(np.zeros((100, 100), "float32"), training=True))).__round__(2)
        0.1
        >>> layer = GaussianCorruption(stddev=(0.2, 1.6), seed=0, append_level=True)
        >>> rows = np.asarray(layer(np.zeros((2, 1000), "float32"), training=True))
        >>> np.allclose(rows[:, :-1].std(axis=1), rows[:, -1], rtol=0.1)
        True
    """

    normals_per_row = math.inf  # one a value, of which there can be any number

    def __init__(
        self,
        stddev: float | Sequence[float],
        rate: float = 1.0,
        seed: int | None = None,
        append_level: bool = False,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        levels = _levels(stddev)
        _check_fraction("rate", rate)
        super().__init__(seed, **kwargs)
        self.stddev = stddev if len(levels) == 1 else levels
        self.rate = rate
        self.append_level = append_level
        self.identity_at_inference = not append_level

    @property
    def stops_identity(self) -> bool:
        """Whether there is any noise."""
        return max(_levels(self.stddev)) > 0 and self.rate > 0

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> keras.KerasTensor:
        *leading, columns = inputs.shape
        shape = (*leading, columns + self.append_level)
        return keras.KerasTensor(shape, dtype=inputs.dtype)

    def call(self, inputs, training=False):
        if training:
            return self.corrupt(inputs)
        if not self.append_level:
            return inputs
        level = _level.get()
        return self._with_level(inputs, ops.full_like(inputs[..., :1], level or self._low))

    def corrupt(self, x: Any) -> Any:
        """Draws one corruption of `x`, whatever the mode."""
        x = ops.convert_to_tensor(x)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
            raise TypeError(
                "inputs must be floating-point numbers for GaussianCorruption. "
                f"Received: dtype={x.dtype}. Try scaling or casting them first"
            )
        # A noise of one level is drawn with it, as ever: models of former versions go on the same.
        level = self.stddev if isinstance(self.stddev, int | float) else self._drawn_levels(x)
        known = level if isinstance(level, int | float) else 1.0
        noise = keras.random.normal(
            ops.shape(x), stddev=known, dtype=x.dtype, seed=self.seed_generator
        )
        if known is not level:
            noise = noise * level
        if self.rate < 1:
            noise = ops.where(self._selected(x, self.rate), noise, ops.zeros_like(noise))
        if not self.append_level:
            return x + noise
        return self._with_level(x + noise, level * ops.ones_like(x[..., :1]))

    @property
    def _low(self):
        return min(_levels(self.stddev))

    def _drawn_levels(self, x):
        """A level for each row, shape (batch, 1, ...)."""
        shape = (ops.shape(x)[0], *(1 for _ in x.shape[1:]))
        share = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        low, high = map(math.log, _levels(self.stddev))
        return ops.cast(ops.exp(low + share * (high - low)), x.dtype)

    def _with_level(self, x, level):
        return ops.concatenate([x, level], axis=-1)


def _levels(stddev):
    """The one standard deviation, or the lowest and the highest."""
    levels = tuple(stddev) if isinstance(stddev, list | tuple) else (stddev,)
    if len(levels) == 1 and not 0 <= levels[0] < float("inf"):
        raise ValueError(f"stddev must be finite and at least 0. Received: stddev={stddev}")
    if len(levels) > 1 and not (len(levels) == 2 and 0 < levels[0] <= levels[1] < float("inf")):
        raise ValueError(
            "stddev must be a number, or the lowest and the highest, finite, above 0 and in order. "
            f"Received: stddev={stddev}"
        )
    return levels


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
