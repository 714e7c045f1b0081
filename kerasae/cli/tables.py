"""Rows that go into a saved model, and tables that come out of it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.atomic import write_file
from kerasae.datasets import Data, load
from kerasae.datasets.files.arrow import arrow_table
from kerasae.datasets.files.writing import without_formulas
from kerasae.models import Autoencoder
from kerasae.tables.data import load_data


def load_rows(
    autoencoder: Autoencoder,
    data: str,
    key: str | None,
    label: str | None,
    keep: Sequence[str] | None = None,
) -> Data:
    """The data, its columns in the order of the model where both have names."""
    if autoencoder.schema is not None:
        return load_data(data, schema=autoencoder.schema, label=label, key=key)
    image_shape = autoencoder.row_shape if len(autoencoder.row_shape) == 3 else None
    rows = load(
        data,
        key=key,
        label=label,
        columns=autoencoder.columns,
        keep=keep or (),
        image_shape=image_shape,
    )
    # Flat rows become images here, and those that do not fit are refused.
    rows = rows._replace(x=autoencoder._checked_rows(rows.x, data))
    shown = image_shape[:2] if image_shape and image_shape[2] == 1 else image_shape
    return rows._replace(image_shape=rows.image_shape or shown)


def verbosity() -> int:
    """1, for a progress bar, in a terminal, and 0 where stderr goes to a file."""
    return 1 if sys.stderr.isatty() else 0


def check_suffix(output: Path, suffixes: Sequence[str]) -> None:
    """Refuses a file name whose suffix is not one of those that can be written."""
    if output.suffix not in suffixes:
        raise ValueError(
            f"output must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}. "
            f"Received: output={str(output)!r}"
        )


def write_table(columns: Mapping[str, Any], path: Path) -> None:
    """Writes columns as .npy, .csv or .parquet, whole or not at all."""

    def as_numpy(file):
        with file.open("wb") as opened:
            np.save(opened, np.stack(list(columns.values()), axis=1))

    def as_table(file):
        from pyarrow import csv, parquet

        table = arrow_table(columns)
        if path.suffix == ".csv":
            csv.write_csv(without_formulas(table), file)
        else:
            parquet.write_table(table, file, write_page_checksum=True)

    write_file(path, as_numpy if path.suffix == ".npy" else as_table)


def id_columns(rows: Data) -> dict[str, np.ndarray]:
    """What identifies the rows: columns, as texts where they are no numbers, or image files."""
    arrays = {name: np.array(cells.to_pylist()) for name, cells in (rows.ids or {}).items()}
    found = {n: one.astype(str) if one.dtype.kind == "O" else one for n, one in arrays.items()}
    return {**found, "file": np.array(rows.names)} if rows.names else found
