"""Files as parts that can be read one by one: row groups, batches, slices of a memory map."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasae.datasets.archives import damaged, reading
from kerasae.validation import required

# Bytes of a piece that is read at once.
PIECE_BYTES = 2**24


class Part(NamedTuple):
    """Rows that can be read without those before them.

    Attributes:
        first: Number of the first row.
        rows: How many there are, or None.
        read: Function of the names of columns and a predicate, both of which may be None, that
            yields tables or arrays.
    """

    first: int
    rows: int | None
    read: Callable[[Sequence[str] | None, Any], Iterator[Any]]


class Parts(NamedTuple):
    """The parts of files, and the names of their columns or None."""

    parts: list[Part]
    columns: tuple[str, ...] | None


def parquet_parts(path: Path, first: int = 0) -> Parts:
    """The row groups of a Parquet file, or of a folder of them, partitioned as Hive does or not.

    Args:
        path: `pathlib.Path` of the file or folder.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: A file is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    with reading(path, "pyarrow"):
        from pyarrow import dataset as datasets  # noqa: PLC0415

        # Page by page: a row group may have a gigabyte.
        options = datasets.ParquetFragmentScanOptions(
            use_buffered_stream=True,
            buffer_size=2**16,
            pre_buffer=False,
            page_checksum_verification=True,
        )
        form = datasets.ParquetFileFormat(default_fragment_scan_options=options)
        dataset = datasets.dataset(path, format=form, partitioning="hive")
    parts = []
    for fragment in dataset.get_fragments():
        with damaged(Path(fragment.path)):
            groups = fragment.split_by_row_group(schema=dataset.schema)
            counts = [sum(one.num_rows for one in group.row_groups) for group in groups]
        for group, rows in zip(groups, counts, strict=True):
            parts.append(Part(first, rows, _reader(group, dataset.schema)))
            first += rows
    return Parts(parts, tuple(dataset.schema.names))


def _reader(group, schema):
    def read(columns, predicate):
        import pyarrow as pa  # noqa: PLC0415

        size = max(1024, PIECE_BYTES // (8 * max(1, len(columns or schema.names))))
        with damaged(Path(group.path)):
            batches = group.to_batches(
                schema=schema,
                columns=None if columns is None else list(columns),
                filter=predicate,
                batch_size=size,
                batch_readahead=1,
                fragment_readahead=1,
            )
            for batch in batches:
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])

    return read


def feather_parts(path: Path, first: int = 0) -> Parts:
    """The record batches of a Feather file, which is Arrow's own format.

    Args:
        path: `pathlib.Path` of the file.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    with reading(path, "pyarrow"):
        from pyarrow import ipc  # noqa: PLC0415

        names = tuple(_opened_arrow(path).schema.names)
        # Of one column alone: the batches may be packed.
        counted = _opened_arrow(path, ipc.IpcReadOptions(included_fields=[0]))
        counts = [counted.get_batch(i).num_rows for i in range(counted.num_record_batches)]
    parts = []
    for i, rows in enumerate(counts):
        parts.append(Part(first, rows, _batch_reader(path, i)))
        first += rows
    return Parts(parts, names)


def _opened_arrow(path, options=None):
    import pyarrow as pa  # noqa: PLC0415

    return pa.ipc.open_file(pa.memory_map(str(path)), options=options)


def _batch_reader(path, i):
    def read(columns, predicate):
        import pyarrow as pa  # noqa: PLC0415

        with damaged(path):
            table = pa.Table.from_batches([_opened_arrow(path).get_batch(i)])
            yield from narrowed(table, columns, predicate)

    return read


def narrowed(table: Any, columns: Sequence[str] | None, predicate: Any) -> Iterator[Any]:
    """Pieces of a table of pyarrow: some of its columns, and the rows that a predicate is for."""
    if predicate is not None:
        table = table.filter(predicate)
    if columns is not None:
        table = table.select(list(columns))
    size = max(1024, PIECE_BYTES // (8 * max(1, table.num_columns)))
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


def json_parts(path: Path, first: int = 0) -> Parts:
    """Lines of JSON as one part, whose number of rows is not known before it was read.

    The types of columns are those of the first 8 MB. A later cell that does not fit is an error.

    Args:
        path: `pathlib.Path` of the file, with an object a line.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: It is damaged, or columns hold values of several types.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    with reading(path, "pyarrow"):
        names = tuple(_opened_json(path).schema.names)

    def read(columns, predicate):
        import pyarrow as pa  # noqa: PLC0415

        with damaged(path):
            for batch in _opened_json(path):
                yield from narrowed(pa.Table.from_batches([batch]), columns, predicate)

    return Parts([Part(first, None, read)], names)


def _opened_json(path):
    from pyarrow import json  # noqa: PLC0415

    return json.open_json(path, read_options=json.ReadOptions(block_size=PIECE_BYTES // 2))


def npy_parts(path: Path, first: int = 0) -> Parts:
    """Slices of a memory map of a .npy file.

    Args:
        path: `pathlib.Path` of the file.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: It is damaged, or holds pickled objects.
        OSError: It cannot be opened.
    """
    with reading(path):
        mapped = np.lib.format.open_memmap(path, mode="r")
    return array_parts(mapped, first)


def array_parts(array: np.ndarray, first: int = 0) -> Parts:
    """Slices of an array, which may be a memory map.

    Args:
        array: Array of shape (rows, ...), or with named fields.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: It has no rows.
    """
    if not (array.ndim and len(array)):
        raise ValueError(f"x must have at least one row. Received: shape {array.shape}")
    rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    starts = range(0, len(array), rows)
    native = array.dtype.newbyteorder("=")

    def reader(start):
        def read(columns, predicate):
            if columns is not None or predicate is not None:
                raise ValueError(
                    "columns and predicate must go with a table. Received: an array without names"
                )
            yield np.array(array[start : start + rows], native)

        return read

    parts = [Part(first + i, min(rows, len(array) - i), reader(i)) for i in starts]
    names = array.dtype.names
    return Parts(parts, None if names is None else tuple(names))


def expression_of(conditions: Sequence[Any]) -> Any:
    """An expression of pyarrow for conditions such as `("age", ">", 30)` that all hold."""
    required("pyarrow", "predicates")
    from pyarrow import parquet  # noqa: PLC0415

    return parquet.filters_to_expression(list(conditions))
