"""A file that is there whole or not at all."""

import os
from pathlib import Path


def write_atomically(path, write):
    """Writes beside a file, flushes to disk, and renames over it.

    At a kill or a power cut at any moment the path holds the old content or the new one. What a
    killed write leaves beside it is overwritten by the next.

    Args:
        path: Path of the file; its folder is made if need be.
        write: Function that is given the open binary file.

    Raises:
        OSError: The disk is full or not writable; the old content is whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)  # the new name, too
    os.close(folder)
