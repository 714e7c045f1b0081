import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, uniform

from kerasae import RangeScaling, anomaly, load_model, stacked_autoencoder
from kerasae.layers.rolling import Rolling, follow_rows
from kerasae.tables import Schema, TableEncoder

PLANE = np.random.default_rng(0).normal(size=(2, 5))


def draw(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 2)) @ PLANE + 0.2 * rng.normal(size=(n, 5))
    return (rows + shift).astype("float32")


def made(rows):
    keras.utils.set_random_seed(0)
    scaler = keras.layers.Normalization()
    scaler.adapt(rows)
    model = stacked_autoencoder((5,), (4, 2), scaler=scaler, codings_activation="linear")
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.parametrize("kind", ["given", "adapted", "range", "table"])
def test_statistics_are_those_of_all_rows(kind):
    x = draw(300, 1) * 10 + 5
    x = x.astype("float64")
    if kind == "table":
        x[::7, 1] = np.nan
        scaler = TableEncoder(Schema.infer(pd.DataFrame(x)), "standard")
        scaler.adapt(pd.DataFrame(x[:100]))
        first = Rolling(100, scaler.mean.astype("float64"), np.square(scaler.spread, dtype=float))
    elif kind == "range":
        scaler = RangeScaling()
        scaler.adapt(x[:100])
        first = Rolling(100, scaler.mean, scaler.range)
    else:
        mean, variance = x[:100].mean(axis=0), x[:100].var(axis=0)
        scaler = keras.layers.Normalization()
        if kind == "given":
            scaler = keras.layers.Normalization(mean=mean, variance=variance)
            scaler.build((None, 5))
        else:
            scaler.adapt(x[:100])
        first = Rolling(100, mean, variance)
    found = first
    for rows in (x[100:150], x[150:300]):
        found = follow_rows(scaler, rows, found, memory=np.inf)
    assert found.rows == 300
    np.testing.assert_allclose(found.mean[0], x[:, 0].mean(), rtol=1e-5)
    if kind == "range":
        wanted = np.ptp(x, axis=0)
        # Of the first rows only mean and range are known, not where they ended.
        assert ((found.spread <= wanted + 1e-9) & (found.spread >= np.ptp(x[150:], axis=0))).all()
    else:
        np.testing.assert_allclose(found.spread[0], np.nanvar(x[:, 0]), rtol=1e-5)
    mean = np.ravel(keras.ops.convert_to_numpy(scaler.mean))
    np.testing.assert_allclose(mean[:2], found.mean[:2], atol=0.1 * np.nanstd(x))


def test_weights_count_as_copies():
    x, weight = draw(40, 2).astype("float64"), np.arange(40) % 3 + 1.0
    first, found = Rolling(10, np.zeros(5), np.ones(5)), []
    copies = np.repeat(x, weight.astype(int), axis=0)
    for rows, one in ((x, weight), (copies, None)):
        scaler = keras.layers.Normalization(mean=np.zeros(5), variance=np.ones(5))
        scaler.build((None, 5))
        found.append(follow_rows(scaler, rows, first, memory=np.inf, weight=one))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_a_scaler_that_hardly_moves_stays():
    x = draw(2000, 3)
    scaler = RangeScaling()
    scaler.adapt(x)
    mean = scaler.mean.copy()
    found = follow_rows(scaler, x[:100], None, memory=100_000)
    np.testing.assert_array_equal(scaler.mean, mean)
    assert np.abs(found.mean - mean).max() > 0
    follow_rows(scaler, x[:100] + 100, found, memory=100)
    assert (scaler.mean > mean + 40).all()
    assert follow_rows(keras.layers.Rescaling(1 / 255), x, None, memory=10) is None


@pytest.fixture(scope="module")
def moved():
    """A model of rows that move away, followed in six parts."""
    model = made(draw(200, 4))
    logs = [
        anomaly.partial_fit(model, draw(500, 10 + i, 3.0 * i), epochs=4, memory=500, window=800)
        for i in range(6)
    ]
    return model, logs


def test_a_model_follows_rows_that_move(moved):
    model, logs = moved
    assert logs[-1]["mse"][-1] < 0.5 * logs[0]["mse"][0]
    p = anomaly.score(model, draw(2000, 99, 15.0)).p_value
    # The window holds about 100 rows of each part; those of before are scored by today's weights.
    assert len(model.anomaly.window) > 400
    assert p.mean() > 0.3
    assert (anomaly.score(model, draw(300, 98)).p_value < 0.05).mean() < 0.9


def test_p_values_of_new_rows_are_uniform():
    model = made(draw(200, 4))
    for i in range(3):
        anomaly.partial_fit(model, draw(1500, 20 + i), epochs=2, held_out=0.5, window=2000)
    p = anomaly.score(model, draw(1000, 30)).p_value
    assert kstest(p, uniform.cdf).pvalue > 0.01
    assert len(model.anomaly.window) == 2000
    assert not anomaly.drift(model, draw(500, 31)).is_drift


def test_a_saved_model_goes_on_as_without_saving(moved, tmp_path):
    model, _ = moved
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    rows = draw(200, 40, 16.0)
    for one in (model, loaded):
        anomaly.partial_fit(one, rows, memory=500, window=800)
    np.testing.assert_allclose(loaded.encode(rows), model.encode(rows), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(loaded.anomaly.window, model.anomaly.window)
    assert loaded.anomaly.threshold == pytest.approx(model.anomaly.threshold, rel=1e-3)
    for one, other in zip(loaded._rolling, model._rolling, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_single_rows_are_taken_too():
    model = made(draw(200, 4))
    anomaly.partial_fit(model, draw(1, 5), normal=draw(50, 6), held_out=0.0)
    assert len(model.anomaly.window) == 50
    assert anomaly.partial_fit(model, draw(1, 7), held_out=0.999) == {}
    assert len(model.anomaly.window) == 51


def test_names_are_learnt_and_kept():
    scaler = RangeScaling()
    scaler.adapt(draw(100, 1))
    model = stacked_autoencoder((5,), (2,), scaler=scaler)
    names = list("abcde")
    anomaly.partial_fit(model, pd.DataFrame(draw(100, 2), columns=names))
    assert model.columns == tuple(names)
    mixed = pd.DataFrame(draw(100, 3), columns=names)[names[::-1]]
    anomaly.partial_fit(model, mixed)
    with pytest.raises(ValueError, match="column"):
        anomaly.partial_fit(model, mixed.drop(columns="a"))


def test_what_cannot_be_is_refused():
    model = made(draw(100, 4))
    for name, value in (("epochs", 0), ("held_out", 1), ("window", 0), ("memory", 0)):
        with pytest.raises(ValueError, match=f"{name} must"):
            anomaly.partial_fit(model, draw(10, 1), **{name: value})
    with pytest.raises(TypeError, match="x must be "):
        anomaly.partial_fit(model, iter([draw(10, 1)]))
    with pytest.raises(ValueError, match="must be compiled"):
        anomaly.partial_fit(type(model)(model.encoder, model.decoder), draw(10, 1))
