"""Whatever a user has as an array of finite rows, or the reason why it cannot be one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasae.validation.tables import column_numbers, names_of, not_a_number, table_matrix

FLOAT32_MAX = float(np.finfo("float32").max)
# Squares of larger values, added up over the columns of some thousand rows, overflow float32.
LARGEST = 1e15
# Base classes of what yields batches, by which they are known without an import.
STREAMS = ("PyDataset", "RowSource", "DataLoader", "IterDataset", "MapDataset", "generator")


def is_array(x: Any) -> bool:
    """Whether `x` is in memory, to be checked at once, rather than a stream of batches.

    Streams are `tf.data` datasets, `keras.utils.PyDataset`, `RowSource`, generators, and loaders of
    PyTorch and Grain. What is neither rows nor a stream counts as in memory: `as_rows` says what it
    is.
    """
    bases = {base.__name__ for base in type(x).__mro__}
    return not (hasattr(x, "element_spec") or bases.intersection(STREAMS))


def as_rows(
    x: Any,
    row_shape: Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    where: Any = "x",
) -> np.ndarray:
    """Turns what a user has into an array of finite rows; see `bounded_rows`."""
    return bounded_rows(x, row_shape, columns, where)[0]


def bounded_rows(
    x: Any,
    row_shape: Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    where: Any = "x",
    *,
    wide: bool = False,
) -> tuple[np.ndarray, float]:
    """Turns what a user has into an array of finite rows, or says why it cannot.

    Sound rows are passed over once, for the norm of all values; others are looked at closely.

    Args:
        x: Array, nested list, tensor, or table of pandas, polars or pyarrow, of shape (rows, ...).
        row_shape: Shape that each row must have, or None for any. Where it is that of an image,
            `(height, width, channels)`, or a window, `(steps, channels)`, flat rows and rows
            without their single channel become such.
        columns: Names that each column must have, or None. A table is brought into their order; a
            missing one is an error, an extra one a warning, and its cells are not read.
        where: What the messages call `x`.
        wide: Whether float64 stays as it is.

    Returns:
        A NumPy array, integers and booleans as they came and anything else float32, and a number
        that no magnitude in it is above, infinite where it is not known.

    Raises:
        ValueError: No rows, another shape, NaN, infinite or masked cells, a missing column, two
            columns of one name.
        TypeError: Cells that are not real numbers, or something that is not rows: sparse and ragged
            tensors, a mapping, a lazy table.
    """
    rows, names = _array(x, columns, where)
    _check_type(rows, names, where)
    if rows.ndim < 2 or 0 in rows.shape:
        wanted = ", ".join(map(str, row_shape)) if row_shape else "columns"
        raise ValueError(
            f"{where} must have at least one row and one column, (rows, {wanted}). "
            f"Received: shape {rows.shape}. Try x.reshape(1, -1) for a single row"
        )
    if row_shape is not None:
        rows = _in_shape(rows, tuple(row_shape))
    if row_shape is not None and rows.shape[1:] != tuple(row_shape):
        if len(row_shape) == 3 and rows.shape[1:] == (row_shape[2], *row_shape[:2]):
            raise ValueError(_channels_first(where, tuple(row_shape), rows.shape[1:]))
        raise ValueError(
            f"{where} must hold rows of shape {tuple(row_shape)}. Received: rows of shape "
            f"{rows.shape[1:]}. Try the columns that the model was trained on"
        )
    bound = _bound(rows)
    if rows.dtype.kind == "f":
        if bound == math.inf:
            _check_finite(rows, names, where)
        if not (wide and rows.dtype == "float64"):
            rows = rows.astype("float32", copy=False)
    return rows, bound


def as_numbers(
    x: Any,
    rows: int | None = None,
    where: Any = "y",
    *,
    what: str = "label",
    least: float = -math.inf,
) -> np.ndarray:
    """Turns labels or sample weights into an array of finite numbers, or says why it cannot.

    Args:
        x: Array, list, tensor, Series or table, one or more numbers a row.
        rows: How many rows there are, or None.
        where: What the messages call `x`.
        what: What the messages call one of them.
        least: The lowest number that may be.

    Returns:
        A NumPy array, shape (rows, ...).

    Raises:
        ValueError: Another number of rows, NaN, infinite or masked numbers, or numbers too low.
        TypeError: Something else than real numbers.
    """
    if names_of(x) is not None and len(getattr(x, "shape", ())) != 1:
        numbers = table_matrix(x, None, where)[0]
    elif hasattr(x, "to_numpy") and getattr(x, "ndim", 1) == 1:
        numbers = column_numbers(x, where, where)
    else:
        numbers, _ = _array(x, None, where)
    if numbers.dtype.kind not in "biuf":
        first = numbers.ravel()[:1].tolist()
        raise TypeError(
            f"{where} must hold real numbers. Received: {first[0] if first else x!r}. "
            "Try encoding them as numbers"
        )
    if numbers.ndim < 1 or rows not in (None, len(numbers)):
        count = len(numbers) if numbers.ndim else 1
        raise ValueError(f"{where} must have one {what} a row. Received: {count} for {rows} rows")
    if numbers.dtype.kind == "f" and not (finite := np.isfinite(numbers)).all():
        raise ValueError(
            f"{where} must be finite. Received: {int((~finite).sum())} NaN or infinite {what}s, "
            f"the first in row {np.argwhere(~finite)[0][0]}. Try leaving these rows out"
        )
    if numbers.size and numbers.min() < least:
        raise ValueError(
            f"{where} must be at least {least:g}. Received: {numbers.min():g} in row "
            f"{np.argwhere(numbers < least)[0][0]}"
        )
    return numbers


def merged_column(rows: np.ndarray, names: Sequence[str] | None, where: Any) -> None:
    """Refuses rows with a column whose values float32 cannot tell apart.

    Args:
        rows: Array of float64 or integers, shape (rows, ...).
        names: Names of the columns, or None.
        where: What the messages call the rows.

    Raises:
        ValueError: A tenth of the values of a column, or more, become the same as others.
    """
    few = rows[:: max(1, len(rows) // 1000)].astype("float64", copy=False)
    low, high = extremes(few)
    # Of all rows it is at most by 1 more than of these few.
    suspicious = np.maximum(np.abs(low), np.abs(high)) > 4095 * (high - low)
    for index in np.argwhere(suspicious):
        cells = rows[(slice(None), *index)]
        before, after = (len(np.unique(part)) for part in (cells, cells.astype("float32")))
        if after < 0.9 * before:
            raise ValueError(
                f"{where} must hold values that float32 can tell apart. Received: {before} values "
                f"of {column(list(index), names)} that become {after}. Try subtracting an offset "
                "from it, or on TensorFlow RangeScaling() adapted to the rows in float64"
            )


def refuse_channels_first(what: str, image_shape: Sequence[int]) -> None:
    """Refuses the shape of an image whose channels seem to come first.

    Args:
        what: What the message calls the shape.
        image_shape: Three sizes, to be (height, width, channels).

    Raises:
        ValueError: The first is a usual number of channels and the others are too large for one.
    """
    channels, *size = image_shape
    if channels in (1, 3) and min(size) > 4:
        raise ValueError(_channels_first(what, ("height", "width", "channels"), tuple(image_shape)))


def _channels_first(what, wanted, received):
    wanted = ", ".join(map(str, wanted))
    return (
        f"{what} must have the channels last, ({wanted}). Received: shape {received}, which seems "
        "to have them first. Try numpy.moveaxis(x, 1, -1)"
    )


def extremes(rows: np.ndarray) -> np.ndarray:
    """The smallest and the largest value of each column, as two rows."""
    return np.stack([rows.min(axis=0), rows.max(axis=0)])


def column(index: Sequence[int], names: Sequence[str] | None = None) -> str:
    """How a message names the column at `index`, which has several parts for images."""
    if names is not None and len(index) == 2:
        return f"step {index[0]}, {column(index[1:], names)}"
    plain = index[0] if len(index) == 1 else tuple(map(int, index))
    named = f" '{names[index[0]]}'" if names is not None and len(index) == 1 else ""
    return f"column {plain}{named}"


def overflow(index: Sequence[int], names: Sequence[str] | None, where: Any) -> str:
    """The message for a column whose values are too large for sums of squares in float32."""
    return (
        f"{where} must hold magnitudes under {LARGEST:.0e}. Received: values in "
        f"{column(index, names)} whose square overflows float32, alone or in a sum. "
        "Try a scaler, RangeScaling() adapted to the rows"
    )


def _array(x, columns, where):
    """The values as one array, and the names of its columns or None."""
    if names_of(x) is not None and (hasattr(x, "__array__") or hasattr(x, "column_names")):
        return table_matrix(x, columns, where)
    _refuse_others(x, where)
    x = _unmasked(x, columns, where)
    if hasattr(x, "detach"):  # PyTorch
        x = x.detach().cpu()
    try:
        rows = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"{where} must have the same columns in every row. Received: rows of different lengths"
        ) from error
    if rows.dtype.name.startswith("bfloat16"):
        rows = rows.astype("float32")
    return rows, columns


def _refuse_others(x, where):
    """Refuses by name what NumPy would make something else of."""
    kind, hint = type(x).__name__, ""
    # PyTorch has one class for tensors that are sparse or ragged, too.
    sparse = str(getattr(x, "layout", "torch.strided")) != "torch.strided"
    masked, ragged = hasattr(x, "get_mask"), getattr(x, "is_nested", False)
    if hasattr(x, "to_numpy") and getattr(x, "ndim", 1) == 1:
        hint = ". Try x.to_frame() for one column" if hasattr(x, "to_frame") else ""
        hint += ", or x.to_frame().T for one row" if hasattr(x, "iloc") else ""
        raise ValueError(
            f"{where} must be rows of columns. Received: a {kind} of {len(x)} values{hint}"
        )
    if isinstance(x, list | tuple | bool | int | float) or (
        hasattr(x, "__array__") and not (sparse or masked or ragged)
    ):
        return
    kind = f"sparse {kind}" if sparse and not ragged else kind
    for method in ("toarray", "to_dense", "to_tensor", "todense", "collect"):
        if hasattr(x, method):
            hint = f". Try x.{method}()"
            break
    if kind == "SparseTensor":
        hint = ". Try tf.sparse.to_dense(x)"
    elif hasattr(x, "keys"):
        hint = ". Try pandas.DataFrame(x)"
    raise TypeError(
        f"{where} must be an array, a table or a dataset of batches. Received: a {kind}{hint}"
    )


def _unmasked(x, names, where):
    """`x` as it is, unless values in it are masked."""
    if isinstance(x, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in x):
        x = np.ma.stack([np.ma.asarray(row) for row in x])
    mask = np.ma.getmaskarray(x) if isinstance(x, np.ma.MaskedArray) else None
    kept = getattr(x, "_keras_mask", None)  # of a tensor that came out of a Masking layer
    if kept is not None:
        mask = ~np.asarray(kept)
    if mask is not None and mask.any():
        row, *rest = np.argwhere(mask)[0]
        place = f"row {row}" + (f", {column(rest, names)}" if rest else "")
        raise ValueError(
            f"{where} must hold finite numbers. Received: {int(mask.sum())} masked cells, the "
            f"first in {place}. Try filling or dropping these rows"
        )
    return x


def _in_shape(rows, row_shape):
    """Flat images or windows, or such without their single channel, in their shape.

    Others as they are: in any other shape of as many values they lie elsewhere.
    """
    if len(row_shape) not in (2, 3):
        return rows
    bare = row_shape[:-1] if row_shape[-1] == 1 else None
    fits = rows.shape[1:] in ((math.prod(row_shape),), bare)
    return rows.reshape(len(rows), *row_shape) if fits else rows


def _check_type(rows, names, where):
    if rows.dtype.kind in "biuf":
        return
    if rows.ndim < 2 or not rows.size:
        first = rows.ravel()[0] if rows.size else None
        hint = ". Try pandas.DataFrame(x)" if hasattr(first, "keys") else ""
        raise TypeError(f"{where} must hold real numbers. Received: {rows.dtype} values{hint}")
    for index, cell in np.ndenumerate(rows[0]):
        if not isinstance(cell, bool | int | float) or rows.dtype.kind == "c":
            raise TypeError(not_a_number(column(index, names), cell, where))
    raise TypeError(
        f"{where} must hold real numbers. Received: {rows.dtype} values. Try x.astype('float32')"
    )


def _bound(rows):
    if rows.dtype.kind in "iu":
        limits = np.iinfo(rows.dtype)
        return float(max(-limits.min, limits.max))
    if rows.dtype not in ("float32", "float64") or not rows.flags.forc:
        return math.inf
    values = rows.ravel(order="K")
    with np.errstate(all="ignore"):
        norm = math.sqrt(np.dot(values, values))
    # Wide enough for what a sum in float32 loses by rounding, and for squares that are lost in it.
    bound = 1.01 * norm + 1e-18
    return bound if bound <= FLOAT32_MAX else math.inf


def _check_finite(rows, names, where):
    with np.errstate(all="ignore"):  # a NaN may have bits that NumPy warns of
        low_high = extremes(rows).astype(np.promote_types(rows.dtype, "float64"))
    if not np.isfinite(low_high).all():
        bad = ~np.isfinite(rows)
        row, *rest = np.argwhere(bad)[0]
        raise ValueError(
            f"{where} must hold finite numbers. Received: {int(bad.sum())} NaN or infinite cells, "
            f"the first in row {row}, {column(rest, names)}. Try filling or dropping these rows"
        )
    if (too_large := np.abs(low_high).max(axis=0) > FLOAT32_MAX).any():
        raise ValueError(overflow(np.argwhere(too_large)[0], names, where))
