import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae import Autoencoder, anomaly, pretrain, stacked_autoencoder


def deep_sigmoid(**arguments):
    keras.utils.set_random_seed(0)
    model = stacked_autoencoder((64,), (48, 32, 24, 12), activation="sigmoid", **arguments)
    model.compile(adam())
    return model


def adam():
    return keras.optimizers.Adam(0.005)


def dense_pair(model, inner):
    """The outer or the inner pair of layers of a stack of two."""
    return model.encoder.layers[int(inner)], model.decoder.layers[1 - int(inner)]


@pytest.mark.slow
def test_a_pretrained_deep_stack_is_far_ahead_of_one_from_scratch(digits):
    x = digits[:1000]
    model, scratch = deep_sigmoid(), deep_sigmoid()
    initial = model.reconstruction_error(x).mean()
    pairs = pretrain(model, x, epochs=8, batch_size=32, optimizer=adam)
    assert [pair.encoder_layer for pair in pairs] == ["hidden_1", "hidden_2", "hidden_3", "codings"]
    assert all(pair.history["loss"][-1] < pair.history["loss"][0] for pair in pairs)
    pretrained = model.reconstruction_error(x).mean()
    scratch.fit(x, epochs=8, batch_size=32, verbose=0)
    assert pretrained < 0.5 * initial
    assert pretrained < 0.85 * scratch.reconstruction_error(x).mean()


