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
    from kerasae.engines.shared_loop import fit_shared, rows_of_process  # noqa: PLC0415
    from kerasae.export import load_model  # noqa: PLC0415

    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    # Those of NumPy and Python; layers bring the state of theirs.
    keras.utils.set_random_seed(settings["seed"])
    model: Any = load_model(folder / "model.keras")
    size, where = settings["batch_size"], (index, count)
    x = _given(folder, settings)
    rows = rows_of_process(model, x, *where, batch_size=size, shuffle=settings["shuffle"])
    known = None
    if (folder / "validation.npy").exists():
        x = np.load(folder / "validation.npy", mmap_mode="r")
        known = rows_of_process(model, x, *where, batch_size=size, shuffle=False)
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


def _given(folder, settings):
    """The rows that `fit_by_processes` was given, an array or a source."""
    if (folder / "x.npy").exists():
        return np.load(folder / "x.npy", mmap_mode="r")
    from kerasae import datasets  # noqa: PLC0415
    from kerasae.datasets import OpenedRows  # noqa: PLC0415

    known = settings["source"]
    source = datasets.open(known["path"], columns=known["columns"])
    return OpenedRows(source.parts, source.columns, held=known["held"])


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
