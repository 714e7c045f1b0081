import keras
import numpy as np
import pytest
from keras import ops

from kerasae.layers import RangeScaling
from kerasae.layers.scaling import check_scaler, scale, unscale

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
