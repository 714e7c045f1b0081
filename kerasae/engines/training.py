"""Training by several processes, each on a part of every batch."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae.datasets.row_source import RowSource
from kerasae.models import Autoencoder
from kerasae.validation import check_count, required

# Keeps the outputs of processes that end badly readable.
SHOWN = 300


def fit_by_processes(
    model: Autoencoder,
    x: Any,
    *,
    processes: int,
    validation_data: Any = None,
    epochs: int = 1,
    batch_size: int = 32,
    shuffle: bool = True,
    patience: int = 0,
    backup: str | os.PathLike[str] | None = None,
    backup_seconds: float = 1.0,
    on_epoch: Callable[[int, dict[str, float]], None] | None = None,
) -> dict[str, list[float]]:
    """Trains a model by processes of this machine that run on JAX, whatever trains otherwise.

    Of each batch every process takes an equal part, on one thread pool of its own; gradients and
    metrics are of the whole batch, in the compiled loop of one process. But for rounding, the
    weights are those that one process gets of the same batches. One process alone writes. Where one
    ends too early all end, and the next call with the same `backup` goes on from the last epoch
    that it holds.

    Args:
        model: A compiled `Autoencoder`, which gets the weights.
        x: Rows or a table in memory; or what `kerasae.datasets.open` gives of a path, of which
            each process reads its own row groups, in batches of its own.
        processes: How many, at least 1.
        validation_data: Rows to validate on, or None.
        epochs: Passes over the rows, at least 1.
        batch_size: Rows a step, of all processes together; a multiple of `processes`.
        shuffle: Whether each process mixes its own rows before each epoch. They are otherwise
            taken in their order, in the batches that one process would take.
        patience: Epochs without a lower error of `validation_data` after which training stops, with
            the weights of the lowest; 0 for never.
        backup: Folder of an `AtomicBackup`, or None for no backup.
        backup_seconds: Least time between two backups.
        on_epoch: Function of the number of the epoch and its logs, called after each; or None.

    Returns:
        Loss and metrics of each epoch by name. Up to `processes` - 1 rows are left out.

    Raises:
        ValueError: Rows that do not fit the model, an argument that cannot be, or a model that is
            not compiled.
        ChildProcessError: A process ended too early.
        ModuleNotFoundError: JAX is missing.

    Reference: Li et al. (2020), PyTorch distributed: experiences on accelerating data parallel
    training, for data parallel training in general.

    Example:
        >>> model = kerasae.stacked_autoencoder((8,), (4,))  # doctest: +SKIP
        >>> fit_by_processes(model, np.eye(8), processes=2, batch_size=8)  # doctest: +SKIP
    """
    required("jax", "training by processes")
    check_count("processes", processes)
    check_count("epochs", epochs)
    check_count("batch_size", batch_size)
    if batch_size % processes:
        raise ValueError(
            "batch_size must be a multiple of processes. "
            f"Received: batch_size={batch_size}, processes={processes}"
        )
    if not model.compiled:
        raise ValueError(
            f"the model must be compiled. Received: {model.name}, not compiled. Try model.compile()"
        )
    source = x if isinstance(x, RowSource) else None
    if source is not None:
        rows = None
        _check_source(source, processes)
    elif len(rows := model._checked_rows(x, "x", trains=True)) < processes:
        raise ValueError(
            f"x must have a row for each process. Received: {len(rows)} rows, processes={processes}"
        )
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    with tempfile.TemporaryDirectory(prefix="kerasae-") as name:
        folder = Path(name)
        settings: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle}
        settings["seed"] = int(model._next_order_seed()[0]) % 2**31
        settings |= {"patience": patience if validation_data is not None else 0}
        settings |= {"seconds": backup_seconds, "backup": str(Path(backup or folder / "backup"))}
        if source is not None:
            settings["source"] = {n: getattr(source, n) for n in ("path", "columns", "held")}
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        model.save(folder / "model.keras")
        if rows is not None:
            np.save(folder / "x.npy", rows)
        if validation_data is not None:
            known = model._checked_rows(validation_data, "validation_data")
            np.save(folder / "validation.npy", known)
        _run(folder, processes, on_epoch or (lambda epoch, logs: None))
        return _taken_over(model, folder)


def _check_source(source, processes):
    """Refuses a source that other processes cannot open, or that has too few parts for them."""
    found = ""
    if getattr(source, "path", None) is None or source.predicate is not None:
        found = "one that was not opened from a path, or with a predicate"
    elif source.rows is None:
        found = "a format that does not say how many rows there are"
    elif len(source.parts) < processes:
        found = f"{len(source.parts)} row groups, processes={processes}"
    if found:
        raise ValueError(
            "a source must be a Parquet file or folder, opened from its path without a predicate, "
            f"with a row group for each process. Received: {found}"
        )


def _run(folder, count, on_epoch):
    """Starts the processes and waits for them; where one fails, none is left."""
    port = _free_port()
    environment = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    with contextlib.ExitStack() as stack:
        errors = [stack.enter_context((folder / f"{i}.txt").open("w+")) for i in range(count)]
        running = [
            subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "kerasae.engines.process",
                    folder,
                    *map(str, (i, count, port)),
                ],
                env=environment,
                stdout=subprocess.DEVNULL if i else subprocess.PIPE,
                stderr=errors[i],
                text=True,
            )
            for i in range(count)
        ]
        stack.callback(_end, running)
        reader = threading.Thread(target=_pass_on, args=(running[0].stdout, on_epoch), daemon=True)
        reader.start()
        while any(one.poll() is None for one in running):
            _check(running, errors)
            time.sleep(0.05)
        _check(running, errors)
        reader.join()


def _check(running, errors):
    for i, one in enumerate(running):
        if one.poll():
            time.sleep(0.2)  # what it has written may be on its way
            errors[i].seek(0)
            lines = [line.strip() for line in errors[i].read().splitlines() if line.strip()]
            said = f": {lines[-1][:SHOWN]}" if lines else ""
            how = f"signal {-one.returncode}" if one.returncode < 0 else f"status {one.returncode}"
            raise ChildProcessError(
                f"all {len(running)} processes must run to the end. Received: process {i + 1} "
                f"ended by {how}{said}. Try again with the same backup (--resume), which goes on"
            )


def _pass_on(lines: Iterator[str], on_epoch: Callable[[int, dict[str, float]], None]) -> None:
    for line in lines:
        with contextlib.suppress(ValueError):  # of a library
            logs = json.loads(line)
            on_epoch(int(logs.pop("epoch")), logs)


def _end(running):
    for one in running:
        if one.poll() is None:
            one.kill()
        one.wait()
        if one.stdout:
            one.stdout.close()


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _taken_over(model, folder):
    """Gives the model what the processes have made of it."""
    with np.load(folder / "weights.npz") as file:
        arrays = [file[name] for name in file.files]
    variables = [*model.variables, *model.optimizer.variables]
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    model._use_calibration()
    model._check_weights()
    found = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    history = keras.callbacks.History()
    history.on_train_begin()
    history.history, history.epoch = found, list(range(len(found.get("loss", ()))))
    model.history = history
    return found
