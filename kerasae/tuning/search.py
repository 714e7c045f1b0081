"""The general sweep: any family of the zoo, any of its arguments as hyperparameters.

kerasae tune search mnist --model denoising --set layout=50,100 --set stddev=0.1,0.2,0.4
kerasae tune search mnist --model sparse --set beta=0.0001:1 --tuner bayesian --max-trials 20

Several machines share one sweep where they share its folder: start the same command on each with
KerasTuner's variables, KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT those of the chief, and
KERASTUNER_TUNER_ID "chief" on it, and "worker0", "worker1" and so on elsewhere. A worker that died
must be started again under its own name; until then the others may wait for it.
"""

import contextlib
import fcntl
import os
import warnings
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner
import numpy as np
from rich.console import Console

from kerasae.datasets import NAMED
from kerasae.models.recipes import default_batch_size
from kerasae.tables.recipes import make_scaler
from kerasae.tuning import report
from kerasae.tuning import space as spaces
from kerasae.tuning.oracle import ORACLES
from kerasae.tuning.results import PLAN, leaderboard, read_json, trial_folders, write_json
from kerasae.tuning.rows import ROWS, keep_rows, rows_of
from kerasae.tuning.sweep import Sweep, is_worker
from kerasae.tuning.workers import run_workers
from kerasae.validation import check_count, unknown

if TYPE_CHECKING:
    import pandas

# More trials may be added to a sweep that exists; anything else would make them incomparable.
MAY_CHANGE = {"max_trials"}


def search(
    data: Any,
    space: Mapping[str, Sequence[Any] | Mapping[str, float]],
    directory: str | os.PathLike[str],
    *,
    model: str = "stacked",
    tuner: str = "grid",
    max_trials: int | None = None,
    epochs: int = 20,
    batch_size: int | None = None,
    patience: int | None = None,
    folds: int | None = None,
    scaler: str = "auto",
    seed: int = 0,
    workers: int = 1,
    resume: bool = False,
    load_options: Mapping[str, Any] | None = None,
    reference: Mapping[Any, float] | None = None,
    console: Console | None = None,
) -> "pandas.DataFrame":
    """Trains a model for each combination of hyperparameters and ranks them by `val_mse`.

    `val_mse` is the mean squared error on clean, scaled rows (of tables of mixed columns the error
    of `TableLoss`, where knowing nothing has 1), at the epoch where it was lowest; its penalties
    would make `val_loss` favour a small beta. It is measured on the test rows, or, with `folds`, on
    each part of the training rows in turn, by a model trained on the others. All that it finds is
    in the sweep's folder, whole at every moment.

    Args:
        data: "digits", "mnist" or a path, as in `kerasae.datasets.load`; rows as an array, of shape
            (rows, columns) or images (rows, height, width), or a table of any columns; or a pair of
            these: rows to train on, and rows to measure on. Rows in memory are kept in the sweep's
            folder.
        space: Dict by name: a list of values, or a dict with "low" and "high". Names are "layout"
            ("300-100-300"), "learning_rate", "batch_size", plain arguments of the builder such as
            "activation", "rho" and "beta", and "corruption" ("gaussian:0.2" or "salt-pepper:0.3"),
            or the number alone as "stddev" or "rate".
        directory: Folder of the sweep, made if need be.
        model: Name of the family in `ZOO`.
        tuner: "grid", "random", "bayesian" or "hyperband".
        max_trials: The most trials in all; by default every combination of a grid, and 10 of
            random or bayesian.
        epochs: Most passes over the rows, at least 1.
        batch_size: Rows a step; by default 128, or 32 under 10,000 rows.
        patience: Epochs without a lower `val_mse` after which a fit stops, or None for never.
        folds: Number of parts to cross-validate on, at least 2, or None.
        scaler: "auto", "pixels", "range", "standard" or "none", as in `kerasae train`.
        seed: Every trial starts from it.
        workers: Number of processes, among which the processor's cores are divided.
        resume: Whether to go on with a sweep that exists; the options must be those it began with,
            but for `max_trials`.
        load_options: Other arguments of `kerasae.datasets.load`: "key", "label", "keep" and
            "test_fraction"; of rows in memory the last one alone. One that is None is left out.
        reference: Errors to compare with, by the value of the hyperparameter that varies.
        console: `rich.console.Console` to report to, or None for silence.

    Returns:
        `leaderboard(directory)`, a pandas DataFrame.

    Raises:
        ValueError: An option is wrong, or differs from that of the sweep to be resumed, or the
            sweep is running already.
        FileExistsError: The sweep exists, and `resume` is False; nothing is touched.
        OSError: Files cannot be written; what was finished is kept.

    Example:
        >>> space = {"layout": ["32-10-32", "10"], "learning_rate": [1e-3, 3e-3]}
        >>> table = search("digits", space, "sweeps/digits", epochs=20)  # doctest: +SKIP
        >>> best_model("sweeps/digits").encode(rows)  # doctest: +SKIP
    """
    directory = Path(directory).absolute()
    console = console or Console(quiet=True)
    _check_options(space, model, tuner, max_trials, epochs, batch_size, patience, folds, workers)
    load_options = {
        name: value for name, value in (load_options or {}).items() if value is not None
    }
    in_memory = not isinstance(data, str | os.PathLike)
    rows = rows_of(data, load_options)
    plan = {
        "data": ROWS if in_memory else data if data in NAMED else str(Path(data).absolute()),
        "load_options": load_options,
        "rows": _rows_seen(rows) + [int(rows.is_test.sum())] * in_memory,
        "model": model,
        "space": space,
        "tuner": tuner,
        "epochs": epochs,
        "batch_size": batch_size or default_batch_size(len(rows.x_train)),
        "patience": patience,
        "folds": folds,
        "scaler": scaler,
        "seed": seed,
        "max_trials": max_trials or (10 if tuner in ("random", "bayesian") else None),
    }
    _check_first(plan, rows)
    if is_worker():
        _run(plan, directory, rows, workers, console)
        return leaderboard(directory)
    with _alone(directory):
        _take_up(directory, plan, resume)
        if in_memory:
            keep_rows(rows, directory)
        write_json(directory / PLAN, plan)
        _run(plan, directory, rows, workers, console)
        report.finish(directory, console, reference)
        return leaderboard(directory)


