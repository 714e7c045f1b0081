"""Seconds of inference over 60,000 rows of MNIST beside the bare matrix products, in batches of 4096.

    KERASAE_DATA_DIR=FOLDER python benchmarks/inference.py [--layouts 100] [--batch 4096]

The products are of the layers that an output passes, by NumPy into arrays that are kept, and by the backend
in the same loop over the same rows, which also copies the rows in and the outputs out. All take turns. The
very first turn, which compiles, is reported by itself. KERAS_BACKEND chooses the backend.
"""

import os
import statistics
from itertools import pairwise

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
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
            for kernel, buffer in zip(kernels, kept, strict=True):
                rows = np.matmul(rows, kernel, out=buffer[: len(rows)])

    return run


def backend_products(model, kernels, x, batch_size):
    """The same by the backend, in the loop of the model's own inference."""
    kernels = [ops.convert_to_tensor(kernel) for kernel in kernels]

    def multiply(rows):
        for kernel in kernels:
            rows = ops.matmul(rows, kernel)
        return rows

    return lambda: model._streams.run(f"{len(kernels)}", multiply, x, batch_size=batch_size)


def contenders(half, x, batch_size):
    """Functions to time: the products by NumPy and by the backend, and the model's outputs."""
    model = kerasae.stacked_autoencoder((784,), half, scaler=None)
    draw = np.random.default_rng(0).standard_normal
    kernels = [draw(shape, dtype="float32") for shape in pairwise(widths(half))]
    numpy_of, backend_of = {}, {}
    for part, name in ((kernels[: len(half)], "encoder"), (kernels, "all layers")):
        numpy_of[name] = numpy_products(part, x, batch_size)
        backend_of[name] = backend_products(model, part, x, batch_size)
    size = {"batch_size": batch_size}
    outputs = {
        "encode": ("encoder", lambda: model.encode(x, **size)),
        "deep_features": ("encoder", lambda: kerasae.deep_features(model, x, **size)),
        "reconstruction_error": ("all layers", lambda: model.reconstruction_error(x, **size)),
        "predict": ("all layers", lambda: model.predict(x, verbose=0, **size)),
    }
    return numpy_of, backend_of, outputs


def measure(half, x, settings):
    """A row for each output and each product of one layout."""
    numpy_of, backend_of, outputs = contenders(half, x, settings.batch)
    functions = {name: function for name, (_, function) in outputs.items()}
    functions |= {("NumPy", part): run for part, run in numpy_of.items()}
    functions |= {("backend", part): run for part, run in backend_of.items()}
    raced = race(functions, settings.repeats)
    median = {key: statistics.median(others) for key, (_, others) in raced.items()}
    rows = []
    for key, (first, others) in raced.items():
        part = outputs[key][0] if key in outputs else key[1]
        row = {"output": key if key in outputs else f"products, {part}, {key[0]}"}
        row |= {"seconds": median[key], "from": min(others), "to": max(others), "first": first}
        row |= {f"rate / {by}": median[by, part] / median[key] for by in ("NumPy", "backend")}
        rows.append({"layout": "-".join(map(str, [*half, *half[-2::-1]])), **row})
    return rows


def written(rows):
    """The rows of the outputs, and one for the range of the backend's own products."""
    products = [row["rate / NumPy"] for row in rows if row["output"].endswith(", backend")]
    name = "products of the backend"
    span = {"layout": rows[0]["layout"], "output": name, "rate / NumPy": [*products]}
    return [*(row for row in rows if not row["output"].startswith("products")), span]


def main():
    backend = keras.backend.backend()
    parser = results.parser(__doc__, f"inference-{backend}")
    parser.add_argument("--layouts", nargs="+", default=["100", "300,100", "1000,500,250,30"])
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--repeats", type=int, default=9)
    settings, x, found = parser.parse_args(), load_rows(), []
    table = Table(title=f"{len(x)} rows, batch {settings.batch}, {backend}")
    columns = "layout", "output", "seconds", "from-to", "first", "rate / NumPy", "rate / backend"
    for column in columns:
        table.add_column(column, justify="right")
    for layout in settings.layouts:
        rows = measure(tuple(map(int, layout.split(","))), x, settings)
        for row in rows:
            rates = (f"{row[f'rate / {by}']:.2f}" for by in ("NumPy", "backend"))
            spread = f"{row['from']:.3f}-{row['to']:.3f}"
            seconds = f"{row['seconds']:.3f}", spread, f"{row['first']:.2f}"
            table.add_row(row["layout"], row["output"], *seconds, *rates)
        table.add_section()
        found += written(rows)
    Console(width=110).print(table)
    results.write(settings.output, found)


if __name__ == "__main__":
    main()
