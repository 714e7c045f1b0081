"""`--engine ray` of `kerasae anomalies` and `kerasae features`: a folder by many processes."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kerasae.cli.terminal import console, names, quiet, starting

ENGINES = ("ray",)

EngineOption = Annotated[
    str | None,
    typer.Option(
        help="ray: DATA is a folder of .parquet or .csv files, which many processes read; OUTPUT "
        "becomes a folder of .parquet files."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(help="Engine: address of a cluster of Ray, or auto. By default this machine."),
]
WorkersOption = Annotated[
    int | None, typer.Option(help="Engine: processes. By default one a processor.")
]
RowIdOption = Annotated[
    str | None,
    typer.Option("--id", help="Engine: columns that identify a row, carried along and sorted by."),
]


def run_on_engine(
    engine: str,
    model: Path,
    data: str,
    output: Path,
    *,
    what: str,
    ids: str | None,
    address: str | None,
    workers: int | None,
    layer: str = "codings",
    refused: dict[str, Any] | None = None,
) -> None:
    """Scores a folder on an engine.

    Args:
        engine: Name of the engine.
        model: Path of the model.
        data: The folder.
        output: The folder to write.
        what: "anomalies" or "features".
        ids: Names of columns that identify a row, separated by commas, or None.
        address: Address of a cluster, or None.
        workers: How many processes, or None.
        layer: Features: name of the layer.
        refused: Options that do not go with an engine, by name.

    Raises:
        ValueError: The engine is unknown, or one of these options is given.
    """
    from kerasae.validation import unknown

    if engine not in ENGINES:
        raise ValueError(unknown("engine", engine, ENGINES))
    for name, value in (refused or {}).items():
        if value:
            raise ValueError(
                f"{name} must be left out with an engine. Received: {name}={value}. "
                "Try calibrating the model before"
            )
    with starting():
        from kerasae.engines import Scorer, score_folder
        from kerasae.export import load_model
    scorer = Scorer(load_model(model), what, ids=names(ids), layer=layer)
    with quiet(f"scoring on {engine}"):  # its libraries write a lot
        rows = score_folder(scorer, data, output, address=address, workers=workers)
    console.print(f"{rows} rows: {output}", soft_wrap=True)


def check_engine(engine: str | None, **options: Any) -> None:
    """Refuses options of engines without one.

    Args:
        engine: Name of the engine, or None.
        **options: What goes with an engine alone, by name.

    Raises:
        ValueError: One is given without an engine.
    """
    for name, value in options.items():
        if engine is None and value is not None:
            raise ValueError(
                f"{name} must go with an engine. Received: {name}={value}. Try --engine ray"
            )
