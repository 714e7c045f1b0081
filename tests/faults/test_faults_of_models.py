"""The cases of wrong options, broken training and state, by their number."""

import json
import threading

import keras
import numpy as np
import pytest

import kerasae
from kerasae import anomaly
from kerasae.callbacks import StabilityGuard
from kerasae.layers import KLSparsityRegularizer


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--hidden 0", "whole numbers of at least 1"),
        ("--hidden 2.5", "whole numbers of at least 1"),
        ("--activation tahn", "activation='tahn'. Try tanh"),
        ("--model staked", "model='staked'. Try stacked"),
    ],
)
def test_case_16_units_and_names(mistake, options, said):
    assert said in mistake("train", "digits", *options.split())
    assert "Received: data set='digts'. Try digits" in mistake("train", "digts")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--rho 1 --activation sigmoid", "rho must lie strictly inside"),
        ("--rho 2", "rho must lie strictly inside"),
        ("--activation relu", "one of tanh"),
        ("--activation linear", "one of tanh"),
    ],
)
def test_case_17_rho_outside_the_activation(mistake, options, said):
    assert said in mistake("train", "digits", "--model", "sparse", "--hidden", 8, *options.split())


def test_case_18_beta():
    for beta in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="beta must be finite and at least 0"):
            KLSparsityRegularizer(rho=0.1, beta=beta)
    layer = KLSparsityRegularizer(rho=0.1, beta=0.0)
    layer(keras.ops.ones((4, 3)) * 0.7)
    assert float(sum(layer.losses)) == 0


@pytest.mark.parametrize("value", [0, -1, "nan", 0.5])
@pytest.mark.parametrize("option", ["--epochs", "--batch-size", "--learning-rate"])
def test_case_19_counts_and_rates(kerasae, option, value):
    if (option, value) == ("--learning-rate", 0.5):
        return  # a rate
    status, _, err = kerasae("train", "digits", "--hidden", 4, option, value)
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_case_20_nothing_stops_the_identity():
    with pytest.warns(UserWarning, match="learning the identity; add a corruption or a sparse"):
        kerasae.stacked_autoencoder((3,), (3,))
    with pytest.warns(UserWarning, match="learning the identity"):
        kerasae.sparse_autoencoder((3,), (4,), beta=0.0)


def test_case_21_rates_and_deviations():
    for rate in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\]"):
            kerasae.SaltPepperDropout(rate)
    for stddev in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="stddev must be finite"):
            kerasae.GaussianCorruption(stddev)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "bce", keras.losses.BinaryCrossentropy()])
def test_case_22_cross_entropy_outside_0_to_1(frame, loss):
    made = kerasae.stacked_autoencoder((3,), (2,))
    made.compile("adam", loss)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        made.fit(frame.to_numpy(), verbose=0)


def test_case_23_a_training_that_breaks(model, frame, tmp_path):
    model.compile(keras.optimizers.SGD(1e9))
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"training must stay stable. Received: .* \(epoch 1.*Try"):
        model.fit(frame, epochs=3, verbose=0, callbacks=[StabilityGuard()])
    for weight, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, wanted)
    broken = [np.full_like(weight, np.nan) for weight in before]
    model.set_weights(broken)
    for use in (
        lambda: kerasae.export_saved_model(model, tmp_path / "m"),
        lambda: anomaly.calibrate(model, frame),
        lambda: model.reconstruction_error(frame),
    ):
        with pytest.raises(ValueError, match="finite"):
            use()
    assert not list(tmp_path.rglob("*.pb"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_case_24_units_that_are_always_off_or_on(gradient, dtype, value):
    layer = KLSparsityRegularizer(rho=0.1, beta=1.0, activation_range=(0, 1))

    def penalty(codings):
        layer(codings)
        return layer.losses[0]

    codings = keras.ops.full((4, 2), value, dtype)
    slope = gradient(penalty, codings)
    assert np.isfinite(float(penalty(codings)))
    assert np.isfinite(slope).all()
    assert (np.sign(slope) == np.sign(value - 0.1)).all()


def test_case_48_threads_do_not_change_each_other(model, frame):
    x = frame.to_numpy("float32")
    expected = model.encode(x)
    found, errors = [], []

    def use():
        try:
            found.extend(model.encode(x) for _ in range(20))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(found) == 80
    for codings in found:
        np.testing.assert_array_equal(codings, expected)


def test_case_48_a_thread_uses_a_model_that_another_trains(digits):
    def weights(used):
        keras.utils.set_random_seed(0)
        made = kerasae.stacked_autoencoder(64, (10,))
        made.compile()
        made.fit(digits, verbose=0)
        ended, errors = threading.Event(), []

        def use():
            try:
                while not ended.is_set():
                    made.encode(digits[:300])
                    made.reconstruct(digits[:300])
                    made(digits[:3])
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=use) for _ in range(2 * used)]
        for thread in threads:
            thread.start()
        made.fit(digits, epochs=5, verbose=0)
        ended.set()
        for thread in threads:
            thread.join()
        assert errors == []
        return made.get_weights()

    for alone, beside in zip(weights(False), weights(True), strict=True):
        np.testing.assert_array_equal(alone, beside)


