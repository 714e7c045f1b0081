"""The `kerasae` command. Keras is imported by the commands that need it, never for --help."""

import contextlib
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kerasae.chapter.command import chapter

app = typer.Typer(
    help="Autoencoders from the command line: train, compute deep features, find anomalies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()

# Option texts that more than one command shares.
DataOption = Annotated[
    str, typer.Argument(help="digits, mnist, or a .npz, .npy, .csv, .parquet or IDX file.")
]
ModelArgument = Annotated[
    Path, typer.Argument(help="A .keras file, or saved_models/NAME[/VERSION].")
]
KeyOption = Annotated[str | None, typer.Option(help="Array of an .npz that holds the rows.")]
LabelOption = Annotated[
    str | None, typer.Option(help="Column of a table that holds labels, left out of the rows.")
]


THRESHOLDS = "What is an anomaly: above a percentile p99 or 3sd, or a tail probability 0.01"


def main():
    """Runs the command; a user's mistake ends it with status 2 and one line."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.showwarning = _show_warning
    # These add their commands to the app.
    import kerasae.cli_serve
    import kerasae.cli_tune
    import kerasae.cli_using  # noqa: F401

    try:
        sys.exit(app(standalone_mode=False) or 0)
    except (KeyboardInterrupt, typer.Abort):
        _end("interrupted", 130)
    except (ValueError, TypeError, OSError, ModuleNotFoundError) as error:
        _end(str(error), 2)
    except Exception as error:
        # Usage errors of the parser, whose class depends on where typer keeps click.
        if not hasattr(error, "format_message"):
            raise
        _end(f"{error.format_message().rstrip('.')}; try kerasae --help", 2)


@contextlib.contextmanager
def quiet(doing):
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
def starting():
    """Starts Keras quietly."""
    with quiet("starting Keras"):
        from keras import ops

        ops.ones(1)
        yield


def _show_warning(message, category, *_):
    # A library's deprecations are not for whoever runs the command.
    if category is UserWarning:
        print(f"warning: {message}", file=sys.stderr)


def _end(message, status):
    print("error:", " ".join(message.split()), file=sys.stderr)
    sys.exit(status)


@app.command()
def train(
    data: DataOption = "digits",
    model: Annotated[str, typer.Option(help="Family of the zoo.")] = "stacked",
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths, 300-100-300. By default as many as columns, then a quarter."),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers. By default the family's.")
    ] = None,
    images: Annotated[
        bool, typer.Option("--images", help="Convolutions, for any family, where rows are images.")
    ] = False,
    scaler: Annotated[
        str,
        typer.Option(help="auto (pixels for images, else range), pixels, range, standard or none."),
    ] = "auto",
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the rows. By default about 4,500 steps.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step. By default 128, or 32 under 10,000 rows.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.001,
    rho: Annotated[
        float | None, typer.Option(help="Sparse: target of the mean activation.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Weight of the family's penalty, if it has one.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="K-sparse: codings that a row keeps.")] = None,
    winners: Annotated[
        float | None, typer.Option(help="Winner-take-all: share of the rows that win.")
    ] = None,
    likelihood: Annotated[
        str | None, typer.Option(help="Variational: bernoulli, for values in [0, 1], or gaussian.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Adversarial: gaussian, mixture or swiss-roll.")
    ] = None,
    tied: Annotated[
        bool, typer.Option("--tied", help="Decoder weights are the encoder's, transposed.")
    ] = False,
    corruption: Annotated[
        str | None, typer.Option(help="gaussian:STDDEV or salt-pepper:RATE, in training only.")
    ] = None,
    threshold: Annotated[str, typer.Option(help=THRESHOLDS + ", of the test rows.")] = "p99",
    seed: Annotated[int, typer.Option(help="The same seed gives the same weights.")] = 0,
    name: Annotated[str | None, typer.Option(help="By default DATA-MODEL.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the saved models.")] = Path(
        "saved_models"
    ),
    key: KeyOption = None,
    label: LabelOption = None,
    test_fraction: Annotated[float, typer.Option(help="Rows kept for testing.")] = 0.2,
):
    """Trains an autoencoder and saves it with its figures as OUTPUT/NAME/VERSION."""
    from kerasae.door import check_count, parse_layout

    check_count("--epochs", epochs)
    check_count("--batch-size", batch_size)
    hidden_units = hidden and parse_layout(hidden)
    with starting():
        from kerasae.commands import training
    training.train(
        data,
        hidden_units,
        model=model,
        scaler=scaler,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        directory=output / (name or f"{Path(data).name.split('.')[0]}-{model}"),
        threshold=threshold,
        images=images,
        options={
            "activation": activation,
            "rho": rho,
            "beta": beta,
            "corruption": corruption,
            "k": k,
            "winners": winners,
            "likelihood": likelihood,
            "prior": prior,
            "tied": tied or None,
        },
        load_options={"key": key, "label": label, "test_fraction": test_fraction},
        console=console,
    )


app.command()(chapter)
