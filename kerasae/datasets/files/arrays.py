"""Arrays as NumPy saves them, one alone or several in a zip file."""

import math
import os
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from kerasae.datasets.archives import check_memory, damaged, one_line, open_zip

LABELS = ("y", "labels", "target")
USUAL = {"x_test": "x_test", "y_test": "y_test", "y_train": "y"} | dict.fromkeys(LABELS, "y")
PICKLE = b"\x80"


def read_npy(path: Path) -> dict[str, np.ndarray]:
    """Reads a .npy file.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        A dict with the array as "x".

    Raises:
        ValueError: It is damaged, holds pickled objects, or does not have the length of its shape.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        return {"x": _array(file, os.fstat(file.fileno()).st_size, path)}


def read_npz(path: Path, key: str | None = None) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file that hold rows and labels.

    Args:
        path: `pathlib.Path` of the file.
        key: Which array holds the rows, or None for the usual names.

    Returns:
        A dict with "x" and, where the file has them, "y", "x_test" and "y_test".

    Raises:
        ValueError: It is damaged, has no such array, or holds pickled objects.
        OSError: It cannot be opened.
    """
    _refuse_pickle(path)
    with open_zip(path) as archive:
        members = {
            one.filename.removesuffix(".npy"): one
            for one in archive.infolist()
            if one.filename.endswith(".npy")
        }
        arrays = {}
        for name in _wanted(list(members), key, path):
            with archive.open(members[name]) as file:
                arrays[USUAL.get(name, "x")] = _array(file, members[name].file_size, path)
        return arrays


def _refuse_pickle(path):
    with path.open("rb") as file:
        if file.read(1) == PICKLE:
            raise ValueError(_pickled(path))


def _pickled(path):
    return (
        "the file must hold plain numbers. Received: pickled objects, which can run code when "
        f"read ({path}). Try saving the array as float32"
    )


def _array(file: IO[bytes], size: int, path: Path) -> np.ndarray:
    """The array in an open file of so many bytes, read where its header claims these bytes."""
    with damaged(path):
        magic = file.read(len(npy.MAGIC_PREFIX) + 2)
    if magic[:1] == PICKLE:
        raise ValueError(_pickled(path))
    with damaged(path):
        if magic[:-2] != npy.MAGIC_PREFIX or magic[-2] not in (1, 2):
            raise ValueError(f"it begins with {magic!r}")
        of_version = npy.read_array_header_1_0 if magic[-2] == 1 else npy.read_array_header_2_0
        shape, fortran, dtype = of_version(file)
        if min(shape, default=0) < 0 or not dtype.itemsize:
            raise ValueError(f"it claims shape {shape} of {dtype}")
        start = file.tell()
    if dtype.hasobject:
        raise ValueError(_pickled(path))
    count = math.prod(shape)
    expected = start + count * dtype.itemsize
    if expected != size:
        raise ValueError(
            f"the file must have {expected} bytes for shape {shape} of {dtype}. "
            f"Received: {size} bytes ({path})"
        )
    check_memory(expected, path)
    with damaged(path):
        values = _read(file, count * dtype.itemsize).view(dtype)
        values = values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
        return values.astype(dtype.newbyteorder("="), copy=False)


def _read(file, size):
    values = np.empty(size, "uint8")
    view = memoryview(values)
    done = 0
    while done < size:
        got = file.readinto(view[done : done + (1 << 24)])
        if not got:
            raise EOFError(f"it ends after {done} of {size} bytes of values")
        done += got
    # At its end, a member of a zip file compares its checksum.
    if file.read(1):
        raise ValueError("it goes on after the values")
    return values


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
            f"key (--key) must be one of {one_line(', '.join(names))}. "
            f"Received: {received} ({path})"
        )
    return [key, *[name for name in LABELS if name in names and name != key][:1]]
