"""Tables of Arrow, whose columns become the columns of an array."""

import collections
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.validation import column_order, identifier_columns, left_out, unknown

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 40


def rows_of_table(
    table: "pa.Table",
    path: Path | str,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
    *,
    place: Callable[[int], str] = "row {}".format,
    is_number: Callable[[Any], bool] = lambda cell: False,
) -> dict[str, Any]:
    """The rows of a table, and its labels.

    Args:
        table: A `pyarrow.Table`.
        path: Path of its file, for the messages.
        label: Column that holds labels, or None; several columns, of any type, make "y" a dict.
        columns: Columns to read, in this order, or None for all but those that number the rows.
            The cells of others are not read.
        keep: Columns that stay though they number the rows.
        place: Function of the number of a row, from 0, that names its place in the file.
        is_number: Function of a cell of a column that is not of numbers: whether it could be one.

    Returns:
        A dict with "x", "y" and "columns".

    Raises:
        ValueError: There is no row or no column, names are missing or not distinct.
        TypeError: A column is not of numbers.
    """
    names = table.column_names
    if twice := [name for name, count in collections.Counter(names).items() if count > 1]:
        raise ValueError(
            f"the names of the columns must differ. Received: {shown(twice[0])} more than once "
            f"({path})"
        )
    if not table.num_rows:
        raise ValueError(f"the table must have at least one row. Received: 0 rows ({path})")
    apart = labels_of(label)
    for one in apart:
        if one not in names:
            kind, option = ("label", ", --label") if one == label else ("column", "")
            raise ValueError(unknown(kind, one, names, f"{path}{option}"))
    values = {one: table[one].to_numpy() for one in apart}
    y = values.get(label) if isinstance(label, str) else values or None
    table = table.drop_columns(apart)
    if columns is not None:
        table = table.select(column_order(table.column_names, columns, path))
    else:
        for name in keep:
            if name not in names:
                raise ValueError(unknown("keep", name, table.column_names, f"{path}, --keep"))
        table = _without_identifiers(table, path, keep)
    if not table.num_columns:
        raise ValueError(
            f"the table must have at least one column of numbers. Received: 0 columns ({path})"
        )
    names = table.column_names
    cells = []
    for name in names:
        values = _decoded(table[name])
        if not _is_numeric(values.type):
            texts = ((row, cell.as_py()) for row, cell in enumerate(values) if cell.is_valid)
            row, cell = next(((row, cell) for row, cell in texts if not is_number(cell)), (0, None))
            raise TypeError(
                f"column {shown(name)} must hold real numbers. Received: {shown(cell)} in "
                f"{place(row)} ({path}). Try encoding or dropping it, or label (--label) "
                f"{cut(name)}"
            )
        cells.append(_numbers(values))
    return {"x": np.stack(cells, axis=1), "y": y, "columns": names}


def labels_of(label: str | Sequence[str] | None) -> list[str]:
    """The names of one label column, of several, or of none."""
    return [label] if isinstance(label, str) else list(label or ())


def _without_identifiers(table, path, keep):
    """The table without the columns that number its rows or name them."""
    try:
        index = (table.schema.pandas_metadata or {}).get("index_columns", ())
        index = [name for name in index if isinstance(name, str)]  # else a range that has no column
    except (AttributeError, TypeError, ValueError):  # damaged, and not needed
        index = []
    cells = {name: _searched(_decoded(table[name])) for name in table.column_names}
    found = identifier_columns(cells, index, keep)
    if not found:
        return table
    if len(found) == table.num_columns:
        name = next(iter(found))
        raise ValueError(
            "the table must have a column that describes the rows. Received: "
            f"{shown(name)}, {found[name]} ({path}). Try keep=[{shown(name)}] (--keep) to keep it"
        )
    name = f"[{shown(next(iter(found)))}]"
    warnings.warn(
        left_out({cut(name): why for name, why in found.items()}, path, f"keep={name} (--keep)"),
        UserWarning,
        stacklevel=3,
    )
    return table.drop_columns(list(found))


def _searched(values):
    """The cells of a column that may number the rows; of others nothing is read."""
    from pyarrow import types  # noqa: PLC0415

    kind = values.type
    tests = (types.is_integer, types.is_floating, types.is_string, types.is_large_string)
    tests += (types.is_string_view, types.is_binary, types.is_fixed_size_binary)
    if any(test(kind) for test in tests) or str(kind).startswith("extension<arrow.uuid"):
        return values.to_numpy()
    return ()


def _decoded(values):
    """A column, with its values in the place of their numbers in a dictionary."""
    import pyarrow as pa  # noqa: PLC0415

    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values


def _is_numeric(kind):
    from pyarrow import types  # noqa: PLC0415

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)


def _numbers(values):
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return values.to_numpy().astype("float64")
    return values.cast(pa.float64(), safe=False).to_numpy()


def cut(text: Any) -> str:
    """A text of at most 40 characters."""
    text = str(text)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def shown(cell: Any) -> str:
    """A cell or a name as messages show it, in quotes and cut."""
    return repr(cut(cell))
