"""Parquet files, and folders of them as Spark writes them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.archives import check_memory, damaged, reading
from kerasae.datasets.files.table import rows_of_table


def read_parquet(
    path: Path,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Reads a Parquet file, or a folder of such files.

    Args:
        path: `pathlib.Path` of the file or folder.
        label: Column that holds labels, several such, or None; see `rows_of_table`.
        columns: Columns to read, in this order, or None for all but those that number the rows.
        keep: Columns that stay though they number the rows.

    Returns:
        A dict with "x", "y" and "columns".

    Raises:
        ValueError: It is damaged or empty, or lacks a column.
        TypeError: A column is not of numbers.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    return rows_of_table(parquet_table(path), path, label, columns, keep)


def parquet_table(path: Path) -> Any:
    """Reads a Parquet file, or a folder of such files, as a `pyarrow.Table`."""
    with reading(path, "pyarrow"):
        from pyarrow import parquet  # noqa: PLC0415

        files = parquet.ParquetDataset(path).files
    cells = 0
    for file in files:
        with damaged(Path(file)):
            metadata = parquet.read_metadata(file)
        cells += metadata.num_rows * metadata.num_columns
    # A run of equal values takes a few bytes in the file and eight each in memory.
    check_memory(8 * cells, path)
    with damaged(path):
        return parquet.read_table(path, page_checksum_verification=True)
