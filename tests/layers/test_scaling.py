import warnings

import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae.layers import RangeScaling
from kerasae.layers.scaling import check_scaler, has_float64, scale, unscale

X = np.random.default_rng(0).normal([5, -300, 0.01], [2, 50, 0.001], (500, 3)).astype("float32")


def adapted(layer, x=X):
    layer.adapt(x)
    return layer


def given_moments():
    scaler = keras.layers.Normalization(mean=[1, 2, 3], variance=[1, 4, 9])
    check_scaler(scaler, (3,))
    return scaler


SCALERS = {
    "range": lambda: adapted(RangeScaling()),
    "normalization": lambda: adapted(keras.layers.Normalization()),
    "moments": given_moments,
    "rescaling": lambda: keras.layers.Rescaling(1 / 16, offset=-0.5),
    "none": lambda: None,
}


def test_range_scaling_is_the_formula():
    z = ops.convert_to_numpy(SCALERS["range"]()(X))
    x = X.astype("float64")
    np.testing.assert_allclose(z, (x - x.mean(0)) / (x.max(0) - x.min(0)), atol=2e-6)


@pytest.mark.parametrize("make", SCALERS.values(), ids=SCALERS)
def test_inverse_gives_back_the_rows(make):
    scaler = make()
    back = ops.convert_to_numpy(unscale(scaler, scale(scaler, X)))
    assert (np.abs(back - X).max(axis=0) <= 5e-7 * (3 + np.abs(X).max(axis=0))).all()


@pytest.mark.parametrize("make", SCALERS.values(), ids=SCALERS)
def test_scaling_stays_in_float32_under_mixed_precision(make):
    scaler = make()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        z = scale(keras.layers.Rescaling(2.0) if scaler is None else scaler, X)
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(z.dtype) == "float32"


@pytest.mark.parametrize("layer", [RangeScaling, keras.layers.Normalization])
@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_a_constant_column_becomes_0_and_its_drift_stays_bounded(layer, value):
    x = np.column_stack([X[:, 0], np.full(len(X), value, "float32")])
    scaler = layer()
    with pytest.warns(UserWarning, match="1 of 2 columns are constant"):
        scaler.adapt(x)
        check_scaler(scaler, (2,))
    z = ops.convert_to_numpy(scale(scaler, x))
    np.testing.assert_allclose(z[:, 1], 0, atol=1e-6 * max(1, value))
    drifted = ops.convert_to_numpy(scale(scaler, x + np.float32([0, 1])))
    np.testing.assert_allclose(drifted[:, 1], 1, rtol=0.01, atol=2e-6 * value)


def test_adapts_to_batches_and_to_pixels_as_to_one_array():
    whole, parts, pixels = SCALERS["range"](), RangeScaling(), RangeScaling()
    parts.adapt(X[i : i + 70] for i in range(0, 500, 70))
    np.testing.assert_allclose(parts.mean, whole.mean, rtol=1e-6)
    np.testing.assert_array_equal(parts.range, whole.range)
    pixels.adapt(np.array([[0, 255], [255, 0]], "uint8"))
    assert pixels.mean.tolist() == [127.5, 127.5]
    assert pixels.range.tolist() == [255, 255]


def test_adapting_again_starts_anew():
    scaler = adapted(RangeScaling(), 100 * X)
    scaler.adapt(X)
    np.testing.assert_array_equal(scaler.range, SCALERS["range"]().range)


