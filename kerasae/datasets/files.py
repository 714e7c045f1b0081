"""The user's own files, read into arrays; nothing is ever unpickled."""

import contextlib
import gzip
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.validation import required, unknown

IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
LABELS = ("y", "labels", "target")


def read(path: Path, key: str | None = None, label: str | None = None) -> dict[str, Any]:
    """Reads a file of rows.

    Args:
        path: `pathlib.Path` ending in .npz, .npy, .csv, .parquet, or .idx or -ubyte (also .gz).
        key: Which array of an .npz holds the rows, or None for the usual names.
        label: Column of a .csv or .parquet that holds labels, or None.

    Returns:
        A dict with "x" and, where the file has them, "y", "x_test", "y_test" and "columns".

    Raises:
        ValueError: An unknown format, or a damaged, foreign or empty file.
        TypeError: A column of a table is not of numbers.
        FileNotFoundError: The file does not exist.
        ModuleNotFoundError: The format needs pyarrow, which is missing.
    """
    reader = _reader(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file that exists. Received: path={str(path)!r}")
    try:
        return reader(path, key, label)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, struct.error) as error:
        raise ValueError(_damaged(error, path)) from error


def _reader(path):
    suffix = path.suffix.lower()
    if path.name.lower().removesuffix(".gz").endswith((".idx", "ubyte")):
        return _read_idx
    if suffix in READERS:
        return READERS[suffix]
    raise ValueError(f"path must end in {', '.join(READERS)}, .idx or -ubyte. Received: {path}")


def _damaged(error, path):
    return (
        f"the file must be a whole {path.suffix or 'IDX'} file. Received: a damaged one, "
        f"{_one_line(error)} ({path}). Try copying or downloading it again"
    )


def _one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def _numpy_errors(path):
    try:
        yield
    except ValueError as error:
        if "pickle" not in str(error):
            raise ValueError(_damaged(error, path)) from error
        raise ValueError(
            "the file must hold plain numbers. Received: pickled objects, which can run code when "
            f"read ({path}). Try saving the array as float32"
        ) from error


def _read_npy(path, key, label):
    with _numpy_errors(path):
        return {"x": np.load(path, allow_pickle=False)}


def _read_npz(path, key, label):
    with _numpy_errors(path):
        archive = np.load(path, allow_pickle=False)
    if not hasattr(archive, "files"):
        raise zipfile.BadZipFile("not an npz archive")
    with archive:
        names = _wanted(archive.files, key, path)
        with _numpy_errors(path):
            return {USUAL.get(name, "x"): archive[name] for name in names}


USUAL = {"x_test": "x_test", "y_test": "y_test", "y_train": "y"} | dict.fromkeys(LABELS, "y")


def _wanted(names, key, path):
    """The arrays to read from an .npz, the rows first."""
    if key is None and "x_train" in names:
        rest = ["x_test", "y_train", "y_test"] if "x_test" in names else ["y_train"]
        return ["x_train", *(name for name in rest if name in names)]
    if key is None:
        key = next((name for name in ("X", "x", "data") if name in names), None)
        if key is None and len(names) == 1:
            key = names[0]
    if not names:
        raise ValueError(f"the file must hold an array. Received: an empty archive ({path})")
    if key not in names:
        received = f"key={key!r}" if key else "no key, and no array x_train, X, x or data"
        raise ValueError(
            f"key (--key) must be one of {', '.join(names)}. Received: {received} ({path})"
        )
    return [key, *[name for name in LABELS if name in names and name != key][:1]]


def _read_idx(path, key, label):
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rb") as file:
        content = file.read()
    zeros, kind, rank = struct.unpack_from(">HBB", content)
    if zeros or kind not in IDX_TYPES:
        raise ValueError(
            "the magic number must be 0x0000, a type of "
            f"{', '.join(f'0x{code:02x}' for code in IDX_TYPES)} and the number of dimensions. "
            f"Received: 0x{content[:4].hex()} ({path})"
        )
    shape = struct.unpack_from(f">{rank}I", content, 4)
    dtype = np.dtype(IDX_TYPES[kind])
    expected = 4 + 4 * rank + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"the file must have {expected} bytes for shape {shape} of {dtype.name}. "
            f"Received: {len(content)} bytes ({path})"
        )
    x = np.frombuffer(content, dtype, offset=4 + 4 * rank).reshape(shape)
    return {"x": x.astype(dtype.newbyteorder("="))}


def _read_csv(path, key, label):
    required("pyarrow", ".csv files")
    from pyarrow import ArrowInvalid, csv  # noqa: PLC0415

    try:
        # One thread: only then does pyarrow name the row of an error.
        table = csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False))
    except ArrowInvalid as error:
        raise ValueError(
            "every line must have the same number of comma-separated cells, in UTF-8. "
            f"Received: {_one_line(error)} ({path})"
        ) from error
    names = table.column_names
    if len(names) == 1 and ";" in names[0]:
        raise ValueError(
            f"cells must be separated by commas. Received: semicolons in line 1 ({path}). "
            "Try replacing ; by , (and decimal commas by points first)"
        )
    if all(_is_number(name) for name in names):
        raise ValueError(
            f"the header must hold the names of the columns. Received: only numbers in line 1 "
            f"({path}). Try adding a line with the names"
        )
    return _from_table(table, path, label)


def _is_number(text):
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _read_parquet(path, key, label):
    required("pyarrow", ".parquet files")
    from pyarrow import ArrowException, parquet  # noqa: PLC0415

    try:
        table = parquet.read_table(path)
    except ArrowException as error:
        raise ValueError(_damaged(error, path)) from error
    return _from_table(table, path, label)


def _from_table(table, path, label):
    names = table.column_names
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(
            f"the names of the columns must differ. Received: '{twice[0]}' more than once ({path})"
        )
    if not table.num_rows:
        raise ValueError(f"the table must have at least one row. Received: 0 rows ({path})")
    y = None
    if label is not None:
        if label not in names:
            raise ValueError(unknown("label", label, names) + f" ({path})")
        y = table[label].to_numpy()
        table = table.drop_columns([label])
    cells = [_numbers(name, table[name], path) for name in table.column_names]
    if not cells:
        raise ValueError(
            f"the table must have at least one column of numbers. Received: 0 columns ({path})"
        )
    columns = table.column_names
    return {"x": np.stack(cells, axis=1), "y": y, "columns": columns}


def _numbers(name, values, path):
    import pyarrow as pa  # noqa: PLC0415

    kind = values.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        if pa.types.is_null(kind):
            return np.full(len(values), np.nan, "float32")
        cells = [value.as_py() for value in values]
        row = next((row for row, cell in enumerate(cells) if not _is_number(cell)), 0)
        raise TypeError(
            f"column '{name}' must hold real numbers. Received: {cells[row]!r} in row {row} "
            f"({path}). Try encoding or dropping it, or label (--label) {name}"
        )
    return values.to_numpy().astype("float64")


READERS = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
