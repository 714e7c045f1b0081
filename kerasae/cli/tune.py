"""`kerasae tune`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.families import FamilyOption
from kerasae.cli.terminal import (
    DataOption,
    KeepOption,
    KeyOption,
    LabelOption,
    check_name,
    console,
    data_name,
    starting,
)

SWEEPS = ("layouts", "beta", "search")


def tune(
    sweep: Annotated[
        str, typer.Argument(help="layouts or beta, the book's grids, or search, for --set alone.")
    ],
    data: DataOption = "digits",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="layout=50,100-50-100, beta=0.01,0.1, beta=0.001:1:4 for 4 values at equal "
            "ratios, or beta=0.001:1 for any number between. Names: layout, learning_rate, "
            "batch_size, corruption, stddev, rate, and arguments of the family.",
        ),
    ] = None,
    model: FamilyOption = None,
    tuner: Annotated[str, typer.Option(help="grid, random, bayesian or hyperband.")] = "grid",
    max_trials: Annotated[
        int | None, typer.Option(help="By default all of a grid, 10 of random and bayesian.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Most passes over the rows.")] = 20,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step. By default 128, or 32 under 10,000 rows.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without a lower val_mse after which a fit stops.")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Parts to cross-validate on.")] = None,
    scaler: Annotated[str, typer.Option(help="As in kerasae train.")] = "range",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Every trial starts from it.")
    ] = 0,
    workers: Annotated[int, typer.Option(help="Processes, which share the cores.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Goes on with a sweep.")] = False,
    name: Annotated[str | None, typer.Option(help="By default DATA-SWEEP.")] = None,
    output: Annotated[Path, typer.Option(help="Folder of the sweeps.")] = Path("sweeps"),
    key: KeyOption = None,
    label: LabelOption = None,
    keep: KeepOption = None,
    test_fraction: Annotated[float, typer.Option(help="Rows kept for testing.")] = 0.2,
) -> None:
    """Trains a model for each combination of hyperparameters and ranks them by val_mse."""
    from kerasae.validation import unknown

    check_name(name)
    if sweep not in SWEEPS:
        raise ValueError(unknown("sweep", sweep, SWEEPS))
    with starting():
        from kerasae.tuning import search
        from kerasae.tuning import space as spaces
        from kerasae.tuning.book import BOOK_SWEEPS
    book = BOOK_SWEEPS.get(sweep)
    rows = search(
        data,
        {**(book.space if book else {}), **spaces.parse(settings or ())},
        output / (name or f"{data_name(data)}-{sweep}"),
        model=model or (book.model if book else "stacked"),
        tuner=tuner,
        max_trials=max_trials,
        epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        folds=folds,
        scaler=scaler,
        seed=seed,
        workers=workers,
        resume=resume,
        load_options={
            "key": key,
            "label": label,
            "keep": keep or None,
            "test_fraction": test_fraction,
        },
        reference=book.mse if book and data == "mnist" else None,
        console=console,
    )
    if len(rows) and (rows["status"] == "failed").all():
        for _, row in rows.sort_values("trial").iterrows():
            print(f"failed: trial {row['trial']}: {row['cause']}", file=sys.stderr)
        raise ValueError(
            "a trial of the sweep must be completed. "
            f"Received: {len(rows)} failed ones. Try --name with other values"
        )
