import functools

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    BernoulliLikelihood,
    GaussianLikelihood,
    stacked_autoencoder,
    variational_autoencoder,
)
from kerasae.models.losses import needs_unit_interval


def crossentropy(x, p):
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=tuple(range(1, x.ndim)))


def pair(*shape):
    draw = np.random.default_rng(0)
    return draw.random(shape).astype("float32"), draw.uniform(0.01, 0.99, shape).astype("float32")


@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 2, 1)])
def test_bernoulli_is_the_summed_crossentropy_of_a_row(shape):
    x, p = pair(*shape)
    expected = crossentropy(x.astype("float64"), p.astype("float64"))
    np.testing.assert_allclose(BernoulliLikelihood().call(x, p), expected, rtol=1e-5)
    assert float(BernoulliLikelihood()(x, p)) == pytest.approx(expected.mean(), rel=1e-5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(BernoulliLikelihood().terms(x, p)).reshape(len(x), -1).sum(axis=1),
        expected,
        rtol=1e-5,
    )


def test_bernoulli_of_certain_answers_is_finite_and_near_0_where_right():
    x = np.array([[0.0, 1.0]], "float32")
    assert float(BernoulliLikelihood()(x, x)) == pytest.approx(0, abs=1e-6)
    assert 20 < float(BernoulliLikelihood()(x, 1 - x)) < 40


@pytest.mark.parametrize("logit", [-20.0, -17.0, -15.0, -5.0, 5.0, 15.0])
def test_a_certain_mistake_can_be_unlearned(gradient, logit):
    """The gradient to the logit must not die where the sigmoid is far on the wrong side."""
    wrong = np.full((1, 1), float(logit < 0), "float32")
    slope = gradient(
        lambda z: BernoulliLikelihood()(wrong, ops.sigmoid(z)), np.full((1, 1), logit, "float32")
    )
    assert slope * np.sign(logit) > 0.01
    if abs(logit) < 10:
        assert slope == pytest.approx(1 / (1 + np.exp(-logit)) - wrong, rel=1e-3)


@pytest.mark.parametrize("stddev", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 2, 1)])
def test_gaussian_is_the_log_density(stddev, shape):
    x, mean = (part.astype("float64") for part in pair(*shape))
    density = np.exp(-0.5 * ((x - mean) / stddev) ** 2) / np.sqrt(2 * np.pi * stddev**2)
    expected = -np.log(density).reshape(len(x), -1).sum(axis=1)
    got = GaussianLikelihood(stddev).call(x.astype("float32"), mean.astype("float32"))
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    got = GaussianLikelihood(stddev)(x.astype("float32"), mean.astype("float32"))
    assert float(got) == pytest.approx(expected.mean(), rel=1e-4)


def test_gaussian_integrates_to_one():
    x, step = np.linspace(-3, 5, 4001, retstep=True)
    terms = GaussianLikelihood(0.4).terms(x.astype("float32"), np.ones(4001, "float32"))
    assert step * np.exp(-ops.convert_to_numpy(terms)).sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("loss", [BernoulliLikelihood(), GaussianLikelihood(0.3)])
def test_sample_weights_weigh_rows(loss):
    x, p = pair(4, 6)
    weights = np.array([0.0, 1.0, 2.0, 5.0], "float32")
    expected = (ops.convert_to_numpy(loss.call(x, p)) * weights).sum() / 4
    assert float(loss(x, p, sample_weight=weights)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
@pytest.mark.parametrize("loss", [BernoulliLikelihood(), GaussianLikelihood(0.01)])
def test_half_precision_is_summed_in_float32(loss, half):
    x, p = (ops.cast(part, half) for part in pair(3, 3000))
    got = ops.convert_to_numpy(loss.call(x, p))
    expected = ops.convert_to_numpy(loss.call(*(ops.cast(part, "float32") for part in (x, p))))
    np.testing.assert_array_equal(got, expected)
    assert np.isfinite(got).all()


@pytest.mark.parametrize("stddev", [0, -1, float("nan"), float("inf")])
def test_an_impossible_deviation_is_refused(stddev):
    with pytest.raises(ValueError, match="stddev must be finite and above 0. Received: stddev="):
        GaussianLikelihood(stddev)
    with pytest.raises(ValueError, match="stddev"):
        variational_autoencoder(8, 2, likelihood="gaussian", stddev=stddev)


def test_the_same_loss_after_a_round_trip():
    for loss in (BernoulliLikelihood(name="mine"), GaussianLikelihood(0.3)):
        config = keras.saving.serialize_keras_object(loss)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(loss)
        assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_values_that_are_no_probabilities_are_refused(digits, value):
    model = variational_autoencoder(64, (20, 2))
    x = digits[:8].copy()
    x[3, 5] = value
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"must be scaled to \[0, 1\] for the loss bernoulli"):
            use(x, verbose=0)
    with pytest.raises(ValueError, match="validation_data"):
        model.fit(digits[:8], validation_data=x, verbose=0)
    scaled = variational_autoencoder(64, 2, scaler=keras.layers.Rescaling(1 / 4, 1 / 4))
    for other in (scaled, variational_autoencoder(64, 2, likelihood="gaussian")):
        np.testing.assert_array_equal(other._checked_rows(x, "x"), x)


