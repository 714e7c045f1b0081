"""What a sweep costs beyond the fits it is made of, on MNIST, four layouts of ten epochs.

    KERASAE_DATA_DIR=FOLDER python benchmarks/sweep_overhead.py

On two cores, with other work beside, so that the processor's time tells more than the clock:

    bare fits         74.3 s of the processor before the sweep, 77.6 s after it
    the whole sweep   79.6 s: 4.8% more, for loading, checking, saving, the oracle and the report
    by the clock      83.9 s and 58.7 s, and 75.3 s for the sweep: 5.5% more
"""

import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasae
from kerasae.tuning import search
from kerasae.tuning.results import trial_folders
from kerasae.validation import parse_layout

LAYOUTS = ["50", "100", "100-50-100", "300-100-300"]
EPOCHS, BATCH_SIZE = 10, 128


def now():
    """The clock, and the processor's time in this process, which other work leaves alone."""
    return np.array([time.perf_counter(), time.process_time()])


def bare_fits(rows, scaler):
    """Seconds in `fit` alone, by the clock and of the processor, for the same models and rows."""
    x, x_test = rows.x_train, rows.x_test
    seconds = np.zeros(2)
    for layout in LAYOUTS:
        keras.utils.set_random_seed(0)
        model = kerasae.stacked_autoencoder(x.shape[1], parse_layout(layout), scaler=scaler)
        model.compile()
        started = now()
        model.fit(x, validation_data=x_test, epochs=EPOCHS, batch_size=BATCH_SIZE, verbose=0)
        seconds += now() - started
    return seconds


def sweep(directory):
    """Seconds of the whole sweep, its loading included, and of the fits within it."""
    options = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "scaler": "range"}
    started = now()
    search("mnist", {"layout": LAYOUTS}, directory, **options)
    whole = now() - started
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
    for what, before, after, swept in zip(("clock", "processor"), *bare, whole, strict=True):
        overhead = 2 * swept / (before + after) - 1
        print(
            f"{what}: bare fits {before:.1f} s before and {after:.1f} s after, sweep {swept:.1f} s"
        )
        print(f"{what}: overhead {overhead:.1%} over the bare fits")
    print(
        f"clock: {whole[0] / within - 1:.1%} of the sweep's own fits, {within:.1f} s, outside of them"
    )


if __name__ == "__main__":
    main()
