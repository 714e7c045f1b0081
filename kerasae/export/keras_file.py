"""A .keras file, checked before Keras takes memory for what it claims to hold."""

import itertools
import json
import math
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py

from kerasae.datasets.archives import check_unpacked, damaged, open_zip

CONFIG, WEIGHTS = "config.json", "model.weights.h5"
CORRUPT = "corrupt"
# A decoder's tied layers have no weights of their own, and weights may be of half a byte.
MOST_TIMES, HARMLESS = 16, 1 << 20


def check_keras_file(path: Path) -> None:
    """Refuses a file that is damaged, or claims far more weights than it holds.

    Args:
        path: `pathlib.Path` of the file.

    Raises:
        ValueError: It is not a whole .keras file.
        OSError: It cannot be opened.
    """
    with open_zip(path, CORRUPT) as archive:
        with damaged(path, CORRUPT):
            if broken := archive.testzip():
                raise ValueError(f"{broken} is broken")
            if missing := {CONFIG, WEIGHTS} - set(archive.namelist()):
                raise ValueError(f"{min(missing)} is missing")
            config = json.loads(archive.read(CONFIG))
            declared, stored = _sizes(BytesIO(archive.read(WEIGHTS)))
        check_unpacked(declared, stored, path)
        with damaged(path, CORRUPT):
            claimed = sum(_claims(config))
            if claimed > max(HARMLESS, MOST_TIMES * declared):
                raise ValueError(
                    f"layers of {claimed:,} weights, whose values have {declared:,} bytes"
                )


def _sizes(file):
    """Bytes of the arrays in an HDF5 file as their shapes claim them, and as they are stored."""
    sizes = []

    def note(name, node):
        if isinstance(node, h5py.Dataset):
            declared = math.prod(node.shape or ()) * node.dtype.itemsize
            sizes.append((declared, node.id.get_storage_size()))

    with h5py.File(file) as weights:
        weights.visititems(note)
    return tuple(map(sum, zip(*sizes, strict=True))) or (0, 0)


def _claims(node: Any) -> Iterator[int]:
    """How many weights each layer of a configuration has at least, by its widths."""
    if isinstance(node, list):
        for one in node:
            yield from _claims(one)
    if not isinstance(node, dict):
        return
    config, built = node.get("config"), node.get("build_config")
    if isinstance(config, dict):
        shape = built.get("input_shape") if isinstance(built, dict) else None
        width = shape[-1] if isinstance(shape, list) and shape else 1
        for name, value in config.items():
            if name.endswith(("units", "filters")):
                widths = [width, *(value if isinstance(value, list) else [value])]
                widths = [one for one in widths if isinstance(one, int)]
                kernel = math.prod(_numbers(config.get("kernel_size")))
                yield kernel * sum(a * b for a, b in itertools.pairwise(widths))
    for one in node.values():
        yield from _claims(one)


def _numbers(value):
    return [one for one in value if isinstance(one, int)] if isinstance(value, list) else []
