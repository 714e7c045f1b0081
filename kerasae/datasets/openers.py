"""Files and other data larger than memory, opened as sources of rows, and written as they come."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.datasets.files import suffix_of
from kerasae.datasets.files.csv_parts import csv_parts
from kerasae.datasets.files.images import SUFFIXES as IMAGES
from kerasae.datasets.files.parts import (
    Part,
    Parts,
    array_parts,
    expression_of,
    feather_parts,
    json_parts,
    narrowed,
    npy_parts,
    parquet_parts,
)
from kerasae.datasets.files.writing import write_npy, write_tables
from kerasae.datasets.opened import OpenedRows, as_piece
from kerasae.validation import names_of

FORMATS: dict[str, Callable[[Path, int], Parts]] = {
    ".parquet": parquet_parts,
    **dict.fromkeys((".csv", ".tsv", ".csv.gz", ".tsv.gz"), csv_parts),
    **dict.fromkeys((".feather", ".arrow"), feather_parts),
    **dict.fromkeys((".jsonl", ".ndjson"), json_parts),
    ".npy": npy_parts,
}
# What parts without a known number of rows are taken to have, for the numbers of their rows.
UNKNOWN = 2**40


def open(  # noqa: A001
    source: Any, *, columns: Sequence[str] | None = None, predicate: Any = None
) -> OpenedRows:
    """Opens data that need not fit in memory, for `fit` and all that looks at rows.

    Parquet files are read by row groups and Feather files by record batches, of the wanted columns
    alone; .npy files are mapped into memory; .csv and .jsonl files are read in blocks.

    Args:
        source: Path of a .parquet, .feather, .arrow, .csv, .tsv (both also with .gz), .jsonl,
            .ndjson or .npy file; of a folder of files of one format, partitioned Parquet as Spark
            and Hive write it included; a list of paths; an array or a table; a list of arrays or
            tables, or a function without arguments that returns an iterator over them.
        columns: Names of the columns to read, in this order; by default all.
        predicate: Which rows to read: a `pyarrow.compute.Expression`, or a list of conditions
            `("age", ">", 30)` that all hold. Row groups without such rows are not read.

    Returns:
        An `OpenedRows`.

    Raises:
        ValueError: Another format, a damaged file, a folder of none of them, or no such column.
        TypeError: Something else than a source, an iterator for example that can be read only once.
        FileNotFoundError: The file does not exist.
        ModuleNotFoundError: pyarrow is missing.

    Example:
        >>> import tempfile, kerasae, pyarrow as pa
        >>> from pyarrow import parquet
        >>> path = tempfile.mkdtemp() + "/rows.parquet"
        >>> table = pa.table({"age": range(1000), "height": [1.7] * 1000})
        >>> parquet.write_table(table, path, row_group_size=100)
        >>> kerasae.datasets.open(path)
        OpenedRows(1,000 rows, 2 columns, 10 parts)
        >>> some = kerasae.datasets.open(path, columns=["height"], predicate=[("age", "<", 150)])
        >>> sum(len(piece) for piece in some)
        150
        >>> train, test = kerasae.datasets.open(path).split(0.2)
        >>> sum(map(len, train)), sum(map(len, test))
        (804, 196)
    """
    parts, names = _parts_of(source)
    if predicate is not None and isinstance(predicate, list | tuple):
        predicate = expression_of(predicate)
    path = str(Path(source).absolute()) if isinstance(source, str | os.PathLike) else None
    opened = OpenedRows(parts, names, predicate, path=path)
    return opened if columns is None else opened.select(columns)


def size_of(path: Path) -> int | None:
    """Bytes that the rows of a file or folder take in memory, None where `open` does not read it.

    Args:
        path: `pathlib.Path` of the file or folder.

    Returns:
        About as many: eight a cell of a Parquet file, and five times those of a packed file.
    """
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    suffixes = {suffix_of(one) for one in files} & {*FORMATS, *IMAGES}
    if len(suffixes) != 1 or suffixes <= set(IMAGES):
        return None
    (suffix,) = suffixes
    if suffix == ".parquet":
        opened = open(path)
        return 8 * (opened.rows or 0) * len(opened.columns or ())
    size = sum(one.stat().st_size for one in files if suffix_of(one) == suffix)
    return size * (5 if suffix.endswith(".gz") else 1)


def write(path: str | os.PathLike[str], pieces: Iterable[Any], *, name: str = "column") -> int:
    """Writes rows as they come, in pieces, to a file that is there whole or not at all.

    What `encode`, `kerasae.anomaly.score` and others give of a source is written without being kept
    in memory. The file is written beside its place and renamed at the end.

    Args:
        path: Path of a .parquet, .csv or .npy file.
        pieces: Iterable of tables, dicts of columns, arrays of rows, or `Scores`.
        name: What the columns of arrays are called: "codings" for `codings_1` and so on.

    Returns:
        Number of rows.

    Raises:
        ValueError: Another format, or no rows; nothing is written.
        OSError: The disk is full or not writable; what was there is whole.
        ModuleNotFoundError: pyarrow is missing.

    Example:
        >>> import tempfile, kerasae
        >>> path = tempfile.mkdtemp() + "/codings.parquet"
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> source = kerasae.datasets.open(np.zeros((100, 8), "float32"))
        >>> kerasae.datasets.write(path, model.encode(source), name="codings")
        100
        >>> kerasae.datasets.open(path).columns
        ('codings_1', 'codings_2')
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".csv", ".npy"):
        raise ValueError(f"path must end in .parquet, .csv or .npy. Received: {path}")
    return write_npy(path, pieces) if path.suffix == ".npy" else write_tables(path, pieces, name)


