"""Feather files and JSON lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.archives import check_memory, reading
from kerasae.validation import required


def feather_table(path: Path) -> Any:
    """Reads a Feather file, which is Arrow's own format, as a `pyarrow.Table`.

    Args:
        path: `pathlib.Path` of the file.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    with reading(path, "pyarrow"):
        from pyarrow import feather  # noqa: PLC0415

        return feather.read_table(path)


def json_table(path: Path) -> Any:
    """Reads a file with an object in JSON a line as a `pyarrow.Table`.

    Args:
        path: `pathlib.Path` of the file.

    Raises:
        ValueError: It is damaged, or columns hold values of several types.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    size = path.stat().st_size
    check_memory(size, path)
    with reading(path, "pyarrow"):
        from pyarrow import json  # noqa: PLC0415

        block = min(max(size, 1 << 20), 1 << 30)
        return json.read_json(path, read_options=json.ReadOptions(block_size=block))


def arrow_table(x: Any) -> Any:
    """A table of pandas, polars or NumPy's named fields, or a dict of columns, of pyarrow.

    Args:
        x: The table.

    Returns:
        A `pyarrow.Table`, without the index of one of pandas.

    Raises:
        ModuleNotFoundError: pyarrow is missing.
    """
    required("pyarrow", "tables")
    import pyarrow as pa  # noqa: PLC0415

    if hasattr(x, "iloc"):
        return pa.Table.from_pandas(x, preserve_index=False)
    if hasattr(x, "to_arrow"):
        return x.to_arrow()
    if hasattr(x, "to_batches"):  # a dataset's batch
        return pa.Table.from_batches(x.to_batches())
    if hasattr(x, "schema") and hasattr(x, "num_rows"):
        return pa.Table.from_batches([x])
    names = getattr(getattr(x, "dtype", None), "names", None)
    return pa.table({name: x[name] for name in names} if names else dict(x))


def joined_tables(tables: Sequence[Any]) -> Any:
    """Tables of pyarrow with the same columns as one; of different types, the wider ones."""
    import pyarrow as pa  # noqa: PLC0415

    return pa.concat_tables(list(tables), promote_options="permissive")
