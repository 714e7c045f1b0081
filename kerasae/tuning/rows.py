"""The rows of a sweep, which every process of it needs: loaded, or kept in its folder."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.atomic import write_file
from kerasae.datasets import Data, split
from kerasae.tables import Schema
from kerasae.tables.data import is_plain, load_data
from kerasae.validation import is_table

ROWS = "rows.npz"


def rows_of(data: Any, options: Mapping[str, Any]) -> Data:
    """The rows that a sweep trains and measures on.

    Args:
        data: Name or path, array or table, or a pair of arrays or tables, to train and to test on.
        options: Arguments of `load`, or of `split`.

    Returns:
        `Data`.

    Raises:
        ValueError: Rows that cannot be trained on, or an option that only files have.
        TypeError: Cells that are not real numbers.
    """
    if isinstance(data, str | os.PathLike):
        return load_data(data, **options)
    if is_table(data) and not is_plain(data):
        return load_data(data, **options)
    if of_files := sorted(set(options) - {"test_fraction"}):
        raise ValueError(
            f"{of_files[0]} must go with a file. Received: {of_files[0]}={options[of_files[0]]!r}, "
            f"data of {type(data).__name__}"
        )
    x, x_test = data if isinstance(data, tuple) and len(data) == 2 else (data, None)
    return split(x, x_test, **options)


def keep_rows(rows: Data, directory: Path) -> None:
    """Writes rows in memory into the folder of their sweep."""
    parts: dict[str, Any] = {"x": rows.x, "is_test": rows.is_test}
    if rows.schema is not None:
        parts["schema"] = np.array(rows.schema.to_json())
    optional = {"columns": rows.columns, "image_shape": rows.image_shape}
    parts |= {name: np.array(part) for name, part in optional.items() if part is not None}
    write_file(directory / ROWS, lambda beside: np.savez(beside, **parts))


def load_rows(plan: Mapping[str, Any], directory: Path) -> Data:
    """The rows of a plan: those that were kept, or else loaded from where it says.

    Args:
        plan: Dict as `search` writes it to `sweep.json`.
        directory: Folder of the sweep.
    """
    if plan["data"] != ROWS:
        return load_data(plan["data"], **plan["load_options"])
    with np.load(directory / ROWS) as file:
        parts = dict(file)
    columns, shape = parts.get("columns"), parts.get("image_shape")
    return Data(
        parts["x"],
        parts["is_test"],
        columns=None if columns is None else columns.tolist(),
        image_shape=None if shape is None else tuple(map(int, shape)),
        schema=Schema.from_json(str(parts["schema"])) if "schema" in parts else None,
    )
