"""IDX files, the format of MNIST."""

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np

from kerasae.datasets.archives import check_unpacked, damaged

TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path) -> dict[str, np.ndarray]:
    """Reads an IDX file, also a gzipped one.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        A dict with the array as "x".

    Raises:
        ValueError: It is damaged, or does not have the length of its shape.
        OSError: It cannot be opened.

    Reference: LeCun et al. (1998), MNIST.
    """
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        file = gzip.GzipFile(fileobj=raw) if packed else raw
        with damaged(path):
            head = file.read(4)
            zeros, kind, rank = struct.unpack(">HBB", head)
        if zeros or kind not in TYPES:
            raise ValueError(
                "the magic number must be 0x0000, a type of "
                f"{', '.join(f'0x{code:02x}' for code in TYPES)} and the number of dimensions. "
                f"Received: 0x{head.hex()} ({path})"
            )
        with damaged(path):
            shape = struct.unpack(f">{rank}I", file.read(4 * rank))
        dtype = np.dtype(TYPES[kind])
        start, values = 4 + 4 * rank, math.prod(shape) * dtype.itemsize
        if not packed and size != start + values:
            raise ValueError(_length(start + values, shape, dtype, size, path))
        check_unpacked(values, size, path)
        with damaged(path):
            # One byte more than there should be, which a damaged gzip file may have.
            content = file.read(values + 1)
        if len(content) != values:
            received = start + len(content)
            raise ValueError(_length(start + values, shape, dtype, received, path))
        with damaged(path):
            x = np.frombuffer(content, dtype).reshape(shape)
            return {"x": x.astype(dtype.newbyteorder("="))}


def _length(expected, shape, dtype, received, path):
    return (
        f"the file must have {expected} bytes for shape {shape} of {dtype.name}. "
        f"Received: {received} bytes ({path})"
    )
