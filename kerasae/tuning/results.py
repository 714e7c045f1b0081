"""What a sweep leaves behind: files that are whole at every moment, and the leaderboard."""

import csv
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasae.atomic import write_file, write_text
from kerasae.export import KERAS_FILE, load_model
from kerasae.models import Autoencoder
from kerasae.text import as_cell
from kerasae.validation import required

if TYPE_CHECKING:
    import pandas

PLAN, TRIAL, RESULT = "sweep.json", "trial.json", "result.json"
TABLE = "leaderboard.csv"
SMALL_FIELDS = ("val_mse", "spread", "test_mse", "epochs", "seconds", "status", "cause")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Writes a value as JSON, whole or not at all."""
    text = json.dumps(value, indent=1) + "\n"
    write_text(path, text)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Reads JSON.

    Args:
        path: Path of the file.

    Returns:
        What the file holds, or None where it is missing or damaged: its content is then read from
        elsewhere, or computed again.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def read_result(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The result of a trial, or None where its file is missing, damaged or of another form."""
    result = read_json(path)
    if not isinstance(result, dict) or not {"trial", "values", *SMALL_FIELDS} <= result.keys():
        return None
    numbers = [result[name] for name in ("val_mse", "seconds")]
    if result["status"] == "failed":
        numbers = numbers[1:]
    sound = (isinstance(one, int | float) and math.isfinite(one) for one in numbers)
    known = result["status"] in ("completed", "failed") and isinstance(result["values"], dict)
    return result if known and all(sound) else None


def damaged_trials(directory: str | os.PathLike[str]) -> list[Path]:
    """Files of a sweep's finished trials that are missing or damaged, in the trials' order.

    A trial that is still to be run, or was stopped, is none of them.
    """
    folders = trial_folders(directory)
    damaged = []
    for number in range(max(folders, default=-1) + 1):
        folder = Path(directory) / f"trial_{number:04d}"
        path = folder / RESULT
        if read_result(path) is not None:
            continue
        state = read_json(folder / TRIAL)
        status = state.get("status") if isinstance(state, dict) else None
        if path.exists() or status != "RUNNING":
            damaged.append(path)
    return damaged


def trial_folders(directory: str | os.PathLike[str]) -> dict[int, Path]:
    """The folders of a sweep's trials by their number, in order."""
    folders = {
        int(path.name[6:]): path
        for path in Path(directory).glob("trial_*")
        if path.name[6:].isdecimal()
    }
    return dict(sorted(folders.items()))


def is_sweep(directory: str | os.PathLike[str]) -> bool:
    """Whether a folder holds a sweep."""
    return (Path(directory) / PLAN).is_file()


def leaderboard(directory: str | os.PathLike[str]) -> "pandas.DataFrame":
    """The finished trials of a sweep, the lowest mean squared error first.

    Args:
        directory: Folder of the sweep, also while it runs.

    Returns:
        A row for each trial: `trial`, each hyperparameter by name, `val_mse` (on the clean, scaled
        validation rows; the mean over the folds where there are any), `spread` (their standard
        deviation), `test_mse`, `epochs`, `seconds`, `status` ("completed" or "failed") and
        `cause`. Failed trials come last, damaged results are left out, see `damaged_trials`.

    Raises:
        FileNotFoundError: There is no sweep.
        ModuleNotFoundError: pandas is missing.

    Example:
        >>> leaderboard("sweeps/digits")[["trial", "val_mse"]].head()  # doctest: +SKIP
    """
    required("pandas", "the leaderboard")
    import pandas  # noqa: PLC0415

    rows = trial_rows(directory)
    table = pandas.DataFrame(rows, columns=None if rows else ["trial", *SMALL_FIELDS])
    numbers = dict.fromkeys(("val_mse", "spread", "test_mse", "seconds"), "float64")
    return table.astype({**numbers, "epochs": "Int64"})  # where a trial failed there are none


