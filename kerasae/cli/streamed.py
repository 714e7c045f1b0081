"""Files larger than memory on the command line: which are streamed, and progress by rows."""

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from kerasae.cli.terminal import console

# Files whose rows would take more than this part of the free memory are streamed.
PART = 8
# Rows a step where they are only looked at.
BATCH = 2048

StreamOption = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Reads the file in pieces instead of whole. By default where its rows would take more "
        "than an eighth of the free memory.",
    ),
]


def is_streamed(data: str, stream: bool | None, images: tuple[int, ...] | None = None) -> bool:
    """Whether a file is read in pieces: as asked, or where memory should not hold it.

    Args:
        data: Path or name of the data.
        stream: What was asked for, or None.
        images: Shape of the images that a folder's files are brought to, where it may hold some.
    """
    from kerasae.datasets import NAMED
    from kerasae.datasets.archives import free_memory
    from kerasae.datasets.files.images import image_files
    from kerasae.datasets.openers import FORMATS, size_of

    path = Path(data)
    if stream is False or (data in NAMED and not stream):
        return False
    size = size_of(path) if path.exists() and data not in NAMED else None
    if size is None and images and path.is_dir():
        size = len(image_files(path)) * math.prod(images)
        return bool(stream) or size > free_memory() / PART
    if stream and size is None and path.exists():
        raise ValueError(
            f"stream (--stream) must go with files of one format, {', '.join(FORMATS)}. "
            f"Received: {data}"
        )
    if size is not None and path.is_dir() and path.suffix.lower() != ".parquet":
        return True  # only images are read whole from a folder
    return bool(stream) or (size is not None and size > free_memory() / PART)


@contextlib.contextmanager
def progress_of(what: str, rows: int | None) -> Iterator[Callable[[int], None]]:
    """Shows how many rows were done, how many there are and how long the rest takes.

    Args:
        what: What is done.
        rows: How many rows there are, or None.

    Yields:
        Function that is called with the number of rows of each piece that is done.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    total = "" if rows is None else f" of {rows:,}"
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f}" + total + " rows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=rows)
        yield lambda done: progress.update(task, advance=done)


def survey_of(data: str, **options: Any) -> Any:
    """What `kerasae.tables.streamed.open_data` finds, with progress."""
    from kerasae import datasets
    from kerasae.tables.streamed import open_data

    rows = datasets.open(data).rows
    with progress_of("looking at", rows) as seen:
        return open_data(data, seen=seen, **options)
