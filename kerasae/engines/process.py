"""One of the processes that `fit_by_processes` starts: `python -m kerasae.engines.process ...`."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np


def main(folder: Path, index: int, count: int, port: int) -> None:
    """Trains on a share of the rows; the first process tells of each epoch and writes the weights.

    Args:
        folder: Where `fit_by_processes` has put model, rows and settings.
        index: Number of this process.
        count: How many there are.
        port: Where the first one waits for the others.
    """
    import jax  # noqa: PLC0415

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", count, index)
    import keras  # noqa: PLC0415

    from kerasae.callbacks import AtomicBackup  # noqa: PLC0415
    from kerasae.engines.shared_loop import fit_shared  # noqa: PLC0415
    from kerasae.export import load_model  # noqa: PLC0415
    from kerasae.models.chunks import Rows  # noqa: PLC0415

    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    # Those of NumPy and Python; layers bring the state of theirs.
    keras.utils.set_random_seed(settings["seed"])
    model: Any = load_model(folder / "model.keras")
    share = settings["batch_size"] // count
    rows = _rows(model, folder, settings, index, count)
    known = None
    if (folder / "validation.npy").exists():
        x = np.load(folder / "validation.npy", mmap_mode="r")
        known = Rows(share_of(x, share, index, count), batch_size=share)
    backup = type("Reader", (_Silent, AtomicBackup), {}) if index else AtomicBackup
    stops = _stops(settings["patience"], f"val_{model._objective}")
    saved = backup(settings["backup"], stops, keep=True, seconds=settings["seconds"])
    shown = keras.callbacks.LambdaCallback(on_epoch_end=_shown if not index else None)
    fit_shared(model, rows, known, epochs=settings["epochs"], callbacks=[shown, *stops, saved])
    if not index:
        arrays = [keras.ops.convert_to_numpy(one) for one in model.variables]
        optimizer = [keras.ops.convert_to_numpy(one) for one in model.optimizer.variables]
        np.savez(folder / "weights.npz", *arrays, *optimizer)
        (folder / "history.json").write_text(json.dumps(saved.history), encoding="utf-8")
    jax.distributed.shutdown()


def _rows(model, folder, settings, index, count):
    """The rows of this process, of an array or of a source."""
    from kerasae import datasets  # noqa: PLC0415
    from kerasae.datasets import OpenedRows  # noqa: PLC0415
    from kerasae.engines.shared_loop import Share  # noqa: PLC0415
    from kerasae.models.chunks import Rows, SourceRows  # noqa: PLC0415

    share = settings["batch_size"] // count
    options = {"batch_size": share, "shuffle": settings["shuffle"]}
    if (folder / "x.npy").exists():
        x = np.load(folder / "x.npy", mmap_mode="r")
        return Rows(share_of(x, share, index, count), **options)
    known = settings["source"]
    source = datasets.open(known["path"], columns=known["columns"])
    source = OpenedRows(source.parts, source.columns, held=known["held"])
    return SourceRows(model._checked_rows(Share(source, index, count), "x", trains=True), **options)


def share_of(x: np.ndarray, share: int, index: int, count: int) -> np.ndarray:
    """The rows of one process: of each batch its part, and of the last, short one as well.

    Args:
        x: All rows.
        share: Rows of a whole batch that a process takes.
        index: Number of the process.
        count: How many processes there are.

    Returns:
        A copy of as many rows for each process; fewer than `count` rows are left out.
    """
    whole = len(x) // (share * count)
    end = whole * share * count
    rest = (len(x) - end) // count
    batches = x[:end].reshape(whole, count, share, *x.shape[1:])[:, index]
    last = x[end + rest * index : end + rest * (index + 1)]
    return np.concatenate([batches.reshape(-1, *x.shape[1:]), last])


def _end_with(parent):
    """Ends this process where the one that started it was killed."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _stops(patience, metric):
    import keras  # noqa: PLC0415

    if not patience:
        return []
    return [
        keras.callbacks.EarlyStopping(
            metric, patience=patience, restore_best_weights=True, mode="min"
        )
    ]


def _shown(epoch, logs):
    print(json.dumps({"epoch": epoch, **{n: float(v) for n, v in logs.items()}}), flush=True)


class _Silent:
    """Of a backup that another process writes: this one only goes on from it."""

    def _write(self, epoch, position=None):
        pass


if __name__ == "__main__":
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
