import keras
import numpy as np
import pandas as pd
import pytest
from keras import ops

from kerasae import (
    Autoencoder,
    GaussianCorruption,
    KLSparsityRegularizer,
    RangeScaling,
    stacked_autoencoder,
)


def make(scaler=None, width=64, **arguments):
    keras.utils.set_random_seed(0)
    return stacked_autoencoder((width,), (8,), scaler=scaler, **arguments)


@pytest.fixture
def x(digits):
    return digits[:320]


def weights(model):
    return [ops.convert_to_numpy(weight) for weight in model.trainable_weights]


def assert_same_weights(first, second):
    for one, other in zip(weights(first), weights(second), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def trained(x, *arguments, scaler=None, **keywords):
    model = make(scaler)
    model.fit(x, *arguments, **{"verbose": 0, "shuffle": False, **keywords})
    return model


def test_the_target_is_the_input_unless_another_is_given(x):
    alone = trained(x)
    assert_same_weights(alone, trained(x, x))
    assert_same_weights(alone, trained(x, sample_weight=np.ones(len(x))))
    other = trained(x, x[::-1])
    assert any((a != b).any() for a, b in zip(weights(alone), weights(other), strict=True))


@pytest.mark.tensorflow
def test_datasets_of_rows_and_of_pairs_train_as_arrays(x):
    import tensorflow as tf

    rows = tf.data.Dataset.from_tensor_slices(x).batch(32)
    pairs = tf.data.Dataset.from_tensor_slices((x, x)).batch(32)
    assert_same_weights(trained(x), trained(rows))
    assert_same_weights(trained(x), trained(pairs))
    model = trained(rows, validation_data=pairs)
    np.testing.assert_allclose(model.encode(rows), model.encode(x), atol=1e-6)
    assert model.reconstruction_error(rows).shape == (len(x),)


def test_every_way_to_validate_reports_the_same(x):
    histories = [
        make().fit(x, validation_data=data, verbose=0, shuffle=False).history["val_mse"]
        for data in (x[:40], (x[:40],), (x[:40], x[:40]), (x[:40], x[:40], np.ones(40)))
    ]
    assert all(history == pytest.approx(histories[0], rel=1e-6) for history in histories)


def test_sample_weights_weigh_loss_and_metric_whatever_the_target(x):
    weight = np.zeros(len(x))
    weight[::2] = 2.0
    model = make()
    got = model.evaluate(x, sample_weight=weight, verbose=0, return_dict=True)
    kept = model.reconstruction_error(x[::2]).mean()
    assert got["mse"] == pytest.approx(kept, rel=1e-5)
    assert got["loss"] == pytest.approx(kept, rel=1e-5)
    spoilt = x.copy()
    spoilt[1::2] = 5.0
    assert_same_weights(trained(x, sample_weight=weight), trained(spoilt, sample_weight=weight))


def test_loss_is_taken_on_the_scaled_values_and_answers_come_in_raw_units(x):
    raw = 1000 + 50 * x
    model = make(keras.layers.Rescaling(1 / 50, offset=-20))
    got = model.evaluate(raw, verbose=0, return_dict=True)
    scaled_error = np.square((model.predict(raw, verbose=0) - raw) / 50).mean()
    assert got["mse"] == pytest.approx(scaled_error, rel=1e-4)
    assert 900 < model.predict(raw, verbose=0).mean() < 1100
    plain = make()
    np.testing.assert_allclose(model.encode(raw), plain.encode(x), atol=1e-4)


def test_the_loss_contains_the_penalties_and_mse_does_not(x):
    model = make(bottleneck=KLSparsityRegularizer(-0.5, beta=1.0))
    got = model.evaluate(x, batch_size=len(x), verbose=0, return_dict=True)
    h = ops.convert_to_tensor(model.encode(x))
    penalty = ops.sum(model.encoder.layers[-1].divergence(h))
    assert got["loss"] - got["mse"] == pytest.approx(float(penalty), rel=1e-4)


def test_corruption_acts_on_inputs_in_training_and_never_on_targets(x):
    model = make(corruption=GaussianCorruption(5.0, seed=0))
    calm = model.evaluate(x, verbose=0, return_dict=True)["mse"]
    assert calm == pytest.approx(make().evaluate(x, verbose=0, return_dict=True)["mse"])
    model.compile(keras.optimizers.SGD(1e-12))
    noisy = model.fit(x, verbose=0).history["mse"][0]
    # The error against the corrupted input would hold the noise's variance, 25.
    assert calm < noisy < 5


def test_pixels_train_as_floats(x):
    pixels = np.round(16 * x).astype("uint8")
    scaler = keras.layers.Rescaling(1 / 16)
    assert_same_weights(trained(pixels, scaler=scaler), trained(x * 16, scaler=scaler))


@pytest.mark.parametrize("rows", [1, 5, 33])
def test_few_rows_and_short_batches_are_all_used(x, rows):
    model = make()
    history = model.fit(x[:rows], batch_size=32, verbose=0)
    assert history.params["steps"] == (rows + 31) // 32
    assert len(model.encode(x[:rows], batch_size=32)) == rows
    error = model.reconstruction_error(x[:rows]).mean()
    assert model.evaluate(x[:rows], verbose=0, return_dict=True)["mse"] == pytest.approx(
        error, rel=1e-5
    )


def test_a_row_of_zeros_has_a_finite_score():
    assert np.isfinite(make().reconstruction_error(np.zeros((1, 64)))).all()


def test_early_stopping_restores_the_best_weights(x):
    model = make()
    model.compile(keras.optimizers.Adam(0.01))
    stopping = keras.callbacks.EarlyStopping("val_mse", patience=2, restore_best_weights=True)
    # The rate is raised until the error rises: only then is there something to restore.
    rising = keras.callbacks.LearningRateScheduler(lambda epoch: 0.001 * 3**epoch)
    history = model.fit(
        x, validation_data=x[:80], epochs=20, callbacks=[rising, stopping], verbose=0
    ).history["val_mse"]
    assert len(history) < 20
    assert history[-1] > min(history)
    got = model.evaluate(x[:80], verbose=0, return_dict=True)["mse"]
    assert got == pytest.approx(min(history), rel=1e-5)


def test_is_built_compiled_and_saved_before_the_first_fit(x, tmp_path):
    model = make()
    assert model.built
    assert model.count_params() == 64 * 8 + 8 + 8 * 64 + 64
    model.summary(print_fn=lambda text: None)
    model.save(tmp_path / "new.keras")
    loaded = keras.saving.load_model(tmp_path / "new.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_a_loaded_model_keeps_its_compiled_state(x, tmp_path):
    model = make()
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), "mae", metrics=["mae"])
    model.fit(x, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(x, verbose=0, return_dict=True)
    )
    for one in (model, loaded):
        one.fit(x, verbose=0, shuffle=False)
    assert_same_weights(model, loaded)