def test_the_weights_are_those_of_the_small_models(digits, monkeypatch):
    small_models = []
    fit = Autoencoder.fit

    def watched(self, *args, **kwargs):
        small_models.append((self, args[0]))
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(Autoencoder, "fit", watched)
    x = digits[:300, digits[:300].std(axis=0) > 0][:, 20:40] * 7
    scaler = kerasae.RangeScaling()
    scaler.adapt(x)
    model = stacked_autoencoder((20,), (12, 5), scaler=scaler, activation="sigmoid")
    model.compile(loss="mae")
    before = [np.array(weight) for weight in model.get_weights()]
    pretrain(model, x, epochs=2)
    assert [small.loss for small, _ in small_models] == ["mae", "mse"]
    features = ops.convert_to_numpy(scaler(x))
    for inner, (small, trained_on) in enumerate(small_models):
        np.testing.assert_allclose(trained_on, features, rtol=1e-5, atol=1e-6)
        for layer in dense_pair(model, inner):
            half = small.encoder if layer in model.encoder.layers else small.decoder
            twin = half.get_layer(layer.name)
            assert twin.activation is layer.activation
            for one, other in zip(layer.get_weights(), twin.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)
        features = small.encode(features)
    assert all((old != new).any() for old, new in zip(before, model.get_weights(), strict=True))
    np.testing.assert_allclose(model.encode(x), features, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_tied_model_stays_tied(digits):
    model = stacked_autoencoder((64,), (32, 8), tied=True)
    initial = model.reconstruction_error(digits[:500]).mean()
    pretrain(model, digits[:500], epochs=10, batch_size=32, optimizer=adam)
    assert model.reconstruction_error(digits[:500]).mean() < 0.3 * initial
    assert len(model.trainable_variables) == 6
    for inner in (False, True):
        there, back = dense_pair(model, inner)
        np.testing.assert_array_equal(
            ops.convert_to_numpy(there.kernel).T, ops.convert_to_numpy(back.kernel)
        )
        assert np.abs(back.get_weights()[0]).max() > 0


@keras.saving.register_keras_serializable("test_pretraining")
class Watched(keras.layers.Layer):
    """Remembers the modes it was called in."""

    modes = []  # noqa: RUF012

    def call(self, inputs, training=False):
        Watched.modes.append((inputs.shape[-1], bool(training)))
        return inputs + 100.0 if training else inputs


def test_the_corruption_acts_in_training_only_and_on_every_pair(digits):
    Watched.modes.clear()
    model = stacked_autoencoder((64,), (32, 8), activation="sigmoid")
    pretrain(model, digits[:200], epochs=1, corruption=Watched())
    assert {(64, True), (64, False), (32, True)} <= set(Watched.modes)
    assert [layer.name for layer in model.encoder.layers] == ["hidden_1", "codings"]
    # What the second pair learned from is clean: a sigmoid of values around 100 would be flat.
    assert model.encode(digits[:200]).std(axis=0).max() > 0


def test_a_number_is_the_standard_deviation_of_noise(digits):
    errors = []
    for corruption in (None, 2.0, kerasae.GaussianCorruption(2.0), kerasae.SaltPepperDropout(0.2)):
        keras.utils.set_random_seed(0)
        model = stacked_autoencoder((64,), (16,))
        errors.append(
            pretrain(model, digits[:500], epochs=3, corruption=corruption)[0].history["loss"][-1]
        )
    clean, number, layer, masked = errors
    assert clean < masked < number
    assert number == pytest.approx(layer, rel=0.1)


@pytest.mark.slow
def test_extra_layers_are_skipped_and_their_weights_stay(digits):
    models = [
        kerasae.denoising_autoencoder((64,), (32, 8)),
        kerasae.denoising_autoencoder((64,), (32, 8), corruption=Watched()),
        kerasae.sparse_autoencoder((64,), (32, 8)),
        kerasae.k_sparse_autoencoder((64,), (32, 8), k=4),
        kerasae.adversarial_autoencoder((64,), (32, 8)),
        kerasae.winner_take_all_autoencoder((64,), (32, 8)),
        kerasae.contractive_autoencoder((64,), (32, 8)),
    ]
    for model in models:
        pairs = pretrain(model, digits[:100], epochs=1)
        assert [pair.encoder_layer for pair in pairs] == ["hidden_1", "codings"]


def test_progress_names_the_pairs(digits, capsys):
    model = stacked_autoencoder((64,), (32, 8))
    pretrain(model, digits[:50], epochs=1)
    assert not capsys.readouterr().out
    pretrain(model, digits[:50], epochs=1, verbose=2)
    printed = capsys.readouterr().out
    assert "pair 1 of 2: hidden_1 and output, 64-32-64" in printed
    assert "pair 2 of 2: codings and hidden_" in printed


def test_a_calibration_is_cleared(digits):
    model = stacked_autoencoder((64,), (8,))
    anomaly.calibrate(model, digits[:100])
    pretrain(model, digits[:100], epochs=1)
    assert not model.anomaly.fitted


def test_stacks_that_cannot_be_pretrained_are_refused(digits):
    conv = kerasae.convolutional_autoencoder((8, 8, 1), (4, 5))
    with pytest.raises(ValueError, match="dense layers.* Received: hidden_1, a Conv2D"):
        pretrain(conv, digits[:20])
    variational = kerasae.variational_autoencoder((64,), (16, 2))
    with pytest.raises(ValueError, match="Received: codings, a GaussianCodings, in the encoder"):
        pretrain(variational, digits[:20])
    dense = keras.layers.Dense
    encoder = keras.Sequential([keras.Input((64,)), dense(32), dense(8)])
    decoder = keras.Sequential([keras.Input((8,)), dense(16), dense(64)])
    with pytest.raises(ValueError, match=r"mirror .*\[64, 32, 8\] .* \[8, 16, 64\]"):
        pretrain(Autoencoder(encoder, decoder), digits[:20])
    scaled = keras.Sequential([keras.Input((64,)), dense(8), keras.layers.BatchNormalization()])
    decoder = keras.Sequential([keras.Input((8,)), dense(64)])
    with pytest.raises(ValueError, match="BatchNormalization"):
        pretrain(Autoencoder(scaled, decoder), digits[:20])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"epochs": 0}, ValueError, "epochs"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"corruption": -1.0}, ValueError, "stddev"),
        ({"corruption": "noise"}, TypeError, "corruption='noise'"),
        ({"optimizer": "adam"}, TypeError, "optimizer='adam'"),
    ],
)
def test_impossible_arguments_are_refused(digits, arguments, error, message):
    model = stacked_autoencoder((64,), (8,))
    with pytest.raises(error, match=message):
        pretrain(model, digits[:20], **arguments)


def test_rows_are_checked_and_a_diverged_pair_is_not_copied(digits):
    model = stacked_autoencoder((64,), (8,), activation="linear")
    bad = digits[:20].copy()
    bad[3, 5] = np.nan
    with pytest.raises(ValueError, match="first in row 3, column 5"):
        pretrain(model, bad)
    with pytest.raises(TypeError, match="x must be an array"):
        pretrain(model, iter([digits[:20]]))
    with pytest.raises(ValueError, match="NaN or infinite weights"):
        pretrain(model, digits * 1e9, epochs=20, optimizer=lambda: keras.optimizers.SGD(1e9))
    model._check_weights()
