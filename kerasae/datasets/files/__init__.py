"""The user's own files, read into arrays; nothing is ever unpickled."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.files.arrays import read_npy, read_npz
from kerasae.datasets.files.arrow import feather_table, json_table
from kerasae.datasets.files.csv import csv_table, read_csv
from kerasae.datasets.files.idx import read_idx
from kerasae.datasets.files.parquet import parquet_table, read_parquet
from kerasae.datasets.files.table import rows_of_table
from kerasae.validation import required

ARRAYS = {".npz": read_npz, ".npy": read_npy}
# What is not read as CSV is a table of Arrow at once.
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ARROW = {
    **{".parquet": parquet_table, ".feather": feather_table, ".arrow": feather_table},
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), json_table),
}


def _read_arrow(path, *options):
    return rows_of_table(ARROW[path.suffix.lower()](path), path, *options)


TABLES = {
    **dict.fromkeys(CSV, read_csv),
    **dict.fromkeys(ARROW, _read_arrow),
    ".parquet": read_parquet,
}


def suffix_of(path: Path) -> str:
    """What the name of a file ends in, by which its format is known."""
    name = path.name.lower()
    packed = next((one for one in CSV if one.endswith(".gz") and name.endswith(one)), "")
    return packed or path.suffix.lower()


def read_table(path: Path) -> Any:
    """Reads a table whose columns may be of any type.

    Args:
        path: `pathlib.Path` of a CSV file, Parquet file or folder, Feather file or JSON lines.

    Returns:
        A `pyarrow.Table`, its missing cells null.

    Raises:
        ValueError: Another format, or a damaged file.
        FileNotFoundError: The file does not exist.
        OSError: The file cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    suffix = suffix_of(path)
    if suffix not in TABLES:
        raise ValueError(f"path must end in {', '.join(TABLES)}. Received: {path}")
    if not (path.is_file() or (suffix == ".parquet" and path.is_dir())):
        raise FileNotFoundError(f"path must be a file that exists. Received: path={str(path)!r}")
    return csv_table(path, texts=True)[0] if suffix in CSV else ARROW[suffix](path)


def read(
    path: Path,
    key: str | None = None,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Reads a file of rows.

    Args:
        path: `pathlib.Path` ending in .npz, .npy, .csv, .csv.gz, .parquet, or .idx or -ubyte (also
            .gz). A .parquet may be a folder of such files.
        key: Which array of an .npz holds the rows, or None for the usual names.
        label: Column of a table that holds labels, several such, or None; see `rows_of_table`.
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
    suffix = suffix_of(path)
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
