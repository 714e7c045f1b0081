"""Columns are matched by name, whichever library and method they go through: cases 15 and 39."""

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import anomaly, methods

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

NAMES = ["a", "b", "c"]
OTHER = ["c", "a", "b"]
X = np.random.default_rng(0).normal(size=(60, 3)).astype("float32")


def columns_of(order, x=X):
    return {name: x[:, NAMES.index(name)] for name in order}


TABLES = {
    "pandas": lambda order: pd.DataFrame(columns_of(order)),
    "pandas, nullable": lambda order: pd.DataFrame(columns_of(order)).astype("Float32"),
    "pandas, arrow": lambda order: pd.DataFrame(columns_of(order)).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "polars": lambda order: pl.DataFrame(columns_of(order)),
    "pyarrow": lambda order: pa.table(columns_of(order)),
    "pyarrow, batch": lambda order: pa.record_batch(columns_of(order)),
    "numpy": lambda order: np.rec.fromarrays(columns_of(order).values(), names=order),
}


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((3,), (2,))
    made.fit(TABLES["pandas"](NAMES), verbose=0)
    anomaly.calibrate(made, X, "p90")
    return made


@pytest.fixture(scope="module")
def generative():
    keras.utils.set_random_seed(0)
    return kerasae.variational_autoencoder((3,), (2,), columns=NAMES, likelihood="gaussian")


def head(table):
    return table.iloc[0] if hasattr(table, "iloc") else table[:1]


METHODS = {
    "predict": lambda m, g, x: m.predict(x, verbose=0),
    "predict_on_batch": lambda m, g, x: m.predict_on_batch(x),
    "call": lambda m, g, x: keras.ops.convert_to_numpy(m(x)),
    "evaluate": lambda m, g, x: m.evaluate(x, verbose=0),
    "evaluate against targets": lambda m, g, x: m.evaluate(X, x, verbose=0),
    "test_on_batch": lambda m, g, x: m.test_on_batch(x),
    "encode": lambda m, g, x: m.encode(x),
    "reconstruct": lambda m, g, x: m.reconstruct(x),
    "reconstruction_error": lambda m, g, x: m.reconstruction_error(x, per_feature=True),
    "score": lambda m, g, x: anomaly.score(m, x).anomaly_score,
    "deep_features": lambda m, g, x: methods.deep_features(m, x, "output"),
    "average_activation": lambda m, g, x: methods.average_activation(m, x).per_coding,
    "interpolate": lambda m, g, x: methods.interpolate(m, head(x), head(x), steps=2),
    "evidence_lower_bound": lambda m, g, x: methods.evidence_lower_bound(g, x),
    "log_likelihood": lambda m, g, x: methods.log_likelihood(g, x, samples=3),
    "parzen": lambda m, g, x: methods.parzen_log_likelihood(pd.DataFrame(X, columns=NAMES), x, 1.0),
}


@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize("method", METHODS)
def test_another_order_gives_the_same_outputs(model, generative, method, library):
    if method == "interpolate" and library.startswith("pyarrow"):
        pytest.skip("a table of pyarrow has no first row as a table by [:1]")
    run = METHODS[method]
    np.testing.assert_array_equal(
        run(model, generative, TABLES[library](OTHER)),
        run(model, generative, TABLES["pandas"](NAMES)),
    )


FITS = {
    "fit": lambda m, x: m.fit(x, shuffle=False, verbose=0),
    "fit against targets": lambda m, x: m.fit(X, x, shuffle=False, verbose=0),
    "train_on_batch": lambda m, x: m.train_on_batch(x),
    "fit on a generator": lambda m, x: m.fit(iter_of(x), verbose=0),
    "pretrain": lambda m, x: methods.pretrain(m, x, epochs=1),
    "robust": lambda m, x: methods.robust_decomposition(m, x, penalty=1.0, rounds=1),
}


def iter_of(x):
    yield x


def trained(fit, x, **options):
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((3,), (2,), **options)
    FITS[fit](made, x)
    return made


@pytest.mark.fast(every=5)
@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize("fit", FITS)
def test_another_order_trains_the_same(fit, library):
    expected = trained(fit, TABLES["pandas"](NAMES), columns=NAMES)
    got = trained(fit, TABLES[library](OTHER), columns=NAMES)
    np.testing.assert_allclose(got.encode(X), expected.encode(X), atol=1e-6)


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("library", TABLES)
@pytest.mark.parametrize("fit", ["fit", "train_on_batch", "fit on a generator", "robust"])
def test_the_first_table_gives_the_names(fit, library):
    made = trained(fit, TABLES[library](OTHER))
    assert made.columns == tuple(OTHER)
    np.testing.assert_allclose(
        made.encode(TABLES["pandas"](NAMES)), made.encode(X[:, [2, 0, 1]]), atol=1e-6
    )


