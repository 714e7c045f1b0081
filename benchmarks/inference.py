"""Seconds of answers over 60,000 rows of MNIST beside the bare matrix products, in batches of 4096.

    KERASAE_DATA_DIR=FOLDER python benchmarks/inference.py [--layouts 100] [--batch 4096]

The products are of the layers that an answer passes, by NumPy into arrays that are kept, and by the backend
in the same loop over the same rows, which has to bring the rows in and the answers out. All take turns; the
very first one, which compiles, is told apart. KERAS_BACKEND chooses the backend.
"""

import argparse
import os
import statistics
from itertools import pairwise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from contenders import load_rows, race, widths
from keras import ops
from rich.console import Console
from rich.table import Table

import kerasae


def numpy_products(kernels, x, batch_size):
    """A function that takes all rows through the kernels and keeps nothing."""
    kept = [np.empty((batch_size, kernel.shape[1]), "float32") for kernel in kernels]

    def run():
        for first in range(0, len(x), batch_size):
            rows = x[first : first + batch_size]
            for kernel, room in zip(kernels, kept, strict=True):
                rows = np.matmul(rows, kernel, out=room[: len(rows)])

    return run


def backend_products(model, kernels, x, batch_size):
    """The same by the backend, in the loop that the model's own answers take."""
    kernels = [ops.convert_to_tensor(kernel) for kernel in kernels]

    def multiply(rows):
        for kernel in kernels:
            rows = ops.matmul(rows, kernel)
        return rows

    return lambda: model._streams.run(f"{len(kernels)}", multiply, x, batch_size=batch_size)


def contenders(half, x, batch_size):
    """Name to what is timed and the products it is held against."""
    model = kerasae.stacked_autoencoder((784,), half, scaler=None)
    draw = np.random.default_rng(0).standard_normal
    kernels = [draw(shape, dtype="float32") for shape in pairwise(widths(half))]
    numpy_of, backend_of = {}, {}
    for part, name in ((kernels[: len(half)], "encoder"), (kernels, "all layers")):
        numpy_of[name] = numpy_products(part, x, batch_size)
        backend_of[name] = backend_products(model, part, x, batch_size)
    size = {"batch_size": batch_size}
    answers = {
        "encode": ("encoder", lambda: model.encode(x, **size)),
        "deep_features": ("encoder", lambda: kerasae.deep_features(model, x, **size)),
        "reconstruction_error": ("all layers", lambda: model.reconstruction_error(x, **size)),
        "predict": ("all layers", lambda: model.predict(x, verbose=0, **size)),
    }
    return numpy_of, backend_of, answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--layouts", nargs="+", default=["100", "300,100", "1000,500,250,30"])
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=9)
    settings, x = parser.parse_args(), load_rows()
    table = Table(title=f"{len(x)} rows, batch {settings.batch}, {keras.backend.backend()}")
    columns = "layout", "answer", "seconds", "from-to", "first", "rate / NumPy", "rate / backend"
    for column in columns:
        table.add_column(column, justify="right")
    for layout in settings.layouts:
        half = tuple(map(int, layout.split(",")))
        numpy_of, backend_of, answers = contenders(half, x, settings.batch)
        functions = {name: function for name, (_, function) in answers.items()}
        functions |= {("NumPy", part): run for part, run in numpy_of.items()}
        functions |= {("backend", part): run for part, run in backend_of.items()}
        results = race(functions, settings.repeats)
        median = {key: statistics.median(others) for key, (_, others) in results.items()}
        for key, (first, others) in results.items():
            part = answers[key][0] if key in answers else key[1]
            name = key if key in answers else f"products, {part}, {key[0]}"
            rates = (median[by, part] / median[key] for by in ("NumPy", "backend"))
            spread = f"{min(others):.3f}-{max(others):.3f}"
            row = f"{median[key]:.3f}", spread, f"{first:.2f}", *(f"{rate:.2f}" for rate in rates)
            table.add_row(layout, name, *row)
        table.add_section()
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
