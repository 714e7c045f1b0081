import keras
import numpy as np
import pytest
from keras import ops

from kerasae import Autoencoder, GaussianCodings
from kerasae.callbacks import PenaltyWarmup
from kerasae.layers import gaussian_kl


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def set_distribution(layer, mean, log_variance, inputs=1):
    """Makes the distribution the same for every row."""
    layer.build((None, inputs))
    for dense, value in (
        (layer.mean, mean),
        (layer.raw_log_variance, layer.bound * np.arctanh(np.divide(log_variance, layer.bound))),
    ):
        dense.kernel.assign(np.zeros((inputs, layer.units), "float32"))
        dense.bias.assign(np.broadcast_to(value, layer.units).astype("float32"))
    return layer


def variational(x, **arguments):
    """An autoencoder whose loss is squared error plus the divergence alone."""
    encoder = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(12, "tanh"),
            GaussianCodings(3, seed=1, name="codings", **arguments),
        ]
    )
    decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(x.shape[1])])
    return Autoencoder(encoder, decoder)


def mean_kl(model, x):
    codings = model.encoder.get_layer("codings")
    hidden = model.encoder.layers[0](x)
    return float(ops.mean(gaussian_kl(*codings.distribution(hidden))))


@pytest.mark.parametrize(("mean", "log_variance"), [(0, 0), (0.3, -1), (-2, 1.5), (1, -8)])
def test_divergence_is_the_integral(mean, log_variance):
    stddev = np.exp(log_variance / 2)
    h, step = np.linspace(mean - 12 * stddev, mean + 12 * stddev, 20001, retstep=True)
    log_q = -0.5 * ((h - mean) / stddev) ** 2 - np.log(stddev)
    density = np.exp(log_q) / np.sqrt(2 * np.pi)
    integral = step * np.sum(density * (log_q + 0.5 * h**2))
    got = gaussian_kl(np.full((2, 3), mean, "float32"), np.full((2, 3), log_variance, "float32"))
    np.testing.assert_allclose(numpy(got), [3 * integral] * 2, rtol=1e-5, atol=1e-7)


def test_divergence_is_accurate_and_not_negative_near_the_prior():
    v = np.geomspace(1e-5, 1e-2, 200)
    log_variance = np.concatenate([v, -v]).astype("float32")[:, None]
    truth = 0.5 * (np.expm1(log_variance.astype("float64")) - log_variance.astype("float64"))[:, 0]
    got = numpy(gaussian_kl(np.zeros_like(log_variance), log_variance))
    assert (got >= 0).all()
    # exp(v) - 1 - v is wrong by 3e-8 whatever v is: 1000 times the smallest of these.
    assert (np.abs(got - truth) <= 2e-7 * np.abs(log_variance[:, 0])).all()
    np.testing.assert_allclose(got, truth, rtol=0.02)


def test_the_mean_is_the_answer_at_inference():
    layer = GaussianCodings(4, seed=0)
    x = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
    got = numpy(layer(x))
    np.testing.assert_allclose(got, numpy(layer.distribution(x)[0]))
    np.testing.assert_allclose(
        got, x @ numpy(layer.mean.kernel) + numpy(layer.mean.bias), atol=1e-5
    )
    np.testing.assert_array_equal(numpy(layer(x)), got)


def test_draws_in_training_have_the_mean_and_deviation_of_the_row():
    mean, log_variance = np.array([0.5, -2.0]), np.array([-1.0, 2.0])
    layer = set_distribution(GaussianCodings(2, seed=0), mean, log_variance)
    drawn = numpy(layer(np.ones((40_000, 1), "float32"), training=True))
    deviation = np.exp(log_variance / 2)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02 * deviation.max())
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.02)
    normalized = (drawn - mean) / deviation
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.02
    np.testing.assert_allclose((np.abs(normalized) < 1).mean(axis=0), 0.6827, atol=0.01)


@pytest.mark.parametrize("value", [-300.0, -30.0, 30.0, 300.0])
def test_log_variance_is_bounded(value):
    layer = set_distribution(GaussianCodings(2, bound=4.0, seed=0), 0, 0)
    layer.raw_log_variance.bias.assign(np.full(2, value, "float32"))
    log_variance = numpy(layer.distribution(np.ones((1, 1)))[1])
    assert (np.abs(log_variance) <= 4).all()
    assert (np.sign(log_variance) == np.sign(value)).all()
    assert np.isfinite(numpy(layer(np.ones((1, 1)), training=True))).all()


