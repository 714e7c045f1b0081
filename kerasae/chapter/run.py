"""Runs the chapter: its table on the console, its pictures in a report."""

import contextlib
import logging
import os
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path

import keras
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from kerasae._version import __version__
from kerasae.chapter.bench import Bench
from kerasae.chapter.report import write_report
from kerasae.chapter.sections import SECTIONS
from kerasae.validation import unknown


def run(data: str, section: str, directory: Path, epochs: int | None, console: Console) -> None:
    """Runs sections of the chapter, and writes `report.html`.

    Args:
        data: "digits" or "mnist".
        section: "19.3" for example, "19.2" for all that begin so, or "all".
        directory: Folder of the report, made if need be.
        epochs: Passes of every model, or None for those of `SETTINGS`.
        console: Where progress and table are shown.

    Raises:
        ValueError: An unknown section or data set.
        OSError: The folder cannot be made or written.
    """
    numbers = [one for one in SECTIONS if section == "all" or f"{one}.".startswith(f"{section}.")]
    if not numbers:
        raise ValueError(unknown("section", section, ["all", *SECTIONS], "--section"))
    directory.mkdir(parents=True, exist_ok=True)
    report = directory / "report.html"
    start = time.perf_counter()
    sections = {}
    # Each of a dozen models is compiled, which TensorFlow reports as needless retracing.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _progress(console, len(numbers)) as (show, advance), warnings.catch_warnings():
        # The border of the images is constant, and one model is meant to learn the identity.
        warnings.simplefilter("ignore", UserWarning)
        bench = Bench(data, epochs, show)
        # The book's numbers are those of MNIST: beside other rows they would say nothing.
        book = data == "mnist"
        header = ["section", "what", *["book"] * book, "PCA", "ours", "seconds"]
        for number in numbers:
            sections[number] = SECTIONS[number](bench)
            # After every section, so that a run that is stopped leaves its results.
            about = _about(bench, section, epochs, time.perf_counter() - start)
            title = f"The autoencoder chapter on {data}"
            write_report(report, title, about, header, sections, book=book)
            advance(number)
    console.print(_table(header, sections, book))
    console.print(f"{time.perf_counter() - start:.0f} seconds")
    console.print(f"report: {report}", soft_wrap=True, highlight=False)


def _table(header, sections, book):
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i < 2 else "right", overflow="fold")
    for number, section in sections.items():
        for row in section.rows:
            table.add_row(number, *row.texts(book))
        table.add_section()
    return table


def _about(bench, section, epochs, seconds):
    command = f"kerasae chapter --data {bench.data} --section {section}"
    command += f" --epochs {epochs}" if epochs else ""
    scaled = ""
    if bench.data != "mnist":
        scaled = (
            " The book's numbers are for MNIST, 28 by 28 pixels, and are left out here; its "
            "widths, in brackets, are scaled to the columns there are."
        )
    return [
        f"{len(bench.x):,} rows of {bench.x.shape[1]} pixels for training, {len(bench.x_test):,} "
        "for testing; every error is that of test rows. The book is Hands-On Machine Learning with "
        f"R (Boehmke and Greenwell, 2019), chapter 19, whose numbers are H2O's.{scaled}",
        f"{command}: {seconds:.0f} seconds on {os.cpu_count()} cores, {datetime.now(UTC).date()}, "
        f"kerasae {__version__}, Keras {keras.__version__}.",
    ]


@contextlib.contextmanager
def _progress(console, count):
    """Bars for the sections and for the model in training, as functions that move them."""
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        sections = progress.add_task("sections", total=count)
        model = progress.add_task("reading", total=None)

        def show(what, epoch, epochs):
            progress.update(model, description=what, completed=epoch, total=epochs)

        yield (
            show,
            lambda number: progress.update(sections, advance=1, description=f"{number} done"),
        )
