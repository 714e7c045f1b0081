import keras
import numpy as np
import pytest
from keras import ops

from kerasae import AdversarialPrior, Autoencoder, adversarial_autoencoder
from kerasae.layers import GaussianPrior, MixturePrior, SwissRollPrior


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def codings(rows=6, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 2)).astype("float32")


def make(beta=1.0, prior=None, seed=7, units=(5, 4)):
    layer = AdversarialPrior(prior or GaussianPrior(2), units, beta, seed=seed)
    layer.build((None, 2))
    for dense in layer.discriminator:
        dense.bias.assign(np.linspace(-1, 1, dense.units).astype("float32"))
    return layer


def probability(layer, h):
    """D of codings, in float64."""
    h = h.astype("float64")
    for dense in layer.discriminator:
        h = h @ numpy(dense.kernel) + numpy(dense.bias)
        if dense is not layer.discriminator[-1]:
            h = np.where(h > 0, h, 0.2 * h)
    return 1 / (1 + np.exp(-h[:, 0]))


def draws(layer, rows, seed=7):
    """What a layer made with that seed draws first."""
    noise = keras.random.uniform(
        (rows, layer.prior.uniforms), seed=keras.random.SeedGenerator(seed)
    )
    return numpy(layer.prior(noise))


def term(layer, which):
    """One of the two losses, as a function of the codings that depends on them in any case."""

    def loss(h):
        layer(h, training=True)
        return layer.losses[which] + 0 * ops.sum(h)

    return loss


@pytest.mark.parametrize("beta", [0.0, 0.3, 2.0])
@pytest.mark.parametrize("prior", [GaussianPrior(2), MixturePrior(), SwissRollPrior()])
def test_the_two_losses_are_the_formula(beta, prior):
    layer, h = make(beta, prior), codings()
    layer(h, training=True)
    of_discriminator, of_encoder = map(float, layer.losses)
    real, coded = probability(layer, draws(layer, len(h))), probability(layer, h)
    expected = -np.log(real).mean() - np.log(1 - coded).mean()
    assert of_discriminator == pytest.approx(expected, rel=1e-4)
    assert of_encoder == pytest.approx(-beta * np.log(coded).mean(), rel=1e-4)
    assert float(layer._batch[0]) == pytest.approx(expected, rel=1e-4)
    right = np.concatenate([real > 0.5, coded < 0.5])
    assert float(layer._batch[1]) == pytest.approx(right.mean())


def test_losses_of_a_discriminator_that_cannot_tell_are_log_2_and_twice_that():
    layer = make(beta=0.5)
    layer.discriminator[-1].kernel.assign(np.zeros((4, 1)))
    layer.discriminator[-1].bias.assign(np.zeros(1))
    layer(codings(), training=True)
    np.testing.assert_allclose(list(map(float, layer.losses)), [2 * np.log(2), 0.5 * np.log(2)])


def test_losses_stay_finite_where_the_discriminator_is_certain(gradient):
    layer = make()
    layer.discriminator[-1].bias.assign([-1e4])
    h = codings()
    slope = gradient(term(layer, 1), h)
    layer(h, training=True)
    assert np.isfinite(list(map(float, layer.losses))).all()
    assert np.isfinite(slope).all()
    # The encoder's term does not saturate: that is why it is not log(1 - D).
    assert slope.any()


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_to_the_codings_are_of_the_encoders_term_alone(which, gradient):
    layer, h = make(beta=0.7), codings()
    slope = gradient(term(layer, which), h)
    if which == 0:
        assert not slope.any()
        return
    step = 1e-5
    for i, j in np.ndindex(h.shape):
        moved = np.repeat(h[None], 2, axis=0).astype("float64")
        moved[:, i, j] += (step, -step)
        up, down = (-0.7 * np.log(probability(layer, one)).mean() for one in moved)
        assert slope[i, j] == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-6)


def weight_gradients(layer, which, h):
    """Of one of the two losses, for each weight of the discriminator."""
    weights = layer.trainable_variables

    def loss():
        layer(h, training=True)
        return layer.losses[which]

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        return [
            np.zeros(w.shape) if g is None else g.numpy()
            for w, g in zip(weights, tape.gradient(value, [w.value for w in weights]), strict=True)
        ]
    import jax

    others = [v.value for v in layer.non_trainable_variables]

    def stateless(values):
        _, _, losses = layer.stateless_call(values, others, h, training=True, return_losses=True)
        return losses[which]

    return [np.asarray(g) for g in jax.grad(stateless)([w.value for w in weights])]


