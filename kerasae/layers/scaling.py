"""Scalers that are part of the model, and their inverses."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.layers.base import LayerOptions
from kerasae.validation import FLOAT32_MAX, bounded_rows, column, column_order, is_array, names_of

# A column whose values are this many times its range loses digits in float32 before it is scaled.
WIDE = 100
# Types that hold more digits than float32.
WIDE_TYPES = ("float64", "int32", "uint32", "int64", "uint64")


@keras.saving.register_keras_serializable("kerasae")
class RangeScaling(keras.layers.Layer):
    r"""Scales each column by its mean and range, as measured by `adapt`.

    $$z = \frac{x - \mathrm{mean}(x)}{\max(x) - \min(x)}$$

    Every scaled column has mean 0 and range 1, so that a mean squared error weighs them alike.
    A constant column is divided by 1: it becomes 0, and a later drift keeps its size.

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: any with the columns last; the output has the shape of the input, in float32.

    Until `adapt` its output is NaN, so that a forgotten `adapt` does not pass for the identity.
    Mean and range are kept in float64. Rows of float64, where the backend has it, are scaled from
    it where float32 would lose digits: times and coordinates, whose values are many times their
    range.

    Reference: Witten, Frank and Hall (2011), Data Mining, section 2.4, range normalisation.

    Example:
        >>> import numpy as np
        >>> layer = RangeScaling()
        >>> layer.adapt(np.array([[0.0], [10.0], [5.0]]))
        >>> z = layer(np.array([[0.0], [10.0]]))
        >>> np.asarray(z).ravel().tolist(), np.asarray(layer.inverse(z)).ravel().tolist()
        ([-0.5, 0.5], [0.0, 10.0])
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        # float32 under every dtype policy: bfloat16 keeps 8 bits of a raw value.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)

        self.columns: tuple[str, ...] | None = None

    def build(self, input_shape):
        """Makes `mean` and `range`, one value a column, for `adapt` to fill."""
        # Arrays, not variables: on JAX, metrics are computed where variables cannot be read.
        self.mean = np.full(input_shape[-1], np.nan)
        self.range = np.full(input_shape[-1], np.nan)

    def save_own_variables(self, store):
        store["mean"], store["range"] = self.mean, self.range

    def load_own_variables(self, store):
        self.mean, self.range = np.array(store["mean"]), np.array(store["range"])

    def adapt(self, data: Any) -> None:
        """Measures mean and range of each column; a second call starts anew.

        A stream is passed over once.

        Args:
            data: Array or table of shape (rows, ..., columns), or an iterable of such batches, for
                example a `tf.data.Dataset`, of which targets are left out. The names of a table's
                columns become those of a model that is made with this scaler.

        Raises:
            ValueError: There are no rows; cells are NaN or infinite; the range of a column
                overflows float32.
            TypeError: Cells that are not real numbers.

        Warns:
            UserWarning: A column is constant, or its values lie too close for float32.
        """
        count, total, low, high, narrow = 0, 0.0, np.inf, -np.inf, False
        columns = None
        for where, batch in _batches(data):
            if (names := names_of(batch)) is not None:
                known = self.columns if set(self.columns or ()) == set(names) else None
                columns = columns or known or tuple(names)
            if getattr(batch, "shape", [1])[:1] in ((0,), [0]):
                continue
            rows, _ = bounded_rows(batch, columns=columns, where=where, wide=True)
            rows = rows.reshape(-1, rows.shape[-1])
            count += len(rows)
            total = total + rows.sum(axis=0, dtype="float64")
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
            narrow = narrow or rows.dtype == "float32"
        if not count:
            raise ValueError("data must have at least one row. Received: 0 rows")
        width = _width(low, high, columns)
        self.columns = columns
        if not self.built:
            self.build((None, len(width)))
        self.mean, self.range = total / count, np.where(width == 0, 1, width)
        self._warn(width, narrow)

    def _warn(self, width, narrow):
        if not width.all():
            warnings.warn(constant_columns(width == 0, self.columns), UserWarning, stacklevel=3)
        # Fewer than 4096 steps from the lowest to the highest value.
        close = np.flatnonzero((width > 0) & (np.abs(self.mean) > 4096 * self.range))
        if len(close):
            named = ", ".join(column([i], self.columns) for i in close[:5])
            lost = "are lost in the float32 rows that it was adapted to" if narrow else (
                "are kept for rows in float64, and lost in float32, which exported models take"
            )
            warnings.warn(
                f"float32 holds {FLOAT32_STEPS(self, close[0]):.3g} values from the lowest to the "
                f"highest of {named}: the other digits {lost}; subtract an offset from the column",
                UserWarning,
                stacklevel=3,
            )

    def call(self, inputs):
        dtype = "float64" if _is_in_float64(self, inputs) else "float32"
        mean, width = self.mean.astype(dtype), self.range.astype(dtype)
        return ops.cast((ops.cast(inputs, dtype) - mean) / width, "float32")

    def inverse(self, outputs: Any) -> Any:
        """Takes scaled values back to the units that `adapt` saw."""
        width, mean = self.range.astype("float32"), self.mean.astype("float32")
        return ops.cast(outputs, "float32") * width + mean


