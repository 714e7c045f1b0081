"""`kerasae train --processes`: the fit by several processes, with progress and a backup."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kerasae.cli.terminal import console, say

ProcessesOption = Annotated[
    int | None,
    typer.Option(
        help="Processes of this machine that train together, each on a part of every batch, on JAX."
    ),
]


def fit_in_processes(
    autoencoder: Any,
    rows: Any,
    processes: int,
    epochs: int,
    batch_size: int,
    patience: int,
    folder: Path,
    guard: Any,
    *,
    seconds: float,
) -> dict[str, list[float]]:
    """Trains a model as the other fit of the command does, by processes.

    Args:
        autoencoder: The compiled model.
        rows: `Data`, in memory or with the source of a Parquet file.
        processes: How many.
        epochs: Most passes over the rows.
        batch_size: Rows a step, of all processes together.
        patience: As in `fit_by_processes`.
        folder: Folder of the backup.
        guard: A `StabilityGuard`, of which the look at the end is used.
        seconds: Least time between two backups.

    Returns:
        The history of the fit.

    Raises:
        ValueError: Images that are streamed, or another source that processes cannot share.
    """
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from kerasae.engines import fit_by_processes

    if rows.more:
        raise ValueError(
            "processes must go with images that are in memory. Received: images that are streamed. "
            "Try leaving out --processes"
        )
    metric = autoencoder._objective
    if (backup := folder / "backup.npz").exists():
        say(f"going on from {backup}")
    guard.set_model(autoencoder)
    guard.on_train_begin()
    shown = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*shown, console=console) as progress:
        task = progress.add_task(f"{processes} processes start", total=epochs)

        def show(epoch, logs):
            guard.worst = max(guard.worst, logs[metric])
            text = f"{metric} {logs[metric]:.5f}, test {logs[f'val_{metric}']:.5f}, epoch"
            progress.update(task, completed=epoch + 1, description=text)

        history = fit_by_processes(
            autoencoder,
            rows.source or rows.x_train,
            processes=processes,
            validation_data=rows.x_test,
            epochs=epochs,
            batch_size=batch_size,
            patience=patience if rows.is_test.any() else 0,
            backup=folder,
            backup_seconds=seconds,
            on_epoch=show,
        )
    guard.on_train_end()
    return history