def test_validation_rows_are_matched_where_x_gave_the_names():
    x = TABLES["pandas"](NAMES)
    for run in (
        lambda m, v: m.fit(x, validation_data=v, shuffle=False, verbose=0),
        lambda m, v: m.fit(x, validation_data=(v, v), shuffle=False, verbose=0),
        lambda m, v: anomaly.trim_and_refit(m, x, validation_data=v, verbose=0).model.history,
    ):
        losses = []
        for order in (NAMES, OTHER):
            keras.utils.set_random_seed(0)
            made = kerasae.stacked_autoencoder((3,), (2,))
            made.compile(keras.optimizers.SGD(1e-9))
            losses.append(run(made, TABLES["polars"](order)).history["val_loss"])
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_trimmed_model_has_the_names_of_the_rows():
    made = kerasae.stacked_autoencoder((3,), (2,))
    assert made.columns is None
    trimmed = anomaly.trim_and_refit(made, TABLES["polars"](OTHER), verbose=0)
    assert trimmed.model.columns == tuple(OTHER)


DUPLICATES = {
    "names": lambda: pd.DataFrame(X, columns=["a", "b", "a"]),
    "numbers and texts": lambda: pd.DataFrame(X, columns=[1, 2, "1"]),
    "pyarrow": lambda: pa.Table.from_arrays([pa.array(c) for c in X.T], names=["a", "b", "a"]),
}


@pytest.mark.parametrize("table", DUPLICATES)
@pytest.mark.parametrize("fit", FITS)
def test_two_columns_of_one_name_are_refused(fit, table):
    with pytest.raises(ValueError, match="columns of different names. Received: 2 columns '[a1]'"):
        trained(fit, DUPLICATES[table]())
    made = kerasae.stacked_autoencoder((3,), (2,))
    with pytest.raises(ValueError, match="columns of different names"):
        FITS[fit](made, DUPLICATES[table]())
    assert made.columns is None


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_columns_that_are_not_wanted_are_left_out_before_their_cells_are_read(model, library):
    others = {"id": [f"m{i}" for i in range(60)], "when": pd.date_range("2026", periods=60)}
    others |= {"note": [None] * 60}
    cells = {**others, **columns_of(OTHER)}
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[library]
    with pytest.warns(UserWarning, match="3 columns that the model does not know.*id, when, note"):
        got = model.encode(make(cells))
    np.testing.assert_array_equal(got, model.encode(X))


def test_two_unwanted_columns_of_one_name_do_no_harm(model):
    table = pd.concat(
        [pd.DataFrame(columns_of(NAMES)), pd.DataFrame(X, columns=["z", "z", "y"])], axis=1
    )
    with pytest.warns(UserWarning, match="does not know"):
        np.testing.assert_array_equal(model.encode(table), model.encode(X))
    table.columns = ["a", "b", "c", "a", "z", "y"]
    with pytest.raises(ValueError, match="2 columns 'a'"):
        model.encode(table)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize("method", METHODS)
def test_a_renamed_column_is_missing(model, generative, method, library):
    cells = columns_of(NAMES)
    cells["A"] = cells.pop("a")
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[library]
    with pytest.raises(
        ValueError, match="Received: no column 'a', 1 missing in all. Try renaming 'A'"
    ):
        METHODS[method](model, generative, make(cells))


def test_a_scaler_that_was_adapted_to_a_table_brings_its_names():
    scaler = kerasae.RangeScaling()
    scaler.adapt(TABLES["polars"](OTHER))
    made = kerasae.stacked_autoencoder((3,), (2,), scaler=scaler)
    assert made.columns == tuple(OTHER)
    np.testing.assert_array_equal(
        made.encode(TABLES["pandas"](NAMES)), made.encode(X[:, [2, 0, 1]])
    )
    scaler.adapt(TABLES["pandas"](NAMES))  # of the same names: in the order they had
    np.testing.assert_allclose(scaler.mean, X[:, [2, 0, 1]].mean(axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="columns of the model, a, b, c. Received: c, a, b"):
        kerasae.stacked_autoencoder((3,), (2,), scaler=scaler, columns=NAMES).encode(X)


def test_rows_of_a_series_are_refused_by_name(model):
    for series in (pd.Series(X[0], NAMES), pl.Series(X[0])):
        for method in ("encode", "predict", "fit", "evaluate", "predict_on_batch"):
            with pytest.raises(ValueError, match="rows of columns. Received: a Series of 3 values"):
                getattr(model, method)(series)


def test_a_file_s_index_in_a_table_is_named():
    """Case 40, for tables that were read elsewhere."""
    table = pd.DataFrame({"Unnamed: 0": range(60), **columns_of(["a", "b"])})
    made = kerasae.stacked_autoencoder((3,), (2,))
    with pytest.warns(UserWarning, match="number its rows.*'Unnamed: 0', a row index"):
        made.fit(table, verbose=0)
