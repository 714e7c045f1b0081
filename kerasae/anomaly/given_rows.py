"""Rows as a detector learns them, of an array or of a table, with missing cells or without."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.validation import bounded_rows, is_array, is_table, names_of

if TYPE_CHECKING:
    from kerasae.tables import Schema

LEAST_ROWS = 10
# So many times its range from 0, a column has too few digits in float32 to be standardised.
FAR = 1000


def given_rows(
    x: Any, columns: Sequence[str] | None, schema: "Schema | None"
) -> tuple[np.ndarray, Sequence[str] | None, "Schema | None"]:
    """Checks rows, and turns a table that holds more than numbers into its codes.

    Args:
        x: Array of numbers, (rows, columns), or a table.
        columns: Names of the columns, or None for those of a table.
        schema: The schema of the table or codes, or None for one that is read from them.

    Returns:
        The rows, as an array; the names of their columns, or None; and the schema, where the rows
        are codes.

    Raises:
        ValueError: Fewer than 10 rows, infinite cells, or a column of NaN alone.
        TypeError: Cells of an array that are not real numbers, or rows that are not in memory.

    Example:
        >>> x = np.array([[1.0, np.nan]] * 5 + [[2, 3]] * 5)
        >>> rows, names, schema = given_rows(x, None, None)
        >>> schema["1"].missing
        5
    """
    if not is_array(x):
        raise TypeError(f"x must be an array of rows in memory. Received: a {type(x).__name__}")
    names = columns or names_of(x)
    if schema is None:
        schema = _schema_of_table(x, columns) if is_table(x) else _schema_with_missing(x, columns)
    if schema is not None:
        rows, names = schema.codes(x), schema.names
    else:
        rows, _ = bounded_rows(x, columns=names, wide=True)
    if rows.ndim != 2:
        raise ValueError(f"x must have shape (rows, columns). Received: shape {rows.shape}")
    if len(rows) < LEAST_ROWS:
        raise ValueError(f"x must have at least {LEAST_ROWS} rows. Received: {len(rows)} rows")
    return rows, names, schema


def _schema_of_table(x, columns):
    """The schema of a table, or None where plain numbers do as well."""
    from kerasae.tables import Schema  # noqa: PLC0415

    schema = Schema.infer(x, columns=columns)
    plain = all(
        one.kind == "number" and not one.missing and abs(one.origin) <= FAR * (one.high - one.low)
        for one in schema
    )
    return None if plain and names_of(x) is not None and not schema.left_out else schema


def _schema_with_missing(x, columns):
    """The schema of an array of numbers some of which are NaN, else None."""
    from kerasae.tables import Column, Schema  # noqa: PLC0415

    if not (type(x) is np.ndarray and x.dtype.kind == "f" and x.ndim == 2):
        return None
    with np.errstate(all="ignore"):
        unsound = np.flatnonzero(np.isnan(x.sum(axis=0, dtype="float64")))
    missing = {int(i): int(np.isnan(x[:, i]).sum()) for i in unsound}
    if not any(missing.values()):
        return None
    for i, count in missing.items():
        if count == len(x):
            raise ValueError(
                "x must have a number in every column. Received: NaN in all rows of column "
                f"{i}. Try leaving the column out"
            )
    names = columns or [str(i) for i in range(x.shape[1])]
    return Schema(
        [
            Column(name, "number", "double", missing=missing.get(i, 0))
            for i, name in enumerate(names)
        ]
    )
