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

    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    from kerasae.callbacks import AtomicBackup  # noqa: PLC0415
    from kerasae.export import load_model  # noqa: PLC0415

    settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    # Variables are begun with the same numbers everywhere, which the file replaces.
    keras.utils.set_random_seed(settings["seed"])
    model: Any = load_model(folder / "model.keras")
    share = settings["batch_size"] // count
    rows = share_of(np.load(folder / "x.npy", mmap_mode="r"), share, index, count)
    known = None
    if (folder / "validation.npy").exists():
        known = share_of(np.load(folder / "validation.npy", mmap_mode="r"), share, index, count)
    backup = type("Reader", (_Silent, AtomicBackup), {}) if index else AtomicBackup
    stops = _stops(settings["patience"], f"val_{model._objective}")
    saved = backup(settings["backup"], stops, keep=True, seconds=settings["seconds"])
    shown = keras.callbacks.LambdaCallback(on_epoch_end=_shown if not index else None)
    model.fit(
        rows,
        validation_data=known,
        epochs=settings["epochs"],
        batch_size=share,
        shuffle=settings["shuffle"],
        verbose=0,
        callbacks=[shown, *stops, saved],
    )
    if not index:
        arrays = [keras.ops.convert_to_numpy(one) for one in model.variables]
        optimizer = [keras.ops.convert_to_numpy(one) for one in model.optimizer.variables]
        np.savez(folder / "weights.npz", *arrays, *optimizer)
        (folder / "history.json").write_text(json.dumps(saved.history), encoding="utf-8")
    jax.distributed.shutdown()


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