def test_a_saved_scaler_scales_as_before(tmp_path):
    model = keras.Sequential([keras.Input((3,)), SCALERS["range"]()])
    model.save(tmp_path / "scaler.keras")
    loaded = keras.saving.load_model(tmp_path / "scaler.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


def test_nothing_to_adapt_to_is_an_error():
    for nothing in (np.empty((0, 3)), iter([])):
        with pytest.raises(ValueError, match="0 rows"):
            RangeScaling().adapt(nothing)
    with pytest.raises(ValueError, match="shape"):
        RangeScaling().adapt(np.ones(3))


def test_scalers_that_cannot_serve_are_refused():
    with pytest.raises(ValueError, match="adapt"):
        check_scaler(RangeScaling(), (3,))
    with pytest.raises(TypeError, match="inverse"):
        check_scaler(keras.layers.Dense(3), (3,))
    with pytest.raises(ValueError, match="invert"):
        check_scaler(adapted(keras.layers.Normalization(invert=True)), (3,))
    with pytest.raises(ValueError, match="float32"):
        check_scaler(adapted(keras.layers.Normalization(dtype="mixed_bfloat16")), (3,))


# Rows that a scaler cannot be adapted to ----------------------------------------------------------


def spoilt(value, row=3, column=1):
    x = X.astype("float64")
    x[row, column] = value
    return x


def test_what_is_not_finite_is_named():
    """Case 42: `fit` would say only that the scaler is not adapted."""
    pandas = pytest.importorskip("pandas")
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="data must hold finite.*row 3, column 1"):
            RangeScaling().adapt(spoilt(value))
        with pytest.raises(ValueError, match="batch 1 of data must hold finite.*row 1, column 1"):
            RangeScaling().adapt(iter([X[:2], spoilt(value)[2:]]))
    frame = pandas.DataFrame(spoilt(np.nan), columns=["a", "b", "c"])
    for table in (frame, frame.astype("Float64"), frame.convert_dtypes(dtype_backend="pyarrow")):
        with pytest.raises(ValueError, match="row 3, column 1 'b'"):
            RangeScaling().adapt(table)
    with pytest.raises(ValueError, match="1 masked cells, the first in row 3, column 1"):
        RangeScaling().adapt(np.ma.masked_invalid(spoilt(np.nan)))
    with pytest.raises(TypeError, match="Received: 'x' in column 'b'"):
        RangeScaling().adapt(frame.assign(b="x"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_a_normalization_that_was_adapted_to_what_is_not_finite_is_refused(value):
    scaler = keras.layers.Normalization()
    with np.errstate(all="ignore"):
        scaler.adapt(spoilt(value).astype("float32"))
    with pytest.raises(ValueError, match="(mean|variance) .* in column 1.*looking for NaN"):
        kerasae.stacked_autoencoder((3,), (2,), scaler=scaler)


def tables():
    names = ("pandas", "polars", "pyarrow")
    pandas, polars, arrow = map(pytest.importorskip, names)
    cells = dict(zip("abc", X.T, strict=True))
    frame = pandas.DataFrame(cells)
    yield from (frame, frame.astype("Float32"), polars.DataFrame(cells), arrow.table(cells))


def test_adapts_to_tables_of_any_library():
    for table in tables():
        scaler = adapted(RangeScaling(), table)
        np.testing.assert_allclose(scaler.mean, X.mean(axis=0, dtype="float64"), rtol=1e-6)
        np.testing.assert_allclose(scaler.range, np.ptp(X, axis=0), rtol=1e-6)
        assert scaler.columns == ("a", "b", "c")


def test_what_is_not_rows_is_refused_by_name():
    for data in (None, {"a": [1.0]}, pytest.importorskip("scipy.sparse").csr_matrix(X)):
        with pytest.raises(TypeError, match="data must be an array, a table or a dataset"):
            RangeScaling().adapt(data)


@pytest.mark.parametrize("targets", [False, True])
def test_a_stream_is_passed_over_once_and_its_targets_are_left_out(targets):
    """Case 41: in a second pass an augmented or shuffled stream would be another."""
    passes = []

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, i):
            passes.append(i)
            rows = X[100 * i : 100 * i + 100]
            return (rows, np.arange(100)) if targets else rows

    scaler = adapted(RangeScaling(), Batches())
    assert passes == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(scaler.mean, X.mean(axis=0, dtype="float64"), rtol=1e-6)
    batches = [X[:100], X[100:]]  # of different lengths
    np.testing.assert_allclose(adapted(RangeScaling(), batches).mean, scaler.mean)
    np.testing.assert_allclose(adapted(RangeScaling(), iter(batches)).mean, scaler.mean)


@pytest.mark.tensorflow
def test_a_dataset_with_labels_adapts_to_its_rows():
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices((X, np.arange(500))).batch(70)
    np.testing.assert_allclose(adapted(RangeScaling(), rows).mean, X.mean(axis=0), rtol=1e-5)


def test_a_range_that_overflows_is_named():
    """Case 45."""
    x = np.stack([X[:, 0], np.linspace(-3e38, 3e38, 500)], axis=1)
    with pytest.raises(ValueError, match="values from -3e\\+38 to 3e\\+38 in column 1"):
        RangeScaling().adapt(x)


def test_a_range_that_underflows_is_a_constant():
    x = np.stack([X[:, 0], 1e-40 * np.random.default_rng(0).random(500)], axis=1)
    with pytest.warns(UserWarning, match="1 of 2 columns are constant and scaled to 0: 1"):
        scaler = adapted(RangeScaling(), x)
    assert np.isfinite(ops.convert_to_numpy(scaler(x))).all()
    kerasae.stacked_autoencoder((2,), (1,), scaler=scaler).fit(x, verbose=0)


# Digits that float32 does not have ----------------------------------------------------------------

CLOSE = {
    "seconds": 1.7e9 + 0.5 * np.arange(300),
    "milliseconds": 1_700_000_000_000 + np.arange(300),
    "days": 19_000 + np.arange(300) / 1440,
    "coordinates": 52.52 + 1e-7 * np.arange(300),
    "grams": 1000 + 0.001 * np.arange(300),
    "metres": 5_820_000 + 0.01 * np.arange(300),
}


def close(name):
    return np.stack([np.random.default_rng(0).normal(size=300), CLOSE[name]], axis=1)


def scaler_of(kind, x):
    if kind == "rescaling":
        width = float(np.ptp(x[:, 1]))
        return keras.layers.Rescaling([1.0, 1 / width], offset=[0.0, -float(x[0, 1]) / width])
    return adapted({"range": RangeScaling, "normalization": keras.layers.Normalization}[kind](), x)


@pytest.mark.filterwarnings("ignore:float32 holds", "ignore:1 of 2 columns are constant")
@pytest.mark.parametrize("name", CLOSE)
@pytest.mark.parametrize("kind", ["range", "normalization", "rescaling"])
@pytest.mark.fast(every=4)
def test_close_values_far_from_0_are_scaled_from_float64(kind, name):
    """Case 44: times and coordinates."""
    x = close(name)
    scaler = scaler_of(kind, x)
    if kind == "normalization" and name != "grams":
        # It measures the rounding of a mean that is so large, and calls the column constant.
        made = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler)
        with pytest.raises(ValueError, match="tell apart. Received: column 1, which Normaliz"):
            made.fit(x, verbose=0)
        return
    if not has_float64():
        made = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler)
        if name == "grams":  # which float32 can tell apart
            made.fit(x, verbose=0)
            return
        with pytest.raises(ValueError, match="tell apart. Received: 300 values of column 1"):
            made.fit(x, verbose=0)
        return
    z = ops.convert_to_numpy(scale(scaler, x))
    assert z.dtype == "float32"
    assert len(np.unique(z[:, 1])) == 300
    model = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler, activation="linear")
    model.compile(keras.optimizers.SGD(1e-9))
    model.fit(x, validation_data=x[:50], epochs=2, verbose=0)
    error = model.reconstruction_error(x, per_feature=True)
    assert len(np.unique(error[:, 1])) > 290
    assert len(np.unique(model.encode(x))) > 290
    # The same in every method, and for a row alone.
    np.testing.assert_allclose(model.encode(x[7:8]), model.encode(x)[7:8], atol=1e-5)
    np.testing.assert_allclose(model.encode(x[:, :].tolist()), model.encode(x), atol=1e-6)
    evaluated = model.evaluate(x, verbose=0, return_dict=True)["mse"]
    for got in (error.mean(), model.test_on_batch(x, return_dict=True)["mse"]):
        assert got == pytest.approx(evaluated, rel=1e-4)
    model.train_on_batch(x)
    for call in (
        lambda: model.fit(x, steps_per_epoch=2, verbose=0),
        lambda: model.evaluate(x, steps=2, verbose=0),
        lambda: model.predict(x, steps=2, verbose=0),
        lambda: model.fit((rows for rows in [x]), verbose=0),
    ):  # which Keras makes float32
        with pytest.raises(ValueError, match="tell apart.*Received: float64 or integers in column"):
            call()


