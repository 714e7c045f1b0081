"""`kerasae chapter`."""

from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import console, starting


def chapter(
    data: Annotated[
        str, typer.Option(help="digits, about 1 minute, or mnist, about 9.")
    ] = "digits",
    section: Annotated[
        str, typer.Option(help="19.2.1, 19.2.2, 19.2.3, 19.3, 19.4, 19.5 or all.")
    ] = "all",
    output: Annotated[
        Path | None, typer.Option(help="Folder of report.html. By default chapter-DATA.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes of every model, for a quick look.")
    ] = None,
) -> None:
    """Reruns the book's autoencoder chapter: its numbers, PCA's and ours in a table, a report."""
    from kerasae.validation import check_count

    check_count("--epochs", epochs)
    with starting():
        from kerasae.chapter.run import run
    run(data, section, output or Path(f"chapter-{data}"), epochs, console)
