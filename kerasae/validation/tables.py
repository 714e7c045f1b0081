"""Tables of any library as arrays: pandas, polars, pyarrow and NumPy's own named fields."""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerasae.validation.messages import unknown

# Types of pyarrow that are numbers; null is a column without any value.
ARROW_NUMBERS = ("int", "uint", "float", "halffloat", "double", "bool", "decimal", "null")


def names_of(x: Any) -> list[str] | None:
    """The names of a table's columns as text.

    Args:
        x: What a user has.

    Returns:
        The names, or None where it is not a table.

    Example:
        >>> names_of(np.zeros(2, [("a", float), ("b", float)])), names_of(np.zeros((2, 2)))
        (['a', 'b'], None)
    """
    names = getattr(x, "column_names", None)  # pyarrow, whose `columns` are the values
    if names is None:
        names = getattr(x, "columns", None) if hasattr(x, "__len__") else None
    if names is None:
        names = getattr(getattr(x, "dtype", None), "names", None)
    return None if names is None else [str(name) for name in names]


def is_table(x: Any) -> bool:
    """Whether `x` has named columns: a table, a list of dicts, or a dict of columns.

    Example:
        >>> is_table([{"age": 31, "job": "clerk"}]), is_table([[31, 0]])
        (True, False)
    """
    of_dicts = isinstance(x, list | tuple) and bool(x) and isinstance(x[0], Mapping)
    return of_dicts or isinstance(x, Mapping) or names_of(x) is not None


def column_order(have: Iterable[str], wanted: Iterable[str], where: Any = "x") -> list[int]:
    """Finds the columns that a model wants among those that there are.

    Args:
        have: Names of the columns there are.
        wanted: Names of the columns in the model's order.
        where: What the messages call the rows.

    Returns:
        The position among `have` of each name in `wanted`.

    Raises:
        ValueError: A column is missing, or is there more than once.

    Warns:
        UserWarning: There are columns that the model does not know.
    """
    have, wanted = list(have), list(wanted)
    known = set(wanted)
    extra = [name for name in have if name not in known]
    if missing := [name for name in wanted if name not in have]:
        plain = {name.strip().casefold(): name for name in extra}
        nearest = (
            plain.get(missing[0].strip().casefold())
            or (unknown("column", missing[0], extra).partition(". Try ")[2])
        )
        raise ValueError(
            f"{where} must have the columns {', '.join(wanted[:5])}"
            f"{', ...' if len(wanted) > 5 else ''}. Received: no column '{missing[0]}', "
            f"{len(missing)} missing in all" + (f". Try renaming '{nearest}'" if nearest else "")
        )
    check_distinct([name for name in have if name in known], where)
    if extra:
        count, are = ("1 column", "is") if len(extra) == 1 else (f"{len(extra)} columns", "are")
        warnings.warn(
            f"{count} that the model does not know {are} left out ({where}): "
            f"{', '.join(extra[:5])}",
            UserWarning,
            stacklevel=2,
        )
    position = {name: i for i, name in enumerate(have)}
    return [position[name] for name in wanted]


