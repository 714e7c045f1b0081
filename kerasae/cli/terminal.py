"""The terminal: what the command shows while it works, and the option texts that commands share."""

import contextlib
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from kerasae.cli.imports import without_optional_imports
from kerasae.program_cache import cache_programs
from kerasae.text import printable


class Terminal(Console):
    """A console to which markup, emoji codes and control characters in a text mean nothing."""

    def __init__(self) -> None:
        super().__init__(markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Makes a text of a string; of all that is printed, cells of tables too."""
        return super().render_str(printable(text), **options)


console = Terminal()


def say(text: str) -> None:
    """Prints a line as it is, without breaks or colours."""
    console.print(text, soft_wrap=True, highlight=False)


DataOption = Annotated[
    str,
    typer.Argument(
        help="digits, mnist, a .csv, .parquet, .npz or other file of rows, or a folder of images."
    ),
]
ModelArgument = Annotated[
    Path, typer.Argument(help="A .keras file, or saved_models/NAME[/VERSION].")
]
KeyOption = Annotated[str | None, typer.Option(help="Array of an .npz that holds the rows.")]
LabelOption = Annotated[
    str | None, typer.Option(help="Column of a table that holds labels, left out of the rows.")
]
# Of commands that train for anomalies.
NormalLabelOption = Annotated[
    str | None,
    typer.Option(
        help="Column of a table that holds labels, left out of the rows. Rows with 1, where labels "
        "are 0 and 1, do not train."
    ),
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(help="Column of a table to learn, though it numbers or names the rows."),
]
TimeOption = Annotated[
    str | None, typer.Option(help="Series: column of the times, by default as in training.")
]
GroupOption = Annotated[
    str | None, typer.Option(help="Series: column of the groups, by default as in training.")
]
OutputOption = Annotated[Path, typer.Option(help="Folder of the saved models.")]

ColumnsOption = Annotated[
    str | None, typer.Option(help="Columns of a table to learn, NAME,NAME; by default all.")
]
DropOption = Annotated[str | None, typer.Option(help="Columns of a table to leave out.")]
IdOption = Annotated[
    str | None, typer.Option("--id", help="Columns that identify a row: left out, carried along.")
]
CategoricalOption = Annotated[
    str | None, typer.Option(help="Columns of a table whose numbers are levels.")
]

FORMATS = ("npz", "npy", "csv", "tsv", "parquet", "feather", "arrow", "jsonl", "ndjson", "idx")
THRESHOLDS = "What is an anomaly: above a percentile p99 or 3sd, or a tail probability 0.01"


@contextlib.contextmanager
def quiet(doing: str) -> Iterator[None]:
    """Shows that something is going on, and drops what TensorFlow's libraries write meanwhile."""
    sys.stderr.flush()
    before = os.dup(2)
    with console.status(doing), Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Starts Keras quietly."""
    with quiet("starting Keras"):
        if "keras" not in sys.modules and os.environ.get("KERASAE_PROGRAM_CACHE") != "off":
            with contextlib.suppress(OSError):  # no folder to keep programs in
                cache_programs()
        with without_optional_imports():
            import keras
        keras.ops.ones(1)
        yield


def names(text: str | None) -> list[str]:
    """The names in an option, separated by commas; one with a comma in it is quoted."""
    return [] if not text else next(csv.reader([text], skipinitialspace=True))


def show_path(what: str, path: Path | str) -> None:
    """Prints where something was written, on one line that can be copied."""
    say(f"{what}: {printable(str(path), kept='')}")


def check_name(name: str | None) -> None:
    """Refuses what is not the name of one folder in the one where outputs go."""
    if name is not None and (not name or name in (".", "..") or "/" in name or "\0" in name):
        raise ValueError(
            "--name must be the name of one folder. "
            f"Received: --name={name!r}. Try --output for the folder around it"
        )


def data_name(data: str | Path) -> str:
    """What outputs of a data set are called by default: its file's name without the format.

    Args:
        data: Name of a data set, or path of its file.

    Returns:
        The name, which keeps other dots: "sales.2024.01.csv.gz" gives "sales.2024.01".
    """
    whole = _named(Path(data)).name
    name = whole[:-3] if whole.lower().endswith(".gz") else whole
    stem, _, suffix = name.rpartition(".")
    return stem if stem and suffix.lower() in FORMATS else name


def model_name(path: Path) -> str:
    """What exports of a model are called by default.

    Args:
        path: Folder of a sweep, of a version, of several versions, or a .keras file.

    Returns:
        The file's name without .keras, or the folder's. Where a file has the name that every one
        has, model.keras, that of its folder, and of a version that of the folder above.
    """
    path = _named(path)
    if path.name == "model.keras" and path.parent.name:
        path = path.parent
        if path.name.startswith("trial_"):
            return f"{path.parent.name}-{path.name}"
    if path.name.isdecimal() and path.parent.name:
        return path.parent.name
    return path.name.removesuffix(".keras") or path.name


def _named(path):
    """A path with the names of its folders: without .. and ., which may be all that was given."""
    path = path.absolute()
    return path.resolve() if ".." in path.parts else path