def constant_columns(is_constant: np.ndarray) -> str:
    """The warning about columns that never change.

    Args:
        is_constant: Boolean array, one value a column.

    Returns:
        One sentence that counts them and names the first few by position.
    """
    columns = np.flatnonzero(is_constant)
    named = ", ".join(map(str, columns[:5])) + (", ..." if len(columns) > 5 else "")
    return f"{len(columns)} of {len(is_constant)} columns are constant and scaled to 0: {named}"


def _is_constant(scaler):
    # A constant column's variance is not 0 but the square of its mean's rounding error.
    return scaler.variance <= ops.square(1e-5 * scaler.mean)


def _divisor(scaler):
    # Keras divides a constant column by 1e-7; here it keeps its size, as in RangeScaling.
    return ops.where(_is_constant(scaler), 1.0, ops.sqrt(scaler.variance))


def scale(scaler: keras.layers.Layer | None, x: Any) -> Any:
    """Scales raw rows.

    Args:
        scaler: A `RangeScaling`, `keras.layers.Normalization`, `keras.layers.Rescaling`, or None
            for the identity; any layer with an `inverse` method serves.
        x: Rows in the user's units, any numeric dtype, shape (batch, ...).

    Returns:
        The scaled rows, float32, same shape. A column that was constant when a `Normalization`
        was adapted is divided by 1.
    """
    x = ops.cast(x, "float32")
    if scaler is None:
        return x
    # Keras's own two are written out: they would compute in the dtype policy's half precision.
    if isinstance(scaler, keras.layers.Normalization):
        return (x - scaler.mean) / _divisor(scaler)
    if isinstance(scaler, keras.layers.Rescaling):
        return x * scaler.scale + scaler.offset
    return scaler(x)


def unscale(scaler: keras.layers.Layer | None, z: Any) -> Any:
    """Takes scaled rows back to the user's units: the inverse of `scale`.

    Args:
        scaler: What `scale` was given.
        z: Scaled rows, shape (batch, ...).

    Returns:
        The rows in the user's units, float32, same shape.
    """
    z = ops.cast(z, "float32")
    if scaler is None:
        return z
    if isinstance(scaler, keras.layers.Normalization):
        return z * _divisor(scaler) + scaler.mean
    if isinstance(scaler, keras.layers.Rescaling):
        return (z - scaler.offset) / scaler.scale
    return scaler.inverse(z)


def check_scaler(scaler: keras.layers.Layer | None, row_shape: Sequence[int]) -> None:
    """Refuses a scaler that cannot serve in a model.

    Args:
        scaler: What a model was given as its scaler.
        row_shape: Shape of the rows that it will scale.

    Raises:
        TypeError: It has no known inverse.
        ValueError: It was not adapted, is an inverse itself, or works in half precision.

    Warns:
        UserWarning: A `Normalization` was adapted to constant columns.
    """
    if scaler is None or isinstance(scaler, keras.layers.Rescaling):
        return
    if not isinstance(scaler, keras.layers.Normalization) and not hasattr(scaler, "inverse"):
        raise TypeError(
            "scaler must be RangeScaling, Normalization, Rescaling, or a layer with an inverse "
            f"method. Received: {scaler!r}"
        )
    if getattr(scaler, "input_mean", None) is not None and not scaler.built:
        scaler.build((None, *row_shape))
    if hasattr(scaler, "adapt") and not scaler.built:
        raise ValueError(
            "scaler must be adapted before the model is made. "
            f"Received: {scaler.name}, not adapted. Try scaler.adapt(x_train)"
        )
    if isinstance(scaler, keras.layers.Normalization):
        if scaler.invert:
            raise ValueError("scaler must not be an inverse. Received: invert=True")
        if scaler.compute_dtype != "float32":
            raise ValueError(
                f"scaler must work in float32. Received: dtype={scaler.compute_dtype}. "
                "Try Normalization(dtype='float32')"
            )
        is_constant = ops.convert_to_numpy(_is_constant(scaler)).ravel()
        if is_constant.any():
            warnings.warn(constant_columns(is_constant), UserWarning, stacklevel=4)
