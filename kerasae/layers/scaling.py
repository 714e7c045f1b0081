"""Scalers that are part of the model, and their inverses."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.layers.base import LayerOptions
from kerasae.validation import (
    FLOAT32_MAX,
    bounded_rows,
    column,
    is_array,
    merged_column,
    names_of,
)

# A column whose values are this many times its range loses digits in float32 before it is scaled,
# and one of so many times as many has fewer than 256 different values in it.
WIDE, TOO_WIDE = 100, 2**16
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
    Times and coordinates, whose values are many times their range, lose digits in float32: rows of
    float64 are scaled in float64 then, where the backend has it.

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
        """Measures mean and range of each column, in one pass; a second call starts anew.

        Args:
            data: Array or table of shape (rows, ..., columns), or an iterable of such batches, for
                example a `tf.data.Dataset`, whose targets are left out. The columns of a table give
                a model that is made with this scaler its names.

        Raises:
            ValueError: There are no rows, cells are NaN or infinite, or the range of a column
                overflows float32.
            TypeError: Cells that are not real numbers.

        Warns:
            UserWarning: A column is constant, or has values that float32 cannot tell apart.
        """
        count, total, low, high, columns = 0, 0.0, np.inf, -np.inf, None
        for where, batch in _batches(data):
            if (names := names_of(batch)) is not None and columns is None:
                same = set(names) == set(self.columns or ())
                columns = self.columns if same else tuple(names)
            rows, _ = bounded_rows(batch, columns=columns, where=where, wide=True)
            rows = rows.reshape(-1, rows.shape[-1])
            count += len(rows)
            total = total + rows.sum(axis=0, dtype="float64")
            low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
        if not count:
            raise ValueError("data must have at least one row. Received: 0 rows")
        width = _width(low, high, columns)
        if not self.built:
            self.build((None, len(width)))
        self.mean, self.range = total / count, np.where(width == 0, 1, width)
        self.columns = columns
        if not width.all():
            warnings.warn(constant_columns(width == 0, columns), UserWarning, stacklevel=2)
        if (close := (width > 0) & (np.abs(self.mean) > TOO_WIDE * width)).any():
            warnings.warn(_close_columns(close, columns), UserWarning, stacklevel=2)

    def call(self, inputs):
        dtype = _dtype_for(self, inputs)
        mean, width = self.mean.astype(dtype), self.range.astype(dtype)
        return ops.cast((ops.cast(inputs, dtype) - mean) / width, "float32")

    def inverse(self, outputs: Any) -> Any:
        """Takes scaled values back to the units that `adapt` saw."""
        mean, width = self.mean.astype("float32"), self.range.astype("float32")
        return ops.cast(outputs, "float32") * width + mean


def _batches(data) -> Iterator[tuple[str, Any]]:
    """What each batch is called, and its rows; those without any are left out."""
    batched = isinstance(data, list | tuple) and data and len(getattr(data[0], "shape", ())) > 1
    stream = (
        hasattr(data, "__iter__") and not isinstance(data, list | tuple) and not _has_shape(data)
    )
    table = names_of(data) is not None or hasattr(data, "keys")
    if table or not (batched or stream or not is_array(data)):
        batches: Iterable[tuple[str, Any]] = [("data", data)]
    else:
        # A dataset may have targets and weights, which a loader gives in a list.
        firsts = (
            batch[0]
            if isinstance(batch, tuple) or (isinstance(batch, list) and _has_shape(batch[0]))
            else batch
            for batch in data
        )
        batches = ((f"batch {number} of data", batch) for number, batch in enumerate(firsts))
    return (pair for pair in batches if not _has_shape(pair[1]) or pair[1].shape[0])


def _has_shape(x):
    return len(getattr(x, "shape", ())) > 0


def _width(low, high, columns):
    """The range of each column, 0 where it is constant for float32."""
    width = np.subtract(high, low, dtype="float64")
    if (too_wide := width > FLOAT32_MAX).any():
        index = np.flatnonzero(too_wide)[:1]
        raise ValueError(
            "data must have ranges that float32 can hold. Received: values from "
            f"{low[index[0]]:.4g} to {high[index[0]]:.4g} in {column(index, columns)}. "
            "Try dividing it first"
        )
    # Below the smallest normal number: a device takes such values for 0.
    return np.where(width < np.finfo("float32").tiny, 0, width)


def _close_columns(is_close, names):
    columns = np.flatnonzero(is_close)
    named = ", ".join(column([i], names) for i in columns[:5]) + ", ..." * (len(columns) > 5)
    return (
        f"float32 holds fewer than 256 values from the lowest to the highest of {named}: rows of "
        "float64 in memory are scaled before they are rounded, but a model that is exported takes "
        "float32; subtract an offset from these columns for it"
    )


def constant_columns(is_constant: np.ndarray, names: Sequence[str] | None = None) -> str:
    """The warning about columns that never change.

    Args:
        is_constant: Boolean array, one value a column.
        names: Names of the columns, or None.

    Returns:
        One sentence that counts them and names the first few.
    """
    columns = np.flatnonzero(is_constant)
    shown = [str(i) if names is None else f"{i} '{names[i]}'" for i in columns[:5]]
    named = ", ".join(shown) + (", ..." if len(columns) > 5 else "")
    return f"{len(columns)} of {len(is_constant)} columns are constant and scaled to 0: {named}"


# Of a constant column a Normalization measures, instead of 0, what its mean is rounded by.
ROUNDING = 1e-5


def _moments(scaler):
    """Mean, divisor and which columns are constant, of a Normalization, as arrays."""
    mean, variance = map(ops.convert_to_numpy, (scaler.mean, scaler.variance))
    constant = variance <= np.square(ROUNDING * mean)
    # Keras divides a constant column by 1e-7; here it keeps its size, as in RangeScaling.
    return mean, np.where(constant, 1, np.sqrt(variance)).astype("float32"), constant


def _affine(scaler, dtype):
    """Factor and offset of a Rescaling, one for all columns or one for each."""
    return tuple(np.asarray(number, dtype) for number in (scaler.scale, scaler.offset))


def wide_columns(scaler: keras.layers.Layer | None) -> np.ndarray:
    """The columns whose values are so many times their range that they have to come in float64.

    Args:
        scaler: As in `scale`.

    Returns:
        Boolean array that goes with the shape of a row, or a single False.
    """
    if isinstance(scaler, RangeScaling) and scaler.built:
        offset = scaler.mean / scaler.range
    elif isinstance(scaler, keras.layers.Normalization) and scaler.mean is not None:
        mean, divisor, _ = _moments(scaler)
        offset = (mean / divisor)[0]  # one for all rows
    elif isinstance(scaler, keras.layers.Rescaling):
        _, offset = _affine(scaler, "float64")
    else:
        return np.array(False)
    return np.abs(offset) > WIDE


def has_float64() -> bool:
    """Whether tensors of the backend can be float64: on JAX, where it is enabled."""
    return keras.backend.standardize_dtype(ops.convert_to_tensor(np.zeros(1)).dtype) == "float64"


def _dtype_for(scaler, x):
    """The type to scale in."""
    wide = keras.backend.standardize_dtype(x.dtype) in WIDE_TYPES and wide_columns(scaler).any()
    return "float64" if wide and has_float64() else "float32"


def check_digits(
    scaler: keras.layers.Layer | None,
    rows: np.ndarray,
    names: Sequence[str] | None = None,
    where: Any = "x",
) -> None:
    """Refuses rows to train on whose values would be the same once they are scaled float32.

    Args:
        scaler: As in `scale`.
        rows: Array of float64 or integers, shape (rows, ...).
        names: Names of the columns, or None.
        where: What the messages call the rows.

    Raises:
        ValueError: A column whose values float32 cannot tell apart.
    """
    if isinstance(scaler, keras.layers.Normalization):
        mean, _, constant = _moments(scaler)
        width = np.subtract(rows.max(axis=0), rows.min(axis=0), dtype="float64")
        lost = (constant & (width > 0) & (width <= 2 * ROUNDING * np.abs(mean)))[0]
        if lost.any():
            index = np.argwhere(np.broadcast_to(lost, rows.shape[1:]))[0]
            raise ValueError(
                f"{where} must hold values that float32 can tell apart. Received: "
                f"{column(index, names)}, which Normalization takes for constant, with values "
                f"{width[tuple(index)]:.3g} apart. Try RangeScaling() adapted to the rows, or "
                "subtracting an offset from the column"
            )
    exact = wide_columns(scaler).any() and has_float64()
    if exact and isinstance(scaler, keras.layers.Rescaling):
        factor, offset = _affine(scaler, "float64")
        rows = rows * factor + offset
    adapted = isinstance(scaler, RangeScaling | keras.layers.Normalization)
    if not adapted or (wide_columns(scaler).any() and not exact):
        merged_column(rows, names, where)


def scaler_state(scaler: keras.layers.Layer | None) -> list[np.ndarray]:
    """The numbers that a scaler works with, by which a change of them is noticed.

    Args:
        scaler: As in `scale`.

    Returns:
        Arrays.
    """
    if scaler is None:
        return []
    state: dict[str, Any] = {}
    scaler.save_own_variables(state)
    names = [name for name in ("mean", "variance", "scale", "offset") if hasattr(scaler, name)]
    parts = [*state.values(), *(getattr(scaler, name) for name in names)]
    return [np.asarray(ops.convert_to_numpy(part)) for part in parts if part is not None]


def scale(scaler: keras.layers.Layer | None, x: Any) -> Any:
    """Scales raw rows.

    Args:
        scaler: A `RangeScaling`, `keras.layers.Normalization`, `keras.layers.Rescaling`, or None
            for the identity; any layer with an `inverse` method serves.
        x: Rows in the user's units, any numeric dtype, shape (batch, ...). float64 is scaled in
            float64 where there are `wide_columns`.

    Returns:
        The scaled rows, float32, same shape. A column that was constant when a `Normalization`
        was adapted is divided by 1.
    """
    if scaler is None:
        return ops.cast(x, "float32")
    x = ops.convert_to_tensor(x)
    dtype = _dtype_for(scaler, x)
    x = ops.cast(x, dtype)
    # Keras's own two are written out: they would compute in the dtype policy's half precision.
    if isinstance(scaler, keras.layers.Normalization):
        mean, divisor, _ = _moments(scaler)
        return ops.cast((x - mean.astype(dtype)) / divisor.astype(dtype), "float32")
    if isinstance(scaler, keras.layers.Rescaling):
        factor, offset = _affine(scaler, dtype)
        return ops.cast(x * factor + offset, "float32")
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
        mean, divisor, _ = _moments(scaler)
        return z * divisor + mean
    if isinstance(scaler, keras.layers.Rescaling):
        factor, offset = _affine(scaler, "float32")
        return (z - offset) / factor
    return scaler.inverse(z)


def row_shape_of(scaler: keras.layers.Layer | None, scaled_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a raw row: that of a scaled one, unless the scaler is of tables."""
    return tuple(getattr(scaler, "row_shape", scaled_shape))


