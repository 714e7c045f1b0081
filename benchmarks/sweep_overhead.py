"""What a sweep costs beyond its fits, on MNIST, four layouts of ten epochs.

    KERASAE_DATA_DIR=FOLDER python benchmarks/sweep_overhead.py

The same fits are timed alone, before the sweep and after it. The overhead is for loading, checking, saving,
the oracle and the report. On a machine with other work, the processor's time says more than the clock.
"""

import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results

import kerasae
from kerasae.tuning import search
from kerasae.tuning.results import trial_folders
from kerasae.validation import parse_layout

LAYOUTS = ["50", "100", "100-50-100", "300-100-300"]
EPOCHS, BATCH_SIZE = 10, 128


def now():
    """The clock, and the processor's time in this process, which other work does not change."""
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
    paths = [folder / "result.json" for folder in trial_folders(directory).values()]
    return whole, sum(json.loads(path.read_text())["fit_seconds"] for path in paths)


def main():
    settings, found = results.parser(__doc__, "sweep_overhead").parse_args(), []
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
        seconds = {"fits before, s": before, "fits after, s": after, "sweep, s": swept}
        found.append({"by": what, **seconds, "overhead": overhead})
    print(
        f"clock: {whole[0] / within - 1:.1%} of the sweep's own fits, {within:.1f} s, outside of them"
    )
    results.write(settings.output, found)


if __name__ == "__main__":
    main()