@contextlib.contextmanager
def _alone(directory):
    """Locks a sweep's folder: a second process on it would write over the first one's trials."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise ValueError(
            "a sweep must be run by one command at a time. "
            f"Received: a sweep that is still running ({directory}). Try again when it has ended"
        ) from error
    finally:
        os.close(lock)


def _rows_seen(rows):
    """Shape and checksum of the rows, which a resumed sweep must have again."""
    return [*rows.x.shape, zlib.crc32(np.ascontiguousarray(rows.x).tobytes())]


def _check_options(space, model, tuner, *counts):
    names = ("max_trials", "epochs", "batch_size", "patience", "folds", "workers")
    for name, value in zip(names, counts, strict=True):
        check_count(name, value)
    if counts[4] == 1:
        raise ValueError("folds must be at least 2, or None. Received: folds=1")
    if tuner not in ORACLES:
        raise ValueError(unknown("tuner", tuner, list(ORACLES)))
    if not space:
        raise ValueError(
            "space must have at least one hyperparameter. Received: none. Try --set layout=50,100"
        )
    spaces.check(space, model, tuner)


def _check_first(plan, rows):
    """Makes the model of the first values: what is wrong with it is wrong with every trial."""
    if plan["folds"] and plan["folds"] > len(rows.x_train):
        raise ValueError(
            f"folds must be at most the {len(rows.x_train)} training rows. "
            f"Received: folds={plan['folds']}"
        )
    first = spaces.hyperparameters(plan["space"]).values
    few = rows._replace(x=rows.x[:100], is_test=np.zeros(len(rows.x[:100]), bool))
    few = spaces.in_shape(plan["model"], few)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the sweep itself warns
        spaces.build(plan["model"], first, few, make_scaler(plan["scaler"], few))


def _take_up(directory, plan, resume):
    """Checks that the sweep is a new one, or the same one to be resumed; nothing is touched."""
    path = directory / PLAN
    if path.exists() or trial_folders(directory):
        if not resume:
            raise FileExistsError(
                "the sweep must be a new one. "
                f"Received: the folder of a sweep ({directory}). Try --resume to go on with it, or "
                "another --name"
            )
        before = read_json(path)
        if path.exists() and not isinstance(before, dict):
            raise ValueError(
                f"the plan of the sweep must be JSON. Received: a damaged file ({path}). Try "
                "deleting it: the sweep then goes on with the given options"
            )
        if before and (changes := _changes(before, plan)):
            raise ValueError(
                "a resumed sweep must have the options that it began with. "
                f"Received: {'; '.join(changes)} ({path}). Try another --name"
            )


def _changes(before, plan):
    changes = []
    for name in sorted((set(before) | set(plan)) - MAY_CHANGE):
        old, new = before.get(name), plan.get(name)
        if name == "space" and isinstance(old, dict):
            pairs = {key: (old.get(key), new.get(key)) for key in {**old, **new}}
        else:
            pairs = {name: (old, new)}
        changes += [f"{key} was {a}, is now {b}" for key, (a, b) in pairs.items() if a != b]
    return changes


def _run(plan, directory, rows, count, console):
    try:
        with report.watch(directory, console):
            if count > 1:
                run_workers(plan, directory, count)
            else:
                Sweep(plan, directory, rows).search()
    except keras_tuner.errors.FatalError as error:
        raise OSError(
            "the files of a sweep must be writable. "
            f"Received: {error} ({directory}). Try --resume: finished trials are kept"
        ) from error
