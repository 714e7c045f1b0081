"""`kerasae chapter`: the command, without what it takes seconds to import."""

from pathlib import Path
from typing import Annotated

import typer


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
):
    """Reruns the book's autoencoder chapter: a table of its figures, PCA's and ours, a report."""
    from kerasae.cli import console, starting
    from kerasae.door import check_count

    check_count("--epochs", epochs)
    with starting():
        from kerasae.chapter.run import run
    run(data, section, output or Path(f"chapter-{data}"), epochs, console)