def target_of(scaler: keras.layers.Layer | None, x: Any) -> Any:
    """What a loss compares outputs with: the scaled rows, or what a scaler of tables makes."""
    target = getattr(scaler, "target", None)
    return scale(scaler, x) if target is None else target(x)


def default_loss(scaler: keras.layers.Layer | None) -> Any:
    """The loss of models that have a scaler: its own, or mean squared error."""
    loss = getattr(scaler, "loss", None)
    return "mse" if loss is None else loss()


def check_scaler(scaler: keras.layers.Layer | None, row_shape: Sequence[int]) -> None:
    """Refuses a scaler that cannot serve in a model.

    Args:
        scaler: What a model was given as its scaler.
        row_shape: Shape of the rows that it will scale.

    Raises:
        TypeError: It has no known inverse.
        ValueError: It was not adapted, or to rows that are not finite; it is an inverse itself, or
            works in half precision.

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
    width = getattr(scaler, "width", None)  # of a scaler of tables
    if width is not None and tuple(row_shape) != (width,):
        raise ValueError(
            f"the encoder must take rows of shape ({width},), those of the scaler. "
            f"Received: {tuple(row_shape)}. Try input_shape=scaler.width"
        )
    if isinstance(scaler, keras.layers.Normalization):
        if scaler.invert:
            raise ValueError("scaler must not be an inverse. Received: invert=True")
        if scaler.compute_dtype != "float32":
            raise ValueError(
                f"scaler must work in float32. Received: dtype={scaler.compute_dtype}. "
                "Try Normalization(dtype='float32')"
            )
        for name in ("mean", "variance"):
            numbers = ops.convert_to_numpy(getattr(scaler, name))
            if not (finite := np.isfinite(numbers)).all():
                index = np.argwhere(~finite)[0]
                raise ValueError(
                    "scaler must be adapted to finite rows whose variance float32 can hold. "
                    f"Received: {name} {numbers[tuple(index)]} in {column(index[-1:])}. "
                    "Try looking for NaN and very large values in it"
                )
        is_constant = _moments(scaler)[-1].ravel()
        if is_constant.any():
            warnings.warn(constant_columns(is_constant), UserWarning, stacklevel=4)
