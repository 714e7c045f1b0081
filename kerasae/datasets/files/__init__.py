"""The user's own files, read into arrays; nothing is ever unpickled."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.files.arrays import read_npy, read_npz
from kerasae.datasets.files.csv import read_csv
from kerasae.datasets.files.idx import read_idx
from kerasae.datasets.files.parquet import read_parquet
from kerasae.datasets.files.table import rows_of_table
from kerasae.validation import required

ARRAYS = {".npz": read_npz, ".npy": read_npy}
TABLES = {".csv": read_csv, ".csv.gz": read_csv, ".parquet": read_parquet}


def read(
    path: Path,
    key: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Reads a file of rows.

    Args:
        path: `pathlib.Path` ending in .npz, .npy, .csv, .csv.gz, .parquet, or .idx or -ubyte (also
            .gz). A .parquet may be a folder of such files.
        key: Which array of an .npz holds the rows, or None for the usual names.
        label: Column of a table that holds labels, or None.
        columns: Columns of a table to read, in this order, or None for all but those that number
            the rows.
        keep: Columns of a table that stay though they number the rows.

    Returns:
        A dict with "x" and, where the file has them, "y", "x_test", "y_test" and "columns".

    Raises:
        ValueError: An unknown format, or a damaged, foreign or empty file.
        TypeError: A column of a table is not of numbers.
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be opened.
        ModuleNotFoundError: The format needs pyarrow, which is missing.
    """
    name = path.name.lower()
    idx = name.removesuffix(".gz").endswith((".idx", "ubyte"))
    suffix = ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()
    if not idx and suffix not in ARRAYS | TABLES:
        known = ", ".join([*ARRAYS, *TABLES])
        raise ValueError(f"path must end in {known}, .idx or -ubyte. Received: {path}")
    if not (path.is_file() or (suffix == ".parquet" and path.is_dir())):
        raise FileNotFoundError(f"path must be a file that exists. Received: path={str(path)!r}")
    if suffix in TABLES:
        return TABLES[suffix](path, label, columns, keep)
    parts = read_idx(path) if idx else read_npz(path, key) if suffix == ".npz" else read_npy(path)
    if parts["x"].dtype.names is not None:
        return _with_names(parts, path, label, columns, keep)
    if keep:
        raise ValueError(
            f"keep (--keep) must go with named columns. Received: keep={list(keep)} ({path})"
        )
    return parts


def _with_names(parts, path, label, columns, keep):
    """An array with named fields as the table that it is."""
    required("pyarrow", "arrays with named fields")
    import pyarrow as pa  # noqa: PLC0415

    x = parts["x"].reshape(-1)
    table = pa.table({name: pa.array(x[name].tolist()) for name in x.dtype.names})
    rows = rows_of_table(table, path, label, columns, keep)
    return {**parts, **rows, "y": parts.get("y") if label is None else rows["y"]}