def test_using_a_model_adds_nothing_to_what_is_saved(x, tmp_path):
    model = make()
    model.encode(x)
    model.reconstruction_error(x, per_feature=True)
    model.save(tmp_path / "used.keras")
    assert keras.saving.load_model(tmp_path / "used.keras").count_params() == model.count_params()


def test_default_compile_reports_mse(x):
    assert set(make().evaluate(x, verbose=0, return_dict=True)) == {"loss", "mse"}
    model = make()
    model.compile(metrics=["mae"])
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "mse", "mae"}


def test_a_data_frame_is_matched_by_the_names_of_its_columns(x):
    frame = pd.DataFrame(x, columns=[f"pixel {i}" for i in range(64)])
    model = make()
    model.fit(frame, verbose=0)
    assert model.columns == tuple(frame.columns)
    shuffled = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(model.encode(shuffled), model.encode(x))
    with pytest.warns(UserWarning, match="1 column that the model does not know.*label"):
        got = model.encode(frame.assign(label=1))
    np.testing.assert_array_equal(got, model.encode(x))
    with pytest.raises(ValueError, match="Received: no column 'pixel 3', 1 missing in all"):
        model.encode(frame.drop(columns="pixel 3"))


BAD_ROWS = {
    "nan": (lambda x: np.where(np.eye(len(x), 64) == 1, np.nan, x)[2:], "62 NaN.*row 0, column 2"),
    "infinite": (lambda x: x / np.float32(0 * x[0, 0]), "NaN or infinite"),
    "overflow": (lambda x: x * np.float32(1e20), "values in column 1 whose square overflows"),
    "too large": (lambda x: x.astype("float64") * 1e200, "overflows"),
    "no rows": (lambda x: x[:0], r"shape \(0, 64\)"),
    "one axis": (lambda x: x[0], r"at least one.*\(rows, 64\).*shape \(64,\)"),
    "width": (lambda x: x[:, :63], r"rows of shape \(64,\).*Received: .*\(63,\)"),
    "rank": (lambda x: x.reshape(-1, 8, 8), r"shape \(64,\).*Received: .*\(8, 8\)"),
    "ragged": (lambda x: [[1.0] * 64, [1.0] * 63], "different lengths"),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize(("spoil", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "encode", "reconstruction_error"])
def test_rows_that_cannot_be_used_are_refused(x, spoil, words, method):
    with pytest.raises(ValueError, match=words):
        getattr(make(), method)(spoil(x))


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("a", "Received: 'a' in column 0"),
        (1 + 2j, r"Received: \(1\+2j\) in column 0"),
        (None, "Received: None in column 0"),
    ],
)
def test_cells_that_are_not_numbers_are_refused(cells, words):
    with pytest.raises(TypeError, match=words):
        make().fit([[cells] * 64] * 3)
    with pytest.raises(TypeError, match=r"in column 'b'"):
        make(width=9).fit(pd.DataFrame({"a": [1.0, 2.0], "b": [cells, cells]}, dtype=object))