def likelihood_of(model, x):
    """What the loss must be: the likelihood at the mean, and the divergence as the layer has it."""
    model.encoder(x)
    (divergence,) = model.encoder.losses
    return crossentropy(x, model.reconstruct(x).astype("float64")).mean() + float(divergence)


def test_another_optimizer_keeps_the_likelihood(digits):
    x = digits[:64]
    model = variational_autoencoder(64, (20, 2))
    assert model.evaluate(x, verbose=0, return_dict=True)["loss"] == pytest.approx(
        likelihood_of(model, x), rel=1e-4
    )
    model.compile(keras.optimizers.SGD(0.01))
    assert isinstance(model.loss, BernoulliLikelihood)
    assert model.evaluate(x, verbose=0, return_dict=True)["loss"] == pytest.approx(
        likelihood_of(model, x), rel=1e-4
    )
    model.compile(loss="mse")
    assert model.evaluate(x, verbose=0, return_dict=True)["loss"] < 5


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_saved_model_keeps_its_likelihood(digits, likelihood, tmp_path):
    x = digits[:64]
    model = variational_autoencoder(64, (20, 2), likelihood=likelihood, stddev=0.3)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=1, verbose=0)
    model.save(tmp_path / "vae.keras")
    loaded = keras.saving.load_model(tmp_path / "vae.keras")
    assert type(loaded._default_loss) is type(model._default_loss)
    assert loaded._default_loss.get_config() == model._default_loss.get_config()
    assert loaded.evaluate(x, verbose=0) == model.evaluate(x, verbose=0)
    loaded.compile()
    assert type(loaded.loss) is type(model._default_loss)


def test_a_name_serves_as_the_loss_too(digits, tmp_path):
    model = stacked_autoencoder(64, 6, loss="mae")
    model.save(tmp_path / "mae.keras")
    loaded = keras.saving.load_model(tmp_path / "mae.keras")
    assert loaded._default_loss == "mae"
    x = digits[:20]
    expected = np.abs(loaded.reconstruct(x) - x).mean()
    assert loaded.evaluate(x, verbose=0, return_dict=True)["loss"] == pytest.approx(expected)


# Losses of probabilities ------------------------------------------------------------------------

OF_PROBABILITIES = {
    "bce": "bce",
    "BCE": "BCE",
    "binary_crossentropy": "binary_crossentropy",
    "BinaryCrossentropy": "BinaryCrossentropy",
    "function": keras.losses.binary_crossentropy,
    "object": keras.losses.BinaryCrossentropy(),
    "of another name": keras.losses.BinaryCrossentropy(name="loss_of_pixels"),
    "of logits": keras.losses.BinaryCrossentropy(from_logits=True, name="logits"),
    "partial": functools.partial(keras.losses.binary_crossentropy, label_smoothing=0.1),
    "focal": "binary_focal_crossentropy",
    "focal object": keras.losses.BinaryFocalCrossentropy(name="f"),
    "categorical": "categorical_crossentropy",
    "kld": "kld",
    "KLDivergence": keras.losses.KLDivergence(),
    "bernoulli": BernoulliLikelihood(),
    "bernoulli of another name": BernoulliLikelihood(name="nll"),
    "in a list": ["bce"],
}
OF_ANY = {
    "mse": "mse",
    "mae": keras.losses.MeanAbsoluteError(name="not_a_crossentropy"),
    "gaussian": GaussianLikelihood(0.1),
    "huber": "huber",
    "own": lambda y, p: ops.mean(ops.square(y - p), axis=-1),
}


def compiled(loss):
    model = stacked_autoencoder((6,), (4,), output_activation="sigmoid")
    model.compile(loss=loss)
    return model


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("name", OF_PROBABILITIES)
def test_a_cross_entropy_by_any_name_wants_values_from_0_to_1(name):
    """Case 22."""
    model, x = compiled(OF_PROBABILITIES[name]), pair(50, 6)[0]
    model.fit(x, verbose=0)
    calls = [
        lambda bad: model.fit(bad, verbose=0),
        lambda bad: model.fit(x, bad, verbose=0),
        lambda bad: model.fit(x, validation_data=bad, verbose=0),
        lambda bad: model.evaluate(bad, verbose=0),
        model.train_on_batch,
        model.test_on_batch,
    ]
    for call in calls:
        for bad in (x - 0.5, 3 * x):
            with pytest.raises(ValueError, match=r"must be scaled to \[0, 1\] for the loss .*Try"):
                call(bad)


@pytest.mark.parametrize("name", OF_ANY)
def test_other_losses_take_any_values(name):
    model = compiled(OF_ANY[name])
    assert not needs_unit_interval(model.loss)
    model.fit(3 * pair(50, 6)[0] - 1, verbose=0)


def test_a_scaler_may_bring_values_there():
    x = 255 * pair(50, 6)[0]
    model = stacked_autoencoder(
        (6,), (4,), output_activation="sigmoid", loss="bce", scaler=keras.layers.Rescaling(1 / 255)
    )
    model.fit(np.append(x, np.full((1, 6), 255), axis=0), verbose=0)
    with pytest.raises(ValueError, match="loss bce"):
        model.fit(x + 20, verbose=0)