@pytest.mark.parametrize("value", [-30.0, -8.0, 0.0, 8.0, 30.0])
def test_the_gradient_of_the_log_variance_is_alive(gradient, value):
    layer = set_distribution(GaussianCodings(1, seed=0), 0, 0)
    layer.raw_log_variance.kernel.assign([[1.0]])
    slope = gradient(lambda x: ops.sum(layer.distribution(x)[1]), np.full((1, 1), value, "float32"))
    np.testing.assert_allclose(slope, 1 - np.tanh(value / 10) ** 2, rtol=1e-3)
    assert slope > 0


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("beta", [0.0, 0.3, 4.0])
def test_the_added_loss_is_beta_times_the_mean_divergence(beta, training):
    layer = GaussianCodings(4, beta=beta, seed=0)
    x = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    layer(x, training=training)
    (loss,) = layer.losses
    expected = numpy(gaussian_kl(*layer.distribution(x))).mean()
    assert expected > 0
    assert float(loss) == pytest.approx(beta * expected, rel=1e-6)


def test_without_beta_nothing_pulls_towards_the_prior(gradient):
    layer = GaussianCodings(2, beta=0, seed=0)

    def loss(x):
        layer(x)
        return layer.losses[0]

    assert not gradient(loss, np.ones((3, 4), "float32")).any()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"beta": -0.1}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": float("inf")}, "beta"),
        ({"bound": 0}, "bound"),
        ({"bound": float("nan")}, "bound"),
        ({"bound": float("inf")}, "bound"),
    ],
)
def test_impossible_arguments_are_refused(arguments, word):
    with pytest.raises(ValueError, match=f"{word} must be finite.*Received: {word}="):
        GaussianCodings(2, **arguments)


def test_a_seed_gives_a_stream_of_different_draws_that_repeats():
    x = np.ones((20, 1), "float32")
    first, again, other = (
        set_distribution(GaussianCodings(3, seed=seed), 0, 0) for seed in (5, 5, 6)
    )
    one, two = (numpy(first(x, training=True)) for _ in range(2))
    assert (one != two).any()
    np.testing.assert_array_equal(numpy(again(x, training=True)), one)
    np.testing.assert_array_equal(numpy(again(x, training=True)), two)
    assert (numpy(other(x, training=True)) != one).any()


def test_a_saved_layer_goes_on_where_it_was(tmp_path):
    x = np.ones((8, 4), "float32")
    model = keras.Sequential([keras.Input((4,)), GaussianCodings(3, beta=0.7, bound=3.0)])
    model.layers[0].beta.assign(0.2)
    model(x, training=True)
    model.save(tmp_path / "codings.keras")
    expected = numpy(model(x, training=True))
    loaded = keras.saving.load_model(tmp_path / "codings.keras")
    np.testing.assert_array_equal(numpy(loaded(x, training=True)), expected)
    layer = loaded.layers[0]
    assert (layer.get_config()["beta"], layer.bound) == (0.7, 3.0)
    assert float(layer.beta) == pytest.approx(0.2)


def test_warmup_raises_beta_and_restores_it(digits):
    model = variational(digits, beta=0.5)
    model.compile(keras.optimizers.SGD(1e-12), "mse")
    codings = model.encoder.get_layer("codings")
    betas = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: betas.append(float(codings.beta))
    )
    model.fit(digits[:64], epochs=4, verbose=0, callbacks=[PenaltyWarmup(2), watch])
    assert betas == [0, 0.25, 0.5, 0.5]
    assert float(codings.beta) == 0.5


def test_the_metric_is_the_mean_divergence(digits):
    x = digits[:256]
    model = variational(x, beta=0.1)
    model.compile(keras.optimizers.SGD(1e-12), "mse")
    # The validation must not leave its mark on the metric of training.
    history = model.fit(x, batch_size=32, epochs=2, validation_data=x[:32] * 0, verbose=0).history
    expected = mean_kl(model, x)
    np.testing.assert_allclose(history["kl_divergence"], expected, rtol=1e-4)
    assert {name for name in history if "kl" in name} == {"kl_divergence"}
    # Of the loss, the divergence is what is not the squared error.
    np.testing.assert_allclose(
        np.subtract(history["loss"], history["mse"]), 0.1 * expected, rtol=1e-3
    )


def test_evaluation_is_at_the_mean_and_contains_the_divergence(digits):
    x = digits[:100]
    model = variational(x, beta=2.0)
    model.compile(loss="mse")
    got = model.evaluate(x, verbose=0, return_dict=True)
    assert set(got) == {"loss", "mse"}
    assert got["mse"] == pytest.approx(np.square(model.reconstruct(x) - x).mean(), rel=1e-5)
    assert got["loss"] - got["mse"] == pytest.approx(2 * mean_kl(model, x), rel=1e-4)


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_works_in_float32_under_a_mixed_policy(half):
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        layer = GaussianCodings(3, seed=0)
        x = ops.cast(np.full((4, 5), 30.0), half)
        for training in (True, False):
            codings = layer(x, training=training)
            assert keras.backend.standardize_dtype(codings.dtype) == "float32"
            assert np.isfinite(numpy(codings)).all()
            assert np.isfinite(float(layer.losses[0]))
        assert {weight.dtype for weight in layer.trainable_weights} == {"float32"}
    finally:
        keras.config.set_dtype_policy("float32")
