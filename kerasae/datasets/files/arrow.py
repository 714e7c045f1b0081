"""Feather files and JSON lines."""

from pathlib import Path
from typing import Any

from kerasae.datasets.archives import check_memory, damaged
from kerasae.validation import required


def feather_table(path: Path) -> Any:
    """Reads a Feather file, which is Arrow's own format, as a `pyarrow.Table`.

    Args:
        path: `pathlib.Path` of the file.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    required("pyarrow", f"{path.suffix} files")
    from pyarrow import feather  # noqa: PLC0415

    path.open("rb").close()  # what may not be read is not damaged
    with damaged(path):
        return feather.read_table(path)


def json_table(path: Path) -> Any:
    """Reads a file with an object in JSON a line as a `pyarrow.Table`.

    Args:
        path: `pathlib.Path` of the file.

    Raises:
        ValueError: It is damaged, or columns hold values of several types.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    required("pyarrow", f"{path.suffix} files")
    from pyarrow import json  # noqa: PLC0415

    path.open("rb").close()
    size = path.stat().st_size
    check_memory(size, path)
    with damaged(path):
        block = min(max(size, 1 << 20), 1 << 30)
        return json.read_json(path, read_options=json.ReadOptions(block_size=block))
