"""The commands that use a saved model."""

from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli import (
    THRESHOLDS,
    DataOption,
    KeyOption,
    LabelOption,
    ModelArgument,
    app,
    console,
    starting,
)


@app.command()
def features(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help=".parquet, .csv or .npy file.")],
    layer: Annotated[str, typer.Option(help="Layer whose output to write.")] = "codings",
    key: KeyOption = None,
    label: LabelOption = None,
):
    """Writes the deep features of all rows of DATA, in their order."""
    if output.suffix not in (".parquet", ".csv", ".npy"):
        raise ValueError(
            f"unknown format '{output.suffix}' ({output}); expected .parquet, .csv or .npy"
        )
    with starting():
        from kerasae.commands import using
    options = {"key": key, "label": label}
    using.features(model, data, output, layer=layer, load_options=options, console=console)


@app.command()
def anomalies(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv or .parquet file.")],
    threshold: Annotated[
        str | None, typer.Option(help=THRESHOLDS + ". By default the model's own.")
    ] = None,
    guard: Annotated[
        float | None, typer.Option(help="Weight of the distance in the codings, in the score.")
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(help="Normal rows to take the threshold from, by default those of DATA."),
    ] = None,
    per_feature: Annotated[bool, typer.Option(help="Write each column's error too.")] = False,
    key: KeyOption = None,
    label: LabelOption = None,
):
    """Writes the anomaly scores of all rows of DATA, and pictures of the errors and worst rows."""
    if output.suffix not in (".parquet", ".csv"):
        raise ValueError(f"unknown format '{output.suffix}' ({output}); expected .csv or .parquet")
    with starting():
        from kerasae.commands import using
    using.anomalies(
        model,
        data,
        output,
        threshold=threshold,
        guard=guard,
        normal=normal,
        per_feature=per_feature,
        load_options={"key": key, "label": label},
        console=console,
    )


@app.command()
def generate(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".png, .parquet, .csv or .npy file.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="How many rows.")] = 100,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same rows.")] = None,
):
    """Writes new rows, or a picture of them, from a variational or adversarial model."""
    from kerasae.door import check_count

    check_count("--count", count)
    if output.suffix not in (".png", ".parquet", ".csv", ".npy"):
        raise ValueError(
            f"unknown format '{output.suffix}' ({output}); expected .png, .parquet, .csv or .npy"
        )
    with starting():
        from kerasae.commands import using
    using.generate(model, output, count=count, seed=seed, console=console)


@app.command()
def info(
    model: ModelArgument,
):
    """Tells what a saved model is: shape, columns, scaler, layout, training figures."""
    with starting():
        from kerasae.commands import using
    using.info(model, console)
