"""What a sweep costs beyond the fits it is made of, on MNIST, four layouts of ten epochs.

    KERASAE_DATA_DIR=FOLDER python benchmarks/sweep_overhead.py

It compares a sweep with bare fits of the same models in one run and takes some minutes. On 2026-11-24,
with other work on the two cores, only the sweep's own account was taken, for the book's grid:
`time kerasae tune layouts mnist` took 240.4 s from the command to its end, of which `fit_seconds` in the
five `result.json` make up 226.9: 6.0% for starting, loading, saving and the oracle together.
"""

import json
import math
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import kerasae
from kerasae.door import parse_layout
from kerasae.tuning import search
from kerasae.tuning.results import trial_folders

LAYOUTS = ["50", "100", "100-50-100", "300-100-300"]
EPOCHS, BATCH_SIZE = 10, 128


def bare_fits(rows, scaler):
    """Seconds in `fit` alone, for the same models on the same rows."""
    x, x_test = rows.x_train, rows.x_test
    seconds = 0.0
    for layout in LAYOUTS:
        keras.utils.set_random_seed(0)
        model = kerasae.stacked_autoencoder(x.shape[1], parse_layout(layout), scaler=scaler)
        model.compile(steps_per_execution=min(math.ceil(len(x) / BATCH_SIZE), 50))
        started = time.perf_counter()
        model.fit(x, validation_data=x_test, epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
        seconds += time.perf_counter() - started
    return seconds


def sweep(directory):
    """Seconds of the whole sweep, its loading included, and of the fits within it."""
    options = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "scaler": "range"}
    started = time.perf_counter()
    search("mnist", {"layout": LAYOUTS}, directory, **options)
    whole = time.perf_counter() - started
    results = [f / "result.json" for f in trial_folders(directory).values()]
    return whole, sum(json.loads(path.read_text())["fit_seconds"] for path in results)


def main():
    rows = kerasae.datasets.load("mnist")
    scaler = kerasae.RangeScaling()
    scaler.adapt(rows.x_train)
    bare_fits(rows._replace(x=rows.x[:2000], is_test=rows.is_test[:2000]), scaler)  # warms up
    bare = [bare_fits(rows, scaler)]
    with tempfile.TemporaryDirectory() as folder:
        whole, within = sweep(Path(folder) / "sweep")
    bare.append(bare_fits(rows, scaler))
    print(f"bare fits {bare[0]:.1f} s before, {bare[1]:.1f} s after the sweep")
    print(f"sweep {whole:.1f} s, of which in fit {within:.1f} s")
    print(f"overhead {whole / (sum(bare) / 2) - 1:.1%} over the bare fits")
    print(f"outside of fit {whole / within - 1:.1%}")


if __name__ == "__main__":
    main()
