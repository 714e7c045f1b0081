"""What a table is made of that is read in pieces: a sample of it, and what only all rows say."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kerasae.datasets.opened import as_piece
from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import Sample
from kerasae.tables.columns import Column
from kerasae.tables.kinds import ENOUGH_ROWS, column_of


class Survey(NamedTuple):
    """What one pass over a table finds.

    Attributes:
        rows: Number of rows.
        numbers: uint64, the numbers of the rows in the sample.
        table: Rows drawn at random, in their order, a `pyarrow.Table`.
        missing: Number of missing cells of each column, by name.
        ends: (lowest, highest) cell of each column whose cells have an order, by name.
    """

    rows: int
    numbers: np.ndarray
    table: Any
    missing: dict[str, int]
    ends: dict[str, tuple[Any, Any]]

    @property
    def indices(self) -> dict[str, str]:
        """Why columns that count all rows from 0 or 1 are left out, by name."""
        found = {}
        for name, (low, high) in self.ends.items():
            if name not in self.table.column_names:  # a label
                continue
            whole = str(self.table[name].type).startswith(("int", "uint"))
            if not whole or self.missing[name] or self.rows < ENOUGH_ROWS:
                continue
            cells = self.table[name].to_numpy()
            counts = low in (0, 1) and high - low == self.rows - 1
            if counts and len(np.unique(cells)) == len(cells):
                found[name] = "a row index"
        return found

    def mended(self, column: Column) -> Column:
        """A column as all rows have it, where a sample found it."""
        ends = self.ends.get(column.name)
        missing = max(self.missing[column.name], column.missing)  # of texts, marks for gaps, too
        if ends is None or None in ends or column.kind not in ("number", "datetime"):
            return dataclasses.replace(column, missing=missing)
        import pyarrow as pa  # noqa: PLC0415

        sampled = self.table[column.name].combine_chunks()
        found = column_of(
            column.name,
            pa.concat_arrays([sampled.drop_null(), pa.array(ends, sampled.type)]),
        )
        return dataclasses.replace(found if isinstance(found, Column) else column, missing=missing)


def survey(source: RowSource, seen: Callable[[int], object] | None = None) -> Survey:
    """Looks at all rows of a table once.

    Args:
        source: Source of tables.
        seen: Function that is called with the number of rows of each piece, or None.

    Returns:
        `Survey`.

    Raises:
        ValueError: There are no rows.
    """
    drawn, rows = Sample(), 0
    missing: dict[str, int] = {}
    ends: dict[str, tuple[Any, Any]] = {}
    for numbers, one in source.numbered():
        piece = as_piece(one)
        for name in piece.column_names:
            lost, low, high = _of_cells(piece[name])
            missing[name] = missing.get(name, 0) + lost
            if low is not None:
                first, last = ends.get(name, (low, high))
                ends[name] = min(first, low), max(last, high)
        drawn.add(numbers, piece)
        rows += len(piece)
        if seen is not None:
            seen(len(piece))
    return Survey(rows, *drawn.result(), missing, ends)


def _of_cells(cells):
    """Number of missing cells, the lowest and the highest one; None where there is no order."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    kind = cells.type
    if pa.types.is_floating(kind):
        missing = compute.sum(compute.is_null(cells, nan_is_null=True)).as_py()
        if missing > cells.null_count:
            cells = cells.filter(compute.invert(compute.is_nan(cells)))
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        empty = compute.sum(compute.equal(cells, "")).as_py() or 0
        return cells.null_count + empty, None, None
    else:
        missing = cells.null_count
    types = pa.types
    ordered = (types.is_integer, types.is_floating, types.is_timestamp, types.is_date)
    if not any(test(kind) for test in ordered):
        return missing, None, None
    both = compute.min_max(cells)
    # As Arrow's own scalars: a timestamp has more digits than Python's.
    return missing, *(_plain(both[name], kind) for name in ("min", "max"))


def _plain(scalar, kind):
    import pyarrow as pa  # noqa: PLC0415

    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        return scalar.value
    return scalar.as_py()
