"""`kerasae generate`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import ModelArgument, say, starting


def generate(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", help=".png, .parquet, .csv or .npy file.")
    ],
    count: Annotated[int, typer.Option("--count", "-n", help="How many rows.")] = 100,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same rows.")
    ] = None,
) -> None:
    """Writes new rows, or a picture of them, from a variational or adversarial model."""
    from kerasae.validation import check_count

    check_count("--count", count)
    with starting():
        from kerasae import plots
        from kerasae.atomic import write_file
        from kerasae.cli.tables import check_suffix, verbosity, write_table
        from kerasae.datasets.archives import memory
        from kerasae.export import load_model
    check_suffix(output, (".png", ".parquet", ".csv", ".npy"))
    autoencoder = load_model(model)
    if (needed := 4 * count * math.prod(autoencoder.row_shape)) > memory():
        raise ValueError(
            f"--count must give rows that fit into the memory of {memory() / 2**30:.0f} GiB. "
            f"Received: --count={count}, rows of {needed / 2**30:.0f} GiB. Try several files"
        )
    rows = autoencoder.generate(count, seed, verbose=verbosity())
    if output.suffix == ".png":
        figure = plots.images(rows, _image_shape(autoencoder))
        write_file(output, lambda file: figure.savefig(file, dpi=120))
    else:
        rows = rows.reshape(count, -1)
        names = autoencoder.columns or [f"column_{i}" for i in range(rows.shape[1])]
        write_table(dict(zip(names, rows.T, strict=True)), output)
    say(f"{count} rows: {output}")


def _image_shape(autoencoder):
    """Shape of the images that a model's rows hold; flat rows must be squares."""
    if len(autoencoder.row_shape) == 3:
        grey = autoencoder.row_shape[2] == 1
        return autoencoder.row_shape[:2] if grey else autoencoder.row_shape
    columns = math.prod(autoencoder.row_shape)
    side = math.isqrt(columns)
    if side * side != columns:
        raise ValueError(
            "rows must be square images to be drawn. "
            f"Received: rows of {columns} columns. Try --output rows.csv"
        )
    return side, side