@pytest.mark.parametrize(
    "loss", ["binary_crossentropy", keras.losses.BinaryCrossentropy(name="binary_crossentropy")]
)
def test_cross_entropy_needs_values_from_0_to_1(x, loss):
    model = make(keras.layers.Rescaling(1 / 2), output_activation="sigmoid")
    model.compile(loss=loss)
    model.fit(2 * x, verbose=0)
    with pytest.raises(ValueError, match=r"x must be.*loss binary_crossentropy.*from 0 to 1.5"):
        model.fit(3 * x, verbose=0)


def test_large_values_are_fine_once_scaled(x):
    scaler = RangeScaling()
    scaler.adapt(x * np.float32(1e25))
    assert make(scaler).reconstruction_error(x * np.float32(1e25)).mean() < 10


def test_targets_and_validation_rows_are_looked_at_too(x):
    spoilt = x.copy()
    spoilt[3, 5] = np.nan
    for arguments in ({"y": spoilt}, {"validation_data": spoilt}, {"validation_data": (x, spoilt)}):
        with pytest.raises(ValueError, match="row 3, column 5"):
            make().fit(x, **arguments)


@pytest.mark.parametrize("value", [0, -1, 1.5, float("nan")])
def test_impossible_counts_are_refused(x, value):
    for arguments in ({"batch_size": value}, {"epochs": value}):
        with pytest.raises(ValueError, match="must be a whole number of at least 1. Received: "):
            make().fit(x, **arguments)
    with pytest.raises(ValueError, match="batch_size"):
        make().encode(x, batch_size=value)


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_impossible_learning_rates_are_refused(rate):
    with pytest.raises(ValueError, match="learning_rate must be a positive.*Received"):
        make().compile(keras.optimizers.Adam(rate))


def test_parts_that_do_not_fit_are_refused():
    encoder = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(5)])
    with pytest.raises(ValueError, match=r"\(6,\) in, \(5,\) out"):
        Autoencoder(encoder, decoder)
    with pytest.raises(ValueError, match="adapt"):
        make(RangeScaling())