def _parts_of(source) -> Parts:
    if isinstance(source, str | os.PathLike):
        return _parts_of_path(Path(source), 0)
    if callable(source) and not hasattr(source, "__len__"):
        first = next(iter(source()), None)
        names = None if first is None else names_of(as_piece(first))
        return Parts([Part(0, None, _reader(source))], None if names is None else tuple(names))
    if not (isinstance(source, list | tuple | Mapping) or hasattr(source, "shape")):
        raise TypeError(
            "source must be a path, arrays or tables, or a function that makes an iterator over "
            f"them. Received: a {type(source).__name__}. Try lambda: rows() for a generator"
        )
    if isinstance(source, list | tuple) and source:
        if all(isinstance(one, str | os.PathLike) for one in source):
            return _joined([Path(one) for one in source])
        if hasattr(source[0], "shape") or names_of(source[0]) is not None:
            return _parts_of_list(source)
    return _parts_of_list([source])


def _parts_of_list(pieces):
    parts, first = [], 0
    for one in pieces:
        piece = as_piece(one)
        if isinstance(piece, np.ndarray):
            parts += array_parts(piece, first).parts
        else:
            parts.append(Part(first, len(piece), _reader(lambda piece=piece: [piece])))
        first += len(piece)
    names = names_of(as_piece(pieces[0]))
    return Parts(parts, None if names is None else tuple(names))


def _reader(make):
    """Reads what a function makes anew in every pass."""

    def read(columns, predicate):
        for one in make():
            piece = as_piece(one)
            if isinstance(piece, np.ndarray):
                for part in array_parts(piece).parts:
                    yield from part.read(columns, predicate)
            else:
                yield from narrowed(piece, columns, predicate)

    return read


def _parts_of_path(path, first):
    suffix = suffix_of(path)
    if path.is_dir() and suffix not in FORMATS:
        files = (one for one in path.rglob("*") if one.is_file() and not _is_hidden(one, path))
        found = sorted(files)
        suffixes = {suffix_of(one) for one in found} & FORMATS.keys()
        if suffixes == {".parquet"}:
            return parquet_parts(path, first)
        if len(suffixes) != 1:
            raise ValueError(
                f"path must be a folder of files of one format, {', '.join(FORMATS)}. "
                f"Received: {', '.join(sorted(suffixes)) or 'none'} ({path})"
            )
        return _joined([one for one in found if suffix_of(one) in suffixes])
    if suffix not in FORMATS:
        raise ValueError(f"path must end in {', '.join(FORMATS)}. Received: {path}")
    if not (path.is_file() or (suffix == ".parquet" and path.is_dir())):
        raise FileNotFoundError(f"path must be a file that exists. Received: path={str(path)!r}")
    return FORMATS[suffix](path, first)


def _joined(paths):
    """The parts of files with the same columns, one after the other."""
    parts: list[Part] = []
    columns, first = None, 0
    for i, path in enumerate(paths):
        found = _parts_of_path(path, first)
        columns = found.columns if not i else columns
        if (found.columns is None) != (columns is None) or set(found.columns or ()) != set(
            columns or ()
        ):
            raise ValueError(
                f"all files must have the same columns. Received: others than {paths[0]} has "
                f"({path})"
            )
        parts += found.parts
        last = parts[-1]
        first = last.first + (UNKNOWN if last.rows is None else last.rows)
    return Parts(parts, columns)


def _is_hidden(path, folder):
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