def test_gradients_to_the_discriminator_are_of_its_own_term_alone():
    layer, h = make(), codings()
    assert len(layer.trainable_variables) == 6
    assert all(g.any() for g in weight_gradients(layer, 0, h))
    assert not any(g.any() for g in weight_gradients(layer, 1, h))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("training", [True, False])
def test_codings_pass_through(training, dtype):
    layer = make()
    h = ops.cast(codings(), dtype)
    got = layer(h, training=training)
    assert keras.backend.standardize_dtype(got.dtype) == dtype
    np.testing.assert_array_equal(numpy(ops.cast(got, "float32")), numpy(ops.cast(h, "float32")))
    assert len(layer.losses) == (2 if training else 0)
    assert all(keras.backend.standardize_dtype(loss.dtype) == "float32" for loss in layer.losses)


@pytest.mark.parametrize("shape", [(None, 3), (None, 1), (None, 4, 2), (None, 2, 2, 1)])
def test_another_number_of_codings_is_refused(shape):
    with pytest.raises(ValueError, match="codings must be .batch, 2., as many.*Received"):
        AdversarialPrior(GaussianPrior(2)).build(shape)


@pytest.mark.parametrize("beta", [-1, float("nan"), float("inf")])
def test_an_impossible_beta_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be finite.*Received: beta="):
        AdversarialPrior(GaussianPrior(2), beta=beta)


@pytest.mark.parametrize(
    "prior", [GaussianPrior(2, 0.5), MixturePrior([[1.0, 2.0]]), SwissRollPrior()]
)
def test_the_same_layer_after_a_round_trip(prior):
    layer = AdversarialPrior(prior, (6, 3), beta=0.2, seed=4, name="adversary")
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again.prior.sample(3, seed=0), prior.sample(3, seed=0))
    for one in (layer, again):
        one.build((None, 2))
    assert [w.shape for w in again.weights] == [w.shape for w in layer.weights]


def test_a_saved_layer_goes_on_where_it_was(tmp_path):
    h = codings()
    model = keras.Sequential([keras.Input((2,)), AdversarialPrior(MixturePrior(), (5,))])
    model(h, training=True)
    model.save(tmp_path / "adversary.keras")
    loaded = keras.saving.load_model(tmp_path / "adversary.keras")
    losses = []
    for one in (model, loaded):
        one(h, training=True)
        losses.append(list(map(float, one.losses)))
    assert losses[0] == losses[1]


def test_metrics_are_the_means_over_the_batches_of_training(digits):
    x = digits[:128]
    model = adversarial_autoencoder(64, 2, beta=0.0, seed=0)
    model.compile(keras.optimizers.SGD(1e-12))
    history = model.fit(x, epochs=1, validation_data=x, verbose=0).history
    assert set(history) == {
        *("loss", "mse", "discriminator_loss", "discriminator_accuracy", "val_loss", "val_mse")
    }
    assert set(model.evaluate(x, verbose=0, return_dict=True)) == {"loss", "mse"}
    total = history["mse"][0] + history["discriminator_loss"][0]
    assert history["loss"][0] == pytest.approx(total, rel=1e-4)
    layer = model.encoder.get_layer("adversary")
    real = probability(layer, layer.prior.sample(4000, seed=0))
    coded = probability(layer, model.encode(x))
    expected = -np.log(real).mean() - np.log(1 - coded).mean()
    assert history["discriminator_loss"][0] == pytest.approx(expected, abs=0.1)
    accuracy = ((real > 0.5).mean() + (coded < 0.5).mean()) / 2
    assert history["discriminator_accuracy"][0] == pytest.approx(accuracy, abs=0.1)


@pytest.mark.slow
def test_fit_moves_the_codings_towards_the_prior():
    x = np.random.default_rng(0).uniform((2, -1), (6, 1), (1000, 2)).astype("float32")
    encoder = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(2),
            AdversarialPrior(GaussianPrior(2), (32, 32), beta=1.0, seed=0),
        ]
    )
    decoder = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(32, "relu"), keras.layers.Dense(2)]
    )
    model = Autoencoder(encoder, decoder)
    model.compile(keras.optimizers.Adam(0.004, beta_1=0.5))
    before = model.encode(x)
    history = model.fit(x, batch_size=200, epochs=60, verbose=0).history
    after = model.encode(x)

    def distance(h):
        """From the moments of the standard normal distribution."""
        return np.abs(h.mean(axis=0)).max() + np.abs(np.cov(h.T) - np.eye(2)).max()

    assert distance(after) < 0.5 < distance(before)
    assert history["discriminator_accuracy"][-1] == pytest.approx(0.5, abs=0.1)
    assert history["discriminator_loss"][-1] == pytest.approx(2 * np.log(2), abs=0.15)
    assert history["mse"][-1] < 0.3
