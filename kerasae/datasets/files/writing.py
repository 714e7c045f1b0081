"""Tables that are written as their rows come, whole or not at all."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.atomic import write_file
from kerasae.datasets.files.arrow import arrow_table, joined_tables
from kerasae.text import FORMULA, as_cell
from kerasae.validation import names_of, required

# Rows of a row group, at least.
GROUP = 100_000


def write_tables(path: Path, pieces: Iterable[Any], name: str) -> int:
    """Writes rows that come in pieces as .parquet or .csv; see `kerasae.datasets.write`."""
    required("pyarrow", f"{path.suffix} files")
    from pyarrow import csv, parquet  # noqa: PLC0415

    rows = 0

    def run(file):
        nonlocal rows
        writer = schema = None
        try:
            for table in _grouped(as_table(piece, name) for piece in pieces):
                cells = without_formulas(table) if path.suffix == ".csv" else table
                if writer is None:
                    schema = cells.schema
                    writer = (
                        csv.CSVWriter(file, schema)
                        if path.suffix == ".csv"
                        else parquet.ParquetWriter(file, schema, write_page_checksum=True)
                    )
                writer.write_table(cells.cast(schema))
                rows += table.num_rows
        finally:
            if writer is not None:
                writer.close()
        if writer is None:
            raise ValueError(f"pieces must have at least one row. Received: none ({path})")

    write_file(path, run)
    return rows


def write_npy(path: Path, pieces: Iterable[Any]) -> int:
    """Writes arrays of rows as one .npy file, whose length is known at its end."""
    rows = 0

    def run(file):
        nonlocal rows
        shape: tuple[int, ...] = ()
        with file.open("wb") as opened:
            for piece in pieces:
                x = np.ascontiguousarray(piece)
                if not rows:
                    shape, dtype = x.shape[1:], x.dtype
                    _write_header(opened, (0, *shape), dtype)
                opened.write(x.astype(dtype, copy=False).data)
                rows += len(x)
            if not rows:
                raise ValueError(f"pieces must have at least one row. Received: none ({path})")
            opened.seek(0)
            _write_header(opened, (rows, *shape), dtype)  # NumPy leaves place for the length

    write_file(path, run)
    return rows


def _write_header(file, shape, dtype):
    description = np.lib.format.dtype_to_descr(dtype)
    header = {"descr": description, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def as_table(piece: Any, name: str) -> Any:
    """Rows as a table of pyarrow: a table, a dict, a named tuple of columns, or an array.

    Args:
        piece: The rows.
        name: What the columns of an array are called, "codings" for `codings_1` and so on.
    """
    if hasattr(piece, "_asdict"):
        parts = {n: one for n, one in piece._asdict().items() if isinstance(one, np.ndarray)}
        return arrow_table(dict(_flat(parts)))
    if isinstance(piece, Mapping) or names_of(piece) is not None:
        return piece if hasattr(piece, "combine_chunks") else arrow_table(piece)
    x = np.asarray(piece)
    if x.ndim == 1:
        return arrow_table({name: x})
    return arrow_table(dict(_flat({name: x})))


def _flat(parts):
    for name, x in parts.items():
        if x.ndim == 1:
            yield name, x
        else:
            columns = x.reshape(len(x), -1).T
            yield from ((f"{name}_{i}", one) for i, one in enumerate(columns, start=1))


def _grouped(tables) -> Iterator[Any]:
    """Tables of many rows each, of tables of few."""
    held: list[Any] = []
    for table in tables:
        held.append(table)
        if sum(map(len, held)) >= GROUP:
            yield joined_tables(held)
            held = []
    if held:
        yield joined_tables(held)


def without_formulas(table: Any) -> Any:
    """A table of pyarrow with no name and no text that a spreadsheet would take for a formula."""
    from pyarrow import compute, types  # noqa: PLC0415

    for i, field in enumerate(table.schema):
        if types.is_string(field.type) or types.is_large_string(field.type):
            cells = compute.replace_substring_regex(table[i], f"^({FORMULA.pattern})", r"'\1")
            table = table.set_column(i, field, cells)
    return table.rename_columns([as_cell(name) for name in table.column_names])
