"""What was computed from weights or a scaler ends when these change: cases 48 and 49."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae import anomaly, methods

X = np.random.default_rng(0).normal(size=(200, 6)).astype("float32")


def adapted(kind, x=X):
    scaler = kind()
    scaler.adapt(x)
    return scaler


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((6,), (4, 2), scaler=adapted(kerasae.RangeScaling))
    anomaly.calibrate(made, X)
    anomaly.score(made, X)
    return made


@pytest.fixture
def other(tmp_path):
    keras.utils.set_random_seed(1)
    made = kerasae.stacked_autoencoder((6,), (4, 2), scaler=adapted(kerasae.RangeScaling))
    made.save_weights(tmp_path / "other.weights.h5")
    return made


def epoch_of_ones_own(m):
    """A training loop that calls nothing of the model but its layers."""
    for weight in m.trainable_weights:
        weight.assign(ops.convert_to_numpy(weight) * 0.9)


CHANGES = {
    "fit": lambda m, o, path: m.fit(X, verbose=0),
    "train_on_batch": lambda m, o, path: m.train_on_batch(X),
    "set_weights": lambda m, o, path: m.set_weights(o.get_weights()),
    "load_weights": lambda m, o, path: m.load_weights(path / "other.weights.h5"),
    "encoder.set_weights": lambda m, o, path: m.encoder.set_weights(o.encoder.get_weights()),
    "layer.set_weights": lambda m, o, path: m.decoder.layers[-1].set_weights(
        o.decoder.layers[-1].get_weights()
    ),
    "assign": lambda m, o, path: m.encoder.layers[0].bias.assign([1.0] * 4),
    "a loop of one's own": lambda m, o, path: epoch_of_ones_own(m),
    "adapt": lambda m, o, path: m.scaler.adapt(3 * X + 1),
    "scaler.load_own_variables": lambda m, o, path: m.scaler.load_own_variables(
        {"mean": np.ones(6), "range": np.ones(6)}
    ),
    "pretrain": lambda m, o, path: methods.pretrain(m, X, epochs=1),
    "robust": lambda m, o, path: methods.robust_decomposition(m, X, penalty=1.0, rounds=1),
}


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("change", CHANGES)
def test_a_calibration_ends_when_the_model_changes(model, other, tmp_path, change):
    assert model._is_calibrated()
    CHANGES[change](model, other, tmp_path)
    with pytest.raises(ValueError, match="must be calibrated"):
        anomaly.score(model, X)
    assert not model.anomaly.fitted
    assert "anomaly_score" not in model._endpoints
    anomaly.calibrate(model, X, "p90")
    assert anomaly.score(model, X).is_anomaly.mean() == pytest.approx(0.1)


KEEPS = {
    "encode": lambda m, path: m.encode(X),
    "predict": lambda m, path: m.predict(X, verbose=0),
    "predict_on_batch": lambda m, path: m.predict_on_batch(X),
    "evaluate": lambda m, path: m.evaluate(X, verbose=0),
    "test_on_batch": lambda m, path: m.test_on_batch(X),
    "compile": lambda m, path: m.compile(),
    "get_weights": lambda m, path: m.set_weights(m.get_weights()) or anomaly.calibrate(m, X),
    "save": lambda m, path: m.save(path / "model.keras"),
    "deep features": lambda m, path: kerasae.deep_features(m, X, "hidden_1"),
    "trim": lambda m, path: anomaly.trim_and_refit(m, X, verbose=0),
    "supervised": lambda m, path: kerasae.supervised_from(m, keras.layers.Dense(1)),
}


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("use", KEEPS)
def test_a_calibration_stays_while_the_model_does(model, tmp_path, use):
    KEEPS[use](model, tmp_path)
    assert anomaly.score(model, X).is_anomaly.mean() == pytest.approx(0.01)


def test_a_saved_calibration_ends_with_changed_weights_too(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(anomaly.score(loaded, X).p_value, anomaly.score(model, X).p_value)
    loaded = kerasae.load_model(tmp_path / "model.keras")
    loaded.encoder.layers[0].bias.assign([1.0] * 4)  # before the first use
    with pytest.raises(ValueError, match="must be calibrated"):
        anomaly.score(loaded, X)
    model.encoder.layers[0].bias.assign([1.0] * 4)
    model.save(tmp_path / "changed.keras")  # with the calibration of before
    with pytest.raises(ValueError, match="must be calibrated"):
        anomaly.score(kerasae.load_model(tmp_path / "changed.keras"), X)


@pytest.mark.tensorflow
def test_nothing_of_before_is_exported(model, tmp_path):
    import tensorflow as tf

    model.encoder.layers[0].bias.assign([1.0] * 4)
    folder = kerasae.export_saved_model(model, tmp_path / "model")
    assert "anomaly_score" not in tf.saved_model.load(str(folder)).signatures


def test_a_calibration_set_by_hand_is_what_scores(model):
    model.anomaly.fit(np.arange(10.0), threshold=1e9)
    assert not anomaly.score(model, 100 * X).is_anomaly.any()
    model.anomaly.fit(np.arange(10.0), threshold=-1.0)
    assert anomaly.score(model, X).is_anomaly.all()


USES = {
    "predict": lambda m: m.predict(X, verbose=0),
    "predict in steps": lambda m: m.predict(X, steps=1, batch_size=200, verbose=0),
    "predict_on_batch": lambda m: m.predict_on_batch(X),
    "encode": lambda m: m.encode(X),
    "reconstruct": lambda m: m.reconstruct(X),
    "decode": lambda m: m.decode(np.zeros((3, 2))),
    "reconstruction_error": lambda m: m.reconstruction_error(X),
    "evaluate": lambda m: m.evaluate(X, verbose=0),
    "test_on_batch": lambda m: m.test_on_batch(X),
    "deep features": lambda m: kerasae.deep_features(m, X, "hidden_1"),
    "train_on_batch": lambda m: m.train_on_batch(X)[1],
    "fit": lambda m: m.fit(X, batch_size=200, verbose=0).history["mse"],
}


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("scaler", [kerasae.RangeScaling, keras.layers.Normalization])
@pytest.mark.parametrize("use", USES)
def test_functions_compiled_with_another_scaler_are_made_anew(use, scaler):
    def made(x):
        keras.utils.set_random_seed(0)
        model = kerasae.stacked_autoencoder((6,), (4, 2), scaler=adapted(scaler, x))
        model.compile(keras.optimizers.SGD(1e-9))
        return model

    changed = made(X)
    before = np.array(USES[use](changed))
    changed.scaler.adapt(3 * X + 1)
    after = USES[use](changed)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, USES[use](made(3 * X + 1)), rtol=1e-4, atol=1e-5)


def test_weights_of_a_normalization_are_its_scaler():
    """Keras's layer goes on with the numbers of before until it is saved and loaded."""
    one, other = (
        kerasae.stacked_autoencoder((6,), (2,), scaler=adapted(keras.layers.Normalization, x))
        for x in (X, 3 * X + 1)
    )
    one.predict(X, verbose=0)
    one.set_weights(other.get_weights())
    np.testing.assert_allclose(one.predict(X, verbose=0), other.predict(X, verbose=0), atol=1e-5)
    np.testing.assert_allclose(one.encode(X), other.encode(X), atol=1e-5)


@pytest.mark.tensorflow
def test_a_callback_may_bring_weights_in_a_fit_on_a_dataset(other, tmp_path):
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((6,), (4, 2), scaler=adapted(kerasae.RangeScaling, 2 * X))
    rows = tf.data.Dataset.from_tensor_slices(X).batch(50)
    load = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: made.load_weights(tmp_path / "other.weights.h5")
    )
    history = made.fit(rows, epochs=3, verbose=0, callbacks=[load]).history["loss"]
    assert len(history) == 3
    np.testing.assert_allclose(made.scaler.range, other.scaler.range)


def test_checkpoints_of_batches_are_of_the_batches_in_their_names(tmp_path):
    """bug_16: what counts batches is called for each."""
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    path = str(tmp_path / "{epoch}-{batch}.keras")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_freq=3)
    made.fit(X, batch_size=32, epochs=2, verbose=0, callbacks=[checkpoint])
    names = sorted(path.stem for path in tmp_path.iterdir())
    assert names == ["1-3", "1-6", "2-2", "2-5"]