@pytest.mark.tensorflow
def test_a_dataset_of_float64_is_scaled_from_it():
    import tensorflow as tf

    x = close("metres")
    model = kerasae.stacked_autoencoder((2,), (1,), scaler=scaler_of("range", x))
    model.fit(tf.data.Dataset.from_tensor_slices(x).batch(32), verbose=0)
    got = model.encode(tf.data.Dataset.from_tensor_slices(x).batch(32))
    np.testing.assert_allclose(got, model.encode(x), atol=1e-6)


def test_a_saved_scaler_keeps_its_digits(tmp_path):
    x = close("coordinates")
    model = kerasae.stacked_autoencoder((2,), (1,), scaler=adapted(RangeScaling(), x))
    model.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    assert loaded.scaler.mean.tolist() == model.scaler.mean.tolist()
    if has_float64():
        np.testing.assert_array_equal(loaded.encode(x), model.encode(x))


def test_a_scaler_says_where_float32_is_not_enough():
    with pytest.warns(UserWarning, match="fewer than 256 values .* of column 1: .*exported"):
        RangeScaling().adapt(close("seconds"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RangeScaling().adapt(X)
        RangeScaling().adapt(1000 + X[:, :2])


def test_other_rows_stay_float32():
    model = kerasae.stacked_autoencoder((3,), (2,), scaler=SCALERS["range"]())
    assert model._checked_rows(X.astype("float64"), "x").dtype == "float32"