@pytest.mark.tensorflow
def test_case_50_a_training_that_ends_worse_than_the_mean(
    kerasae, mistake, frame, tmp_path, monkeypatch
):
    frame.to_csv("rows.csv", index=False)
    train = ("train", "rows.csv", "--hidden", 2, "--epochs", 1)
    for rate in (3, 1e10):
        err = mistake(*train, "--learning-rate", rate)
        assert "training must" in err
        assert "Try a learning rate of" in err
        assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]
    # A short one is better than the mean, or says what it wants.
    assert kerasae(*train, "--scaler", "none")[0] == 0
    np.save("images.npy", np.random.default_rng(0).uniform(size=(40, 8, 8)))
    short = ("train", "images.npy", "--model", "convolutional", "--hidden", "2-1-2", "--epochs", 1)
    monkeypatch.setattr("kerasae.models.recipes.start_at_mean", lambda *_: None)
    err = mistake(*short, "--learning-rate", 1e-6, "--name", "short")
    assert "training must end better than predicting the mean of each column" in err
    assert "Try more epochs (--epochs), allow_short (--allow-short), or a learning rate" in err
    assert not list(tmp_path.glob("saved_models/*short*"))
    status, _, err = kerasae(*short, "--learning-rate", 1e-6, "--name", "short", "--allow-short")
    assert (status, err) == (0, "")


CHANGES = {
    "fit": lambda model, x: model.fit(x, epochs=1, verbose=0),
    "set_weights": lambda model, x: model.set_weights([w + 0.1 for w in model.get_weights()]),
    "assign": lambda model, x: model.encoder.layers[0].bias.assign(np.ones(2)),
    "train_on_batch": lambda model, x: model.train_on_batch(x),
    "adapt": lambda model, x: model.scaler.adapt(2 * x),
}


@pytest.mark.parametrize("change", CHANGES)
def test_case_49_what_was_calculated_follows_the_weights(model, frame, change):
    before = model.encode(frame)
    CHANGES[change](model, frame)
    assert not np.array_equal(model.encode(frame), before)
    with pytest.raises(ValueError, match="calibrat"):
        anomaly.score(model, frame)


@pytest.mark.tensorflow
def test_case_58_vectors_and_texts_in_the_history(model, frame, tmp_path):
    model.history = keras.callbacks.History()
    model.history.epoch = [0]
    model.history.history = {"loss": [0.5], "each": [np.array([0.5, 1.5])], "note": ["best"]}
    folder = kerasae.export_saved_model(model, tmp_path / "m")
    metrics = json.loads((folder / "manifest.json").read_text())["metrics"]
    assert metrics == {"loss": 0.5, "each": [0.5, 1.5], "note": "best"}
    assert kerasae.verify(folder) > 0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_case_59_half_precision(frame, policy):
    keras.config.set_dtype_policy(policy)
    try:
        scaler = kerasae.RangeScaling()
        scaler.adapt(frame)
        made = kerasae.stacked_autoencoder((3,), (2,), scaler=scaler)
    finally:
        keras.config.set_dtype_policy("float32")
    losses = made.fit(frame, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert made.reconstruct(frame).dtype == "float32"


@pytest.mark.parametrize("options", ["--hidden 99999999999", "--hidden 1" + "0" * 300])
def test_case_62_widths_beyond_memory(mistake, options):
    assert "fits into the memory" in mistake("train", "digits", *options.split())


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "option", ["--epochs", "--batch-size", "--count"], ids=lambda option: option[2:]
)
def test_case_62_counts_beyond_sense(kerasae, saved, option):
    line = ("generate", saved / "m", "-o", "x.csv") if option == "--count" else ("train", "digits")
    status, out, err = kerasae(*line, option, "1" + "0" * 400)
    assert status == 2
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
