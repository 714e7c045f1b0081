"""What may come in, and the error messages for what may not.

Messages have one form: `NAME must REQUIREMENT. Received: NAME=VALUE. Try HINT`, the hint being
optional. A place such as a file or an argument stands in brackets behind what was received.
"""

import difflib
import importlib.util
import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np

# Names of packages that differ from those of their modules.
PACKAGES = {"sklearn": "scikit-learn", "tensorflow_serving": "tensorflow-serving-api"}
FLOAT32_MAX = float(np.finfo("float32").max)


def check_count(name: str, value: Any) -> None:
    """Refuses what is not a whole number of at least 1; None passes.

    Args:
        name: What the message calls the value.
        value: What came.

    Raises:
        ValueError: It is not None and not such a number.
    """
    if value is not None and not (value >= 1 and value % 1 == 0):
        raise ValueError(f"{name} must be a whole number of at least 1. Received: {name}={value}")


def parse_layout(text: str) -> tuple[int, ...]:
    """Reads the widths of a symmetric stack as people write them.

    Args:
        text: "300-100-300", or "100" for a single hidden layer.

    Returns:
        The encoder's half as builders take it, `(300, 100)`.

    Raises:
        ValueError: It is not a mirrored list of whole numbers of at least 1.

    Example:
        >>> parse_layout("300-100-300")
        (300, 100)
    """
    parts = str(text).split("-")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            "layout must be whole numbers of at least 1 joined by -. "
            f"Received: layout={str(text)!r}. Try 300-100-300"
        )
    widths = tuple(map(int, parts))
    half = widths[: (len(widths) + 1) // 2]
    mirrored = half + half[-2::-1]
    if widths != mirrored:
        full = "-".join(map(str, widths + widths[-2::-1]))
        raise ValueError(f"layout must be mirrored. Received: layout={str(text)!r}. Try {full}")
    return half


def unknown(kind: str, name: Any, known: Collection[str]) -> str:
    """The message for a `name` that is none of those `known`, with the nearest one.

    `kind` is what is named, "model" for example.
    """
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f". Try {nearest[0]}" if nearest else ""
    return f"{kind} must be one of {', '.join(sorted(known))}. Received: {kind}={str(name)!r}{hint}"


def required(module: str, use: str, extra: str | None = None) -> None:
    """Refuses to go on without a package that only one use needs.

    Args:
        module: Name of the module to be imported.
        use: What needs it, for the message.
        extra: The extra of kerasae that brings it, or None where the package has the same name.

    Raises:
        ModuleNotFoundError: It is missing; the message has the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        package = f"'kerasae[{extra}]'" if extra else PACKAGES.get(module, module)
        raise ModuleNotFoundError(
            f"{module} must be installed for {use}. Try pip install {package}", name=module
        )


def is_array(x: Any) -> bool:
    """Whether `x` is rows in memory (and can be checked) rather than a stream of batches."""
    return isinstance(x, list | tuple) or hasattr(x, "__array__") or hasattr(x, "to_numpy")


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
) -> tuple[np.ndarray, float]:
    """Turns what a user has into an array of finite rows, or says why it cannot.

    Sound rows are passed over once, for the norm of all values; others are looked at closely.

    Args:
        x: Array, nested list, tensor or DataFrame of shape (rows, ...).
        row_shape: Shape that each row must have, or None for any. Where it is that of an image,
            `(height, width, channels)`, flat rows and images without their single channel become
            such.
        columns: Names that each column must have, or None. A DataFrame is brought into their
            order; a missing one is an error, an extra one a warning.
        where: What the messages call `x`.

    Returns:
        A NumPy array, integers and booleans as they came and anything else float32, and a number
        that no magnitude in it is above, infinite where it is not known.

    Raises:
        ValueError: No rows, another shape, NaN or infinite cells, a missing column.
        TypeError: Cells that are not real numbers.
    """
    names = columns
    if hasattr(x, "iloc"):
        if columns is not None:
            x = x.iloc[:, column_order(map(str, x.columns), columns, where)]
        names = [str(name) for name in x.columns]
        x = _plain(x, where)
    try:
        rows = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"{where} must have the same columns in every row. Received: rows of different lengths"
        ) from error
    _check_type(rows, names, where)
    if rows.ndim < 2 or 0 in rows.shape:
        raise ValueError(
            f"{where} must have at least one row and one column, (rows, "
            f"{', '.join(map(str, row_shape or ['columns']))}). Received: shape {rows.shape}. "
            "Try x.reshape(1, -1) for a single row"
        )
    if row_shape is not None and len(row_shape) == 3:
        # Images may come flat, or without their single channel; in any other shape of as many
        # values the pixels lie elsewhere.
        bare = tuple(row_shape[:2]) if row_shape[2] == 1 else None
        if rows.shape[1:] in ((math.prod(row_shape),), bare):
            rows = rows.reshape(len(rows), *row_shape)
    if row_shape is not None and rows.shape[1:] != tuple(row_shape):
        raise ValueError(
            f"{where} must hold rows of shape {tuple(row_shape)}. Received: rows of shape "
            f"{rows.shape[1:]}. Try the columns that the model was trained on"
        )
    bound = _bound(rows)
    if rows.dtype.kind == "f":
        if bound == math.inf:
            _check_finite(rows, names, where)
        rows = rows.astype("float32", copy=False)
    return rows, bound


def column_order(have: Iterable[str], wanted: Iterable[str], where: Any = "x") -> list[int]:
    """Finds the columns that a model wants among those that there are.

    Args:
        have: Names of the columns there are.
        wanted: Names of the columns in the model's order.
        where: What the messages call the rows.

    Returns:
        The position among `have` of each name in `wanted`.

    Raises:
        ValueError: A column is missing.

    Warns:
        UserWarning: There are columns that the model does not know.
    """
    have, wanted = list(have), list(wanted)
    if missing := [name for name in wanted if name not in have]:
        raise ValueError(
            f"{where} must have the columns {', '.join(wanted[:5])}"
            f"{', ...' if len(wanted) > 5 else ''}. Received: no column '{missing[0]}', "
            f"{len(missing)} missing in all"
        )
    if extra := [name for name in have if name not in wanted]:
        warnings.warn(
            f"{len(extra)} columns that the model does not know are left out ({where}): "
            f"{', '.join(extra[:5])}",
            UserWarning,
            stacklevel=2,
        )
    return [have.index(name) for name in wanted]


def extremes(rows: np.ndarray) -> np.ndarray:
    """The smallest and the largest value of each column, as two rows."""
    return np.stack([rows.min(axis=0), rows.max(axis=0)])


def column(index: Sequence[int], names: Sequence[str] | None = None) -> str:
    """How a message names the column at `index`, which has several parts for images."""
    plain = index[0] if len(index) == 1 else tuple(map(int, index))
    named = names is not None and len(index) == 1
    return f"column {plain}" + (f" '{names[plain]}'" if named else "")


def _plain(frame, where):
    """The frame itself, or in float64 where pandas holds numbers in a type of its own."""
    special = [
        name
        for name, dtype in frame.dtypes.items()
        if not (isinstance(dtype, np.dtype) and dtype.kind in "biuf")
    ]
    for name in special:
        for cell in frame[name]:
            if not isinstance(cell, bool | int | float | np.number):
                raise TypeError(_not_a_number(f"column '{name}'", cell, where))
    return frame.astype("float64") if special else frame


def _check_type(rows, names, where):
    if rows.dtype.kind in "biuf":
        return
    if rows.ndim < 2 or not rows.size:
        raise TypeError(f"{where} must hold real numbers. Received: {rows.dtype} values")
    for index, cell in np.ndenumerate(rows[0]):
        if not isinstance(cell, bool | int | float) or rows.dtype.kind == "c":
            raise TypeError(_not_a_number(column(index, names), cell, where))
    raise TypeError(
        f"{where} must hold real numbers. Received: {rows.dtype} values. Try x.astype('float32')"
    )


def _not_a_number(name, cell, where):
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return (
        f"{where} must hold real numbers. Received: {cell!r} in {name}. Try encoding or dropping it"
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
    low_high = extremes(rows).astype("float64")
    if not np.isfinite(low_high).all():
        bad = ~np.isfinite(rows)
        row, *rest = np.argwhere(bad)[0]
        raise ValueError(
            f"{where} must hold finite numbers. Received: {int(bad.sum())} NaN or infinite cells, "
            f"the first in row {row}, {column(rest, names)}. Try filling or dropping these rows"
        )
    if (too_large := np.abs(low_high).max(axis=0) > FLOAT32_MAX).any():
        raise ValueError(overflow(np.argwhere(too_large)[0], names, where))


def overflow(index: Sequence[int], names: Sequence[str] | None, where: Any) -> str:
    """The message for a column whose values are too large to be squared in float32."""
    return (
        f"{where} must hold magnitudes under 1.8e19. Received: values in {column(index, names)} "
        "whose square overflows float32. Try a scaler, RangeScaling() adapted to the rows"
    )
