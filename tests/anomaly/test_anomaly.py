import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import kstest, uniform
from sklearn.covariance import ledoit_wolf

from kerasae import RangeScaling, anomaly, load_model, stacked_autoencoder, supervised_from
from kerasae.anomaly import AnomalyCalibration


def draw(n):
    """Rows that lie near a plane of three dimensions in ten, always the same plane."""
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(3, 10))
    return (rng.normal(size=(n, 3)) @ plane + 0.3 * rng.normal(size=(n, 10))).astype("float32")


@pytest.fixture
def rows():
    return draw(6000)


@pytest.fixture(scope="module")
def trained():
    rows = draw(6000)[:1000]
    scaler = RangeScaling()
    scaler.adapt(rows)
    model = stacked_autoencoder((10,), (3,), scaler=scaler)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(rows, epochs=20, verbose=0)
    return model


@pytest.fixture
def model(trained):
    """Each test has it as it was trained."""
    weights = trained.get_weights()
    yield trained
    trained.set_weights(weights)


def test_the_parts_of_a_score(model, rows):
    anomaly.calibrate(model, rows[1000:2000])
    got = anomaly.score(model, rows[2000:2100])
    errors = model.reconstruction_error(rows[2000:2100], per_feature=True)
    np.testing.assert_allclose(got.feature_errors, errors, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(got.reconstruction_error, errors.mean(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(got.anomaly_score, got.reconstruction_error)
    np.testing.assert_array_equal(got.is_anomaly, got.anomaly_score > model.anomaly.threshold)
    assert got.is_anomaly.dtype == bool
    again = anomaly.score(model, rows[2000:2100])
    assert all((one == other).all() for one, other in zip(got[:5], again[:5], strict=True))


@pytest.mark.parametrize("guard", [0.0, 1.0])
def test_p_values_of_new_normal_rows_are_uniform(model, rows, guard):
    anomaly.calibrate(model, rows[1000:4000], guard=guard)
    p = anomaly.score(model, rows[4000:]).p_value
    assert kstest(p, uniform.cdf).pvalue > 0.01
    assert p.min() > 0
    assert p.max() <= 1


def test_the_p_value_is_the_conformal_one():
    layer = AnomalyCalibration()
    normal = np.array([3.0, 1.0, 2.0, 2.0])
    layer.fit(normal, 2.5)
    scores = np.array([[0.5], [1.0], [1.5], [2.0], [3.0], [3.5]], "float32")
    got = ops.convert_to_numpy(layer(scores, np.zeros((6, 1)))["p_value"])
    expected = [(1 + (normal >= score).sum()) / 5 for score in scores[:, 0]]
    np.testing.assert_allclose(got, expected)


def test_thresholds_are_what_they_say(model, rows):
    normal = rows[1000:2000]
    errors = model.reconstruction_error(normal)
    assert anomaly.calibrate(model, normal, "p90") == pytest.approx(np.percentile(errors, 90))
    assert anomaly.score(model, normal).is_anomaly.mean() == pytest.approx(0.1)
    cutoff = errors.mean(dtype="float64") + 2.5 * errors.std(dtype="float64")
    assert anomaly.calibrate(model, normal, "2.5sd") == pytest.approx(cutoff, rel=1e-5)
    # So many that 0.4 of 0.01 is four standard deviations.
    many = draw(40_000)
    for alpha in (0.01, "0.05", 0.2):
        anomaly.calibrate(model, many[:20_000], alpha)
        got = anomaly.score(model, many[20_000:])
        np.testing.assert_array_equal(got.is_anomaly, got.p_value <= float(alpha) + 1e-6)
        assert got.is_anomaly.mean() == pytest.approx(float(alpha), rel=0.4)


@pytest.mark.parametrize("threshold", ["p0", "p100", "p", "99", "0", 0, 1, -0.1, "sd", "3 sigma"])
def test_thresholds_that_cannot_be_read_are_refused(model, rows, threshold):
    with pytest.raises(ValueError, match="threshold must be a percentile p99.*Try p99"):
        anomaly.calibrate(model, rows, threshold)


def test_a_small_tail_needs_enough_rows(model, rows):
    with pytest.raises(ValueError, match="at least 99 normal rows .* Received: 98 rows"):
        anomaly.calibrate(model, rows[:98], 0.01)
    anomaly.calibrate(model, rows[:99], 0.01)


def test_the_guard_adds_the_mahalanobis_distance_of_the_codings(model, rows):
    normal, new = rows[1000:2000], rows[2000:2050]
    anomaly.calibrate(model, normal, guard=2.0)
    codings, inside = model.encode(new).astype("float64"), model.encode(normal).astype("float64")
    away = codings - inside.mean(axis=0)
    covariance, shrinkage = ledoit_wolf(inside)
    assert shrinkage < 0.1
    squared = np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away)
    ratio = model.reconstruction_error(new) / model.reconstruction_error(normal).mean()
    np.testing.assert_allclose(
        anomaly.score(model, new).anomaly_score, ratio + 2 * squared / 3, rtol=1e-3
    )


def test_the_guard_sees_what_is_far_and_well_reconstructed():
    rng = np.random.default_rng(0)
    line = np.array([[1.0, 2.0, -1.0]])
    x = (rng.normal(size=(2000, 1)) @ line + 0.1 * rng.normal(size=(2000, 3))).astype("float32")
    model = stacked_autoencoder((3,), (1,), activation="linear")
    model.compile(keras.optimizers.Adam(0.03))
    model.fit(x[:1000], epochs=20, verbose=0)
    far = 8 * line
    found = []
    for guard in (0.0, 1.0):
        anomaly.calibrate(model, x[1000:], "p99", guard=guard)
        found.append(anomaly.score(model, far).is_anomaly[0])
    assert found == [False, True]


def test_a_calibration_is_saved_with_the_model_and_ends_with_training(model, rows, tmp_path):
    anomaly.calibrate(model, rows[1000:2000], "3sd", guard=0.5)
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    for one, other in zip(
        anomaly.score(model, rows[:50]), anomaly.score(loaded, rows[:50]), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    anomaly.calibrate(loaded, rows[1000:2000], "p50")
    assert 0.3 < anomaly.score(loaded, rows[2000:]).is_anomaly.mean() < 0.7
    loaded.fit(rows[:100], verbose=0)
    with pytest.raises(ValueError, match="must be calibrated .*without a threshold"):
        anomaly.score(loaded, rows[:50])


def test_a_broken_model_scores_nothing(model, rows):
    anomaly.calibrate(model, rows[1000:2000])
    model.encoder.layers[0].bias.assign(np.full(3, np.nan))
    for method in (model.reconstruction_error, model.encode, model.predict):
        with pytest.raises(ValueError, match="NaN or infinite weights"):
            method(rows[:5])
    with pytest.raises(ValueError, match="NaN or infinite weights"):
        anomaly.score(model, rows[:5])


@pytest.mark.parametrize("scaler", [RangeScaling, keras.layers.Normalization])
def test_trimming_keeps_outliers_out_of_the_new_model(rows, scaler):
    x = rows[:1000].copy()
    outliers = np.arange(0, 1000, 10)
    # All on one line outside of the plane, which a coding can be spent on.
    x[outliers] = np.random.default_rng(1).normal(size=(100, 1)) * 8 + 8
    scaler = scaler()
    scaler.adapt(x)
    model = stacked_autoencoder((10,), (2,), scaler=scaler, activation="linear")
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=2, verbose=0)
    before = [np.array(weight) for weight in model.get_weights()]
    trimmed = anomaly.trim_and_refit(model, x, quantile=0.8, epochs=10, verbose=0)
    assert trimmed.kept.mean() == pytest.approx(0.8, abs=0.001)
    np.testing.assert_array_equal(trimmed.kept, trimmed.errors <= trimmed.cutoff)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert trimmed.model is not model
    assert trimmed.model.optimizer.learning_rate == 0.01
    # The first scaler, of all rows, and not of those that are left.
    mean = ops.convert_to_numpy(trimmed.model.scaler.mean).ravel()
    np.testing.assert_array_equal(mean, ops.convert_to_numpy(model.scaler.mean).ravel())
    assert trimmed.model.scaler is not model.scaler


@pytest.mark.parametrize("shape", [(10,), ()])
def test_a_scaler_that_was_given_its_numbers_stays_as_it_is(rows, shape, tmp_path):
    """bug_20: it cannot be adapted. Copies and files keep it, too."""
    mean, variance = np.full(shape, 0.5, "float32"), np.full(shape, 2.0, "float32")
    scaler = keras.layers.Normalization(mean=mean, variance=variance)
    model = stacked_autoencoder((10,), (3,), scaler=scaler)
    model.fit(rows[:200], verbose=0)
    trimmed = anomaly.trim_and_refit(model, rows[:200], verbose=0).model
    model.save(tmp_path / "model.keras")
    network = supervised_from(model, keras.layers.Identity())
    for other in (trimmed, load_model(tmp_path / "model.keras"), network):
        for name, value in (("mean", 0.5), ("variance", 2.0)):
            got = ops.convert_to_numpy(getattr(other.scaler, name))
            np.testing.assert_array_equal(got, np.full_like(got, value))
    np.testing.assert_allclose(
        network.predict(rows[:9], verbose=0), model.encode(rows[:9]), atol=1e-6
    )


@pytest.mark.parametrize("make", [lambda x: (r for r in [x]), lambda x: iter([x])])
def test_rows_to_trim_must_be_in_memory(model, rows, make):
    with pytest.raises(TypeError, match="x must be an array"):
        anomaly.trim_and_refit(model, make(rows[:200]))


def test_the_second_model_is_trained_as_fit_would(model, rows, capsys):
    epochs = []
    watching = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.append(sorted(logs))
    )
    anomaly.trim_and_refit(
        model, rows[:200], epochs=2, validation_data=rows[200:300], callbacks=[watching], verbose=0
    )
    assert epochs == [["loss", "mse", "val_loss", "val_mse"]] * 2
    assert not capsys.readouterr().out
    # By default one epoch of batches of 32, with a progress bar.
    alone = anomaly.trim_and_refit(model, rows[:200])
    assert "5/5" in capsys.readouterr().out
    assert (alone.model.history.params["epochs"], alone.model.history.params["steps"]) == (1, 5)
    with pytest.raises(TypeError, match="unexpected keyword argument 'epoch'"):
        anomaly.trim_and_refit(model, rows[:200], epoch=2)


@pytest.mark.parametrize("arguments", [{"epochs": 0}, {"batch_size": 0}])
def test_impossible_counts_are_refused(model, rows, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be a whole number"):
        anomaly.trim_and_refit(model, rows[:200], **arguments)


def test_the_guard_names_the_package_that_it_needs(model, rows, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    anomaly.calibrate(model, rows[1000:2000])
    with pytest.raises(ModuleNotFoundError, match="sklearn must be installed for the guard. Try"):
        anomaly.calibrate(model, rows[1000:2000], guard=1.0)


@pytest.mark.parametrize("quantile", [0, 1, -0.5, float("nan")])
def test_impossible_quantiles_are_refused(model, rows, quantile):
    with pytest.raises(ValueError, match="quantile"):
        anomaly.trim_and_refit(model, rows, quantile)


@pytest.mark.parametrize("guard", [-1, float("nan"), float("inf")])
def test_impossible_guards_are_refused(model, rows, guard):
    with pytest.raises(ValueError, match="guard"):
        anomaly.calibrate(model, rows, guard=guard)


@pytest.mark.tensorflow
def test_the_export_scores_as_the_model(model, rows, tmp_path):
    import tensorflow as tf

    from kerasae import export_saved_model

    anomaly.calibrate(model, rows[1000:2000], 0.05, guard=1.0)
    signatures = tf.saved_model.load(str(export_saved_model(model, tmp_path))).signatures
    expected = anomaly.score(model, rows[2000:2100])._asdict()
    del expected["worst"]  # which is only of `top`
    for batch in (100, 1):
        got = signatures["anomaly_score"](rows=tf.constant(rows[2000 : 2000 + batch]))
        assert set(got) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value[:batch], rtol=1e-5, atol=1e-6)