def trial_rows(directory: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The rows of `leaderboard` as dicts, None where there is no number.

    Args:
        directory: Folder of the sweep.

    Raises:
        FileNotFoundError: There is no sweep.
    """
    check_sweep(directory)
    results = (read_result(folder / RESULT) for folder in trial_folders(directory).values())
    rows = [
        {
            "trial": result["trial"],
            **{name: value for name, value in result["values"].items() if "/" not in name},
            **{name: result[name] for name in SMALL_FIELDS},
        }
        for result in results
        if result is not None
    ]
    return sorted(rows, key=_order)


def _order(row):
    return row["status"] == "failed", row["val_mse"] or 0, row["trial"]


def check_sweep(directory: str | os.PathLike[str]) -> None:
    """Refuses a folder that holds no sweep.

    Args:
        directory: Path of the folder.

    Raises:
        FileNotFoundError: There is none.
    """
    if not is_sweep(directory):
        raise FileNotFoundError(
            "directory must be the folder of a sweep. "
            f"Received: directory={str(directory)!r}. Try sweeps/NAME"
        )


def best_row(directory: str | os.PathLike[str]) -> dict[str, Any]:
    """The row of the leaderboard that won.

    Args:
        directory: Folder of the sweep.

    Returns:
        The first of `trial_rows`.

    Raises:
        FileNotFoundError: There is no sweep.
        ValueError: No trial has been completed, or the result of one is damaged, which may be the
            winner's.
    """
    rows = trial_rows(directory)
    if damaged := damaged_trials(directory):
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise ValueError(
            "the result of every finished trial must be whole. "
            f"Received: a damaged or missing file ({damaged[0]}{more}). Try kerasae tune with "
            "--resume, which trains these trials again"
        )
    if not rows or rows[0]["status"] == "failed":
        failed = f"{len(rows)} failed ones, the first by {rows[0]['cause']!r}" if rows else "none"
        raise ValueError(
            f"the sweep must have a completed trial. Received: {failed} ({directory}). Try --resume"
        )
    return rows[0]


def best_metrics(directory: str | os.PathLike[str]) -> dict[str, float]:
    """The errors of the trial that won, for the manifest of an export.

    Args:
        directory: Folder of the sweep.

    Returns:
        A dict of those that were measured: `val_mse`, `spread`, `test_mse`.
    """
    row = best_row(directory)
    return {name: row[name] for name in ("val_mse", "spread", "test_mse") if row[name]}


def best_model(directory: str | os.PathLike[str]) -> Autoencoder:
    """Loads the model with the lowest `val_mse`, ready to `encode`, explain or export.

    Args:
        directory: Folder of the sweep.

    Returns:
        An `Autoencoder`, trained on all training rows, with the weights of its best epoch.

    Raises:
        FileNotFoundError: There is no sweep, or the model's file is gone.
        ValueError: No trial has been completed, or the model's file or a result is damaged.

    Example:
        >>> model = best_model("sweeps/digits")  # doctest: +SKIP
        >>> codings = model.encode(rows)  # doctest: +SKIP
    """
    return load_model(Path(directory) / f"trial_{best_row(directory)['trial']}" / KERAS_FILE)


def write_table(directory: str | os.PathLike[str]) -> Path:
    """Writes the leaderboard as `leaderboard.csv` into the sweep's folder.

    A text that a spreadsheet would take for a formula gets an apostrophe; numbers are as they are.

    Args:
        directory: Folder of the sweep.

    Returns:
        Path of the file.
    """
    rows = [
        {as_cell(name): _cell(one) for name, one in row.items()} for row in trial_rows(directory)
    ]
    path = Path(directory) / TABLE

    def write(beside):
        with beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0] if rows else ("trial", *SMALL_FIELDS))
            writer.writeheader()
            writer.writerows(rows)

    write_file(path, write)
    return path


def _cell(value):
    return as_cell(value) if isinstance(value, str) else value
