"""Peak memory of fitting full MNIST above that of a few rows, from float32 and from bytes.

    KERASAE_DATA_DIR=FOLDER python benchmarks/memory.py

Each fit has a process of its own. One is on 1024 rows, which takes all the memory that the framework and the
compiled program need; one is on all rows. The difference of their peaks is what the rows take. Then, in one
process, fits from float32 and from bytes are timed in turns. For bytes, the scaler `Rescaling(1 / 255)` in
the model does what was done to the float32 rows before. KERAS_BACKEND chooses the backend.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import results
from contenders import load_rows, megabytes, race

BATCH, EPOCHS, REPEATS = 128, 3, 5
KINDS = "float32", "uint8"


def build(kind):
    import keras

    import kerasae

    random.seed(0)
    scaler = keras.layers.Rescaling(1 / 255) if kind == "uint8" else None
    model = kerasae.stacked_autoencoder((784,), (100,), scaler=scaler)
    model.compile()
    return model


def peak(kind, rows):
    """The peak memory of a fit, in MB; to be called once in a process."""
    x, model = load_rows(kind, rows), build(kind)
    model.fit(x, batch_size=BATCH, epochs=EPOCHS * 60_000 // rows, verbose=0)
    return megabytes()


def seconds():
    """Seconds of a fit of each kind, in turns; the first is not counted."""
    options = {"batch_size": BATCH, "epochs": EPOCHS, "verbose": 0}
    fits = {kind: partial(build(kind).fit, load_rows(kind), **options) for kind in KINDS}
    return {kind: others for kind, (_, others) in race(fits, REPEATS).items()}


def main():
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    parser = results.parser(__doc__, f"memory-{backend}")
    parser.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)  # of one fit: kind, rows
    settings, rows = parser.parse_args(), []
    if settings.peak:
        print(peak(settings.peak[0], int(settings.peak[1])))
        return
    for kind in KINDS:
        command = sys.executable, __file__, "--peak", kind
        few, whole = (
            float(subprocess.check_output([*command, str(rows)]).split()[-1])
            for rows in (1024, 60_000)
        )
        ratio = (whole - few) / (60_000 * 784 * 4 / 1e6)
        print(
            f"{kind:8} {few:.0f} MB with 1024 rows, {whole - few:.0f} more with 60,000: "
            f"{ratio:.2f} of the float32 array",
            flush=True,
        )
        numbers = {"MB with 1024 rows": few, "MB with 60,000 rows": whole}
        rows.append({"what": f"peak, {kind}", "value": ratio, **numbers})
    found = seconds()
    for kind, values in found.items():
        print(
            f"{kind:8} {statistics.median(values):.2f} s a fit of {EPOCHS} epochs, "
            f"{min(values):.2f}-{max(values):.2f}"
        )
    ratios = [b / a for a, b in zip(*(found[kind] for kind in KINDS), strict=True)]
    ratio = statistics.median(ratios)
    print(f"uint8 / float32, turn by turn: median {ratio:.3f}")
    rows.append({"what": "seconds, uint8 / float32", "value": ratio, **found})
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
