"""What a sweep shows: a live table while it runs, then the leaderboard, as CSV and picture too."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kerasae import plots
from kerasae.atomic import write_file
from kerasae.text import printable
from kerasae.tuning.results import (
    PLAN,
    RESULT,
    TRIAL,
    is_sweep,
    read_json,
    trial_folders,
    trial_rows,
    write_table,
)

SHOWN = 20


@contextlib.contextmanager
def watch(directory: str | os.PathLike[str], console: Console) -> Iterator[None]:
    """Shows the sweep's table as long as the context lasts, also where workers train the trials.

    Args:
        directory: Folder of the sweep.
        console: `rich.console.Console`.
    """
    show = partial(table, directory)
    with Live(console=console, get_renderable=show, refresh_per_second=1, transient=True):
        yield


def finish(
    directory: str | os.PathLike[str],
    console: Console,
    reference: Mapping[Any, float] | None = None,
) -> None:
    """Prints the leaderboard, and writes it as CSV and as a picture.

    Args:
        directory: Folder of the sweep.
        console: `rich.console.Console`.
        reference: Errors to compare with, by the value of the hyperparameter that varies, or None.
    """
    console.print(table(directory, reference))
    written = [write_table(directory)]
    rows = [row for row in trial_rows(directory) if row["status"] == "completed"]
    if rows:
        picture = Path(directory) / "leaderboard.png"
        draw(rows[:SHOWN], _varied(directory), reference, picture)
        written += [picture, Path(directory) / "logs"]
    for path in written:
        console.print(_literal(path), soft_wrap=True)


def draw(
    rows: Sequence[Mapping[str, Any]],
    varied: Sequence[str],
    reference: Mapping[Any, float] | None,
    path: Path,
) -> None:
    """Draws rows of a leaderboard.

    Args:
        rows: Completed ones.
        varied: Names of the hyperparameters that vary.
        reference: Errors to compare with, as in `finish`.
        path: Path of the picture.
    """
    spread = [row["spread"] for row in rows]
    references = [_of_reference(reference, row, varied) for row in rows]
    figure = plots.leaderboard(
        [", ".join(f"{name} {_text(row[name])}" for name in varied) for row in rows],
        [row["val_mse"] for row in rows],
        {"book": references} if any(references) else None,
        None if None in spread else spread,
    )
    write_file(path, lambda beside: figure.savefig(beside, dpi=120))


def table(directory: str | os.PathLike[str], reference: Mapping[Any, float] | None = None) -> Table:
    """The leaderboard of a sweep as a table, with the trials that are being trained.

    Args:
        directory: Folder of the sweep, also while it runs or before it begins.
        reference: Errors to compare with, as in `finish`.

    Returns:
        A `rich.table.Table`.
    """
    # On another machine a worker may start before its chief has written the plan.
    varied, rows = _varied(directory), trial_rows(directory) if is_sweep(directory) else []
    spread = any(row["spread"] is not None for row in rows)
    shown = Table()
    optional = [*["spread"] * spread, *["book"] * bool(reference)]
    for name in ("trial", *varied, "val_mse", *optional, "seconds", ""):
        shown.add_column(_literal(name))
    for row in rows[:SHOWN]:
        mse = "failed" if row["val_mse"] is None else f"{row['val_mse']:.5f}"
        cells = [row["trial"], *(_text(row.get(name)) for name in varied), mse]
        cells += [_text(row["spread"], ".5f")] * spread
        cells += [_text(_of_reference(reference, row, varied), ".5f")] * bool(reference)
        cells += [f"{row['seconds']:.1f}", row["cause"] or ""]
        shown.add_row(*map(_literal, cells))
    if len(rows) > SHOWN:
        shown.caption = f"{SHOWN} of {len(rows)} trials"
    for folder in trial_folders(directory).values():
        state = None if (folder / RESULT).exists() else read_json(folder / TRIAL)
        if isinstance(state, dict) and "hyperparameters" in state:
            values = state["hyperparameters"]["values"]
            seconds = time.time() - (folder / TRIAL).stat().st_mtime
            gap = ["..."] + [""] * (spread + bool(reference))
            named = [_text(values.get(name)) for name in varied]
            cells = [state["trial_id"], *named, *gap, f"{seconds:.0f}", "training"]
            shown.add_row(*map(_literal, cells))
    return shown


def _literal(text):
    """What a console of the caller's shows letter by letter, whatever its markup."""
    return Text(printable(str(text)))


def _varied(directory):
    plan = read_json(Path(directory) / PLAN)
    space = plan.get("space", {}) if isinstance(plan, dict) else {}
    varied = [name for name, values in space.items() if isinstance(values, dict) or values[1:]]
    return varied or list(space)


def _of_reference(reference, row, varied):
    return (reference or {}).get(row[varied[0]]) if len(varied) == 1 else None


def _text(value, number=".4g"):
    if value is None:
        return ""
    return format(value, number) if isinstance(value, float) else str(value)