def check_distinct(names: Sequence[str], where: Any = "x") -> None:
    """Refuses columns that have the same name.

    Args:
        names: Names of the columns as text: those that differ in type alone are the same.
        where: What the messages call the rows.

    Raises:
        ValueError: A name is there more than once.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(
                f"{where} must have columns of different names. Received: {names.count(name)} "
                f"columns '{name}'. Try renaming or dropping all but one"
            )
        seen.add(name)


def table_matrix(x: Any, columns: Collection[str] | None, where: Any) -> tuple[np.ndarray, list]:
    """The columns of a table as one array; of those that are not wanted no cell is read.

    Args:
        x: Table of pandas, polars or pyarrow, or a NumPy array with named fields.
        columns: Names that each column must have, in this order, or None for all there are.
        where: What the messages call `x`.

    Returns:
        Array of shape (rows, columns), missing cells NaN, and the names of its columns.

    Raises:
        ValueError: A column is missing, or is there more than once.
        TypeError: A column does not hold real numbers.
    """
    names = names_of(x) or []
    if columns is None:
        check_distinct(names, where)
        order = list(range(len(names)))
    else:
        order = column_order(names, columns, where)
    in_order = order == list(range(len(names)))
    names = [names[i] for i in order]
    if hasattr(x, "to_batches") and (plain := _plain_matrix(x if in_order else x.select(order))):
        return plain[0], names
    if hasattr(x, "iloc"):
        x = x if in_order else x.iloc[:, order]
        kinds = {dtype.kind if isinstance(dtype, np.dtype) else "O" for dtype in x.dtypes}
        # Pandas makes objects of booleans beside numbers.
        if kinds <= {*"iuf"} or kinds == {"b"}:
            return np.asarray(x.to_numpy()), names
        order = list(range(len(order)))
    cells = [
        column_numbers(_column(x, i), name, where) for i, name in zip(order, names, strict=True)
    ]
    return (np.stack(cells, axis=1) if cells else np.empty((len(x), 0))), names


def _plain_matrix(table):
    """A table of pyarrow whose columns have one type of numbers and no gaps, in a tuple, or ().

    Arrow itself puts the columns beside each other in a third of the time.
    """
    kinds = set(map(str, table.schema.types))
    gaps = any(column.null_count for column in table.columns)
    if len(kinds) != 1 or not kinds <= {"float", "double"} or gaps or not len(table):
        return ()
    (batch,) = table.combine_chunks().to_batches()
    return (np.asarray(batch.to_tensor()),)


def _column(x, i):
    if hasattr(x, "iloc"):
        return x.iloc[:, i]
    if hasattr(x, "column_names"):
        return x.column(i)
    return x[x.dtype.names[i]] if hasattr(x, "dtype") else x[:, i]


def column_numbers(column: Any, name: str, where: Any) -> np.ndarray:
    """One column of any library as numbers.

    Args:
        column: Series, array of pyarrow, or NumPy array.
        name: Its name.
        where: What the messages call the table.

    Returns:
        Array, missing cells NaN.

    Raises:
        TypeError: A cell that is not a real number, which the message has.
    """
    if hasattr(column, "type"):  # pyarrow
        if str(column.type).startswith(ARROW_NUMBERS):
            whole = not column.null_count and not str(column.type).startswith(("decimal", "null"))
            bare = column if str(column.type) != "bool" else column.cast("uint8")
            return (bare if whole else bare.cast("float64")).to_numpy()
    elif hasattr(column.dtype, "is_numeric"):  # polars
        if column.dtype.is_numeric() or str(column.dtype) in ("Boolean", "Null"):
            whole = not column.null_count() and not str(column.dtype).startswith("Decimal")
            return (column if whole else column.cast(float)).to_numpy()
    elif column.dtype.kind in "biuf":  # NumPy, or pandas with a type of its own
        if isinstance(column, np.ma.MaskedArray) and np.ma.getmaskarray(column).any():
            return np.ma.filled(column.astype("float64"), np.nan)
        if isinstance(column.dtype, np.dtype):
            return np.asarray(column)
        return column.to_numpy("float64", na_value=np.nan)
    for cell in _cells(column):
        if not isinstance(cell, bool | int | float | np.number):
            raise TypeError(not_a_number(f"column '{name}'", cell, where))
    return np.asarray(list(_cells(column)), "float64")


def _cells(column) -> Iterator[Any]:
    if not hasattr(column, "type"):
        return iter(column)
    return (cell.as_py() for cell in column)


def not_a_number(name: str, cell: Any, where: Any) -> str:
    """The message for a cell that is not a real number, in a column as the message names it."""
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return (
        f"{where} must hold real numbers. Received: {cell!r} in {name}. Try encoding or dropping it"
    )
