import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    Autoencoder,
    RangeScaling,
    adversarial_autoencoder,
    convolutional_autoencoder,
    evidence_lower_bound,
    interpolate,
    log_likelihood,
    stacked_autoencoder,
    variational_autoencoder,
)
from kerasae.methods import parzen_log_likelihood

COLUMNS, CODINGS, NOISE = 5, 2, 0.4


@pytest.fixture(scope="module")
def vae(digits):
    """Half trained, so that posterior and prior differ."""
    keras.utils.set_random_seed(0)
    model = variational_autoencoder(64, (24, 3), seed=0)
    model.compile(keras.optimizers.Adam(0.005))
    model.fit(digits[:512], epochs=4, verbose=0)
    return model


class Linear:
    """A variational autoencoder that is probabilistic PCA: every density is known."""

    def __init__(self, **arguments):
        draw = np.random.default_rng(3)
        basis = np.linalg.qr(draw.normal(size=(COLUMNS, CODINGS)))[0]
        # Orthogonal columns: the posterior is diagonal, as the model's is.
        self.kernel = basis * (1.5, 0.7)
        self.offset = draw.normal(size=COLUMNS)
        self.x = (
            draw.normal(size=(20, CODINGS)) @ self.kernel.T
            + self.offset
            + NOISE * draw.normal(size=(20, COLUMNS))
        )
        precision = np.diag(self.kernel.T @ self.kernel) / NOISE**2 + 1
        self.model = variational_autoencoder(
            COLUMNS, CODINGS, likelihood="gaussian", stddev=NOISE, **arguments
        )
        codings, output = self.model.encoder.layers[0], self.model.decoder.layers[0]
        to_mean = self.kernel / NOISE**2 / precision
        codings.mean.set_weights([to_mean, -self.offset @ to_mean])
        raw = codings.bound * np.arctanh(-np.log(precision) / codings.bound)
        codings.raw_log_variance.set_weights([np.zeros((COLUMNS, CODINGS)), raw])
        output.set_weights([self.kernel.T, self.offset])
        self.codings = codings

    def log_density(self):
        covariance = self.kernel @ self.kernel.T + NOISE**2 * np.eye(COLUMNS)
        away = self.x - self.offset
        distance = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away)
        return -0.5 * (distance + np.linalg.slogdet(2 * np.pi * covariance)[1])

    def spoil(self):
        """Makes the posterior wrong: too wide, and beside the point."""
        self.codings.mean.bias.assign_add([0.3, -0.2])
        self.codings.raw_log_variance.bias.assign_add([0.8, 0.5])


def test_with_the_exact_posterior_every_estimate_is_the_log_likelihood():
    linear = Linear()
    truth = linear.log_density()
    # All weights are equal: a single draw is enough.
    for samples in (1, 20):
        got = log_likelihood(linear.model, linear.x, samples=samples)
        np.testing.assert_allclose(got, truth, atol=2e-4)
    bound = evidence_lower_bound(linear.model, linear.x, samples=4000)
    np.testing.assert_allclose(bound, truth, atol=0.1)
    assert (bound - truth).mean() == pytest.approx(0, abs=0.02)


def test_with_a_wrong_posterior_the_estimate_is_right_and_the_bound_below():
    linear = Linear()
    linear.spoil()
    truth = linear.log_density()
    got = log_likelihood(linear.model, linear.x, samples=4000)
    np.testing.assert_allclose(got, truth, atol=0.1)
    bound = evidence_lower_bound(linear.model, linear.x, samples=4000)
    assert (bound < truth - 0.1).all()
    # The gap is the divergence of the posterior from the exact one, the same for every row.
    mean, log_variance = (
        ops.convert_to_numpy(part).astype("float64")
        for part in linear.codings.distribution(linear.x)
    )
    variance = 1 / (np.diag(linear.kernel.T @ linear.kernel) / NOISE**2 + 1)
    exact = (linear.x - linear.offset) @ linear.kernel / NOISE**2 * variance
    ratio = np.exp(log_variance) / variance
    gap = 0.5 * (ratio - 1 - np.log(ratio) + (mean - exact) ** 2 / variance).sum(axis=1)
    np.testing.assert_allclose(truth - bound, gap, atol=0.15)
    assert (truth - bound - gap).mean() == pytest.approx(0, abs=0.03)


def test_the_likelihood_is_of_the_scaled_values():
    linear = Linear()
    scaled = Linear(scaler=keras.layers.Rescaling(1 / 10, -2.0))
    raw = (linear.x + 2.0) * 10
    np.testing.assert_allclose(
        log_likelihood(scaled.model, raw, samples=3), linear.log_density(), atol=1e-3
    )


def test_the_bound_is_below_the_estimate_which_rises_with_the_draws(vae, digits):
    x = digits[600:700]
    means = [evidence_lower_bound(vae, x, samples=20).mean()]
    means += [log_likelihood(vae, x, samples=samples).mean() for samples in (5, 50)]
    assert means[0] < means[1] < means[2] < 0
    assert means[2] - means[1] < means[1] - means[0]
    # With one draw the estimate is the bound with the divergence drawn as well.
    one = np.mean([log_likelihood(vae, x, samples=1, seed=seed).mean() for seed in range(8)])
    assert one == pytest.approx(means[0], abs=0.3)


def test_the_bound_without_variance_is_the_loss_of_evaluate(digits):
    x = digits[:50]
    model = variational_autoencoder(64, (24, 3), beta=1.0)
    raw = model.encoder.get_layer("codings").raw_log_variance
    raw.set_weights([np.zeros((24, 3)), np.full(3, -30.0)])
    got = evidence_lower_bound(model, x, samples=3)
    expected = model.evaluate(x, verbose=0, return_dict=True)["loss"]
    assert -got.mean() == pytest.approx(expected, rel=1e-3)


def test_the_bound_does_not_know_beta(digits):
    bounds = []
    for beta in (0.0, 1.0, 4.0):
        keras.utils.set_random_seed(0)
        model = variational_autoencoder(64, (24, 3), beta=beta)
        bounds.append(evidence_lower_bound(model, digits[:9]))
    np.testing.assert_array_equal(bounds[0], bounds[1])
    np.testing.assert_array_equal(bounds[0], bounds[2])


@pytest.mark.parametrize("estimate", [evidence_lower_bound, log_likelihood])
def test_a_seed_gives_the_same_draws_and_rows_have_their_own(estimate, vae, digits):
    x = np.repeat(digits[:1], 40, axis=0)
    first = estimate(vae, x, samples=2, seed=3, batch_size=16)
    assert (first.shape, first.dtype) == ((40,), np.dtype("float32"))
    np.testing.assert_array_equal(estimate(vae, x, samples=2, seed=3, batch_size=16), first)
    assert (estimate(vae, x, samples=2, seed=4, batch_size=16) != first).any()
    # No two of the same row get the same noise, in other batches neither.
    assert len(np.unique(first)) > 35


@pytest.mark.parametrize("estimate", [evidence_lower_bound, log_likelihood])
def test_without_a_seed_the_draws_are_random(estimate, vae, digits):
    first = estimate(vae, digits[:8], samples=2, seed=None)
    assert (estimate(vae, digits[:8], samples=2, seed=None) != first).any()
    np.testing.assert_array_equal(
        estimate(vae, digits[:8], samples=2), estimate(vae, digits[:8], samples=2, seed=0)
    )
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        runs.append(estimate(vae, digits[:8], samples=2, seed=None))
    np.testing.assert_array_equal(*runs)


def test_estimates_follow_the_weights(digits):
    model = variational_autoencoder(64, (24, 3))
    before = log_likelihood(model, digits[:64], samples=5).mean()
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(digits[:256], epochs=3, verbose=0)
    assert log_likelihood(model, digits[:64], samples=5).mean() > before + 1


def test_images_have_likelihoods_too(digits):
    x = digits[:20].reshape(-1, 8, 8, 1)
    model = variational_autoencoder((8, 8, 1), (4, 2))
    for estimate in (evidence_lower_bound, log_likelihood):
        got = estimate(model, x, samples=3)
        assert got.shape == (20,)
        np.testing.assert_array_equal(estimate(model, digits[:20], samples=3), got)


@pytest.mark.parametrize("estimate", [evidence_lower_bound, log_likelihood])
def test_models_without_a_likelihood_are_refused(estimate, digits):
    model = stacked_autoencoder(64, 3, name="plain")
    message = "must have GaussianCodings and a likelihood as its loss. Received: "
    with pytest.raises(ValueError, match=message + "plain. Try variational_autoencoder"):
        estimate(model, digits[:5])
    with pytest.raises(ValueError, match=message):
        vae = variational_autoencoder(64, 3)
        estimate(Autoencoder(vae.encoder, vae.decoder), digits[:5])


@pytest.mark.parametrize("estimate", [evidence_lower_bound, log_likelihood])
@pytest.mark.parametrize("samples", [0, -1, 1.5, float("nan")])
def test_impossible_numbers_of_draws_are_refused(estimate, samples, vae, digits):
    with pytest.raises(ValueError, match="samples.*whole number"):
        estimate(vae, digits[:5], samples=samples)
    with pytest.raises(ValueError, match="64"):
        estimate(vae, digits[:5, :60])


# Interpolation and generation --------------------------------------------------------------------


@pytest.mark.parametrize("family", ["variational", "convolutional", "scaled"])
def test_the_ends_of_an_interpolation_are_the_reconstructions(family, digits):
    scaler = RangeScaling()
    scaler.adapt(np.random.default_rng(0).random((9, 64)))
    model, shape = {
        "variational": lambda: (variational_autoencoder(64, (9, 3)), (64,)),
        "convolutional": lambda: (
            convolutional_autoencoder((8, 8, 1), (3, 2), maps=True),
            (8, 8, 1),
        ),
        "scaled": lambda: (stacked_autoencoder(64, (9, 3), scaler=scaler), (64,)),
    }[family]()
    start, end = (row.reshape(shape) for row in digits[:2])
    got = interpolate(model, start, end, steps=5)
    assert got.shape == (5, *shape)
    ends = model.reconstruct(np.stack([start, end]))
    np.testing.assert_allclose(got[[0, -1]], ends, atol=1e-5)
    middle = model.encode(np.stack([start, end])).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(got[2:3], model.decode(middle), atol=1e-5)
    np.testing.assert_allclose(interpolate(model, start, end, steps=2), ends, atol=1e-5)


def test_a_linear_model_interpolates_along_a_line(digits):
    model = stacked_autoencoder(64, 3, activation="linear")
    got = interpolate(model, digits[0].tolist(), digits[1], steps=4)
    shares = np.linspace(0, 1, 4)[:, None]
    np.testing.assert_allclose(got, (1 - shares) * got[0] + shares * got[-1], atol=1e-5)


@pytest.mark.parametrize("steps", [0, 1, 2.5, -3])
def test_too_few_steps_are_refused(steps, digits):
    with pytest.raises(ValueError, match="steps"):
        interpolate(stacked_autoencoder(64, 3), digits[0], digits[1], steps=steps)


def test_generated_rows_are_decoded_draws_of_the_prior(digits):
    for model in (
        variational_autoencoder(64, (9, 3)),
        adversarial_autoencoder(64, (9, 2), prior="mixture"),
        adversarial_autoencoder((8, 8, 1), (3, 2), prior="swiss-roll"),
    ):
        rows = model.generate(7, seed=1)
        assert rows.shape == (7, *model.row_shape)
        np.testing.assert_array_equal(model.generate(7, seed=1), rows)
        np.testing.assert_array_equal(model.decode(model.prior.sample(7, seed=1)), rows)
        assert (model.generate(7, seed=2) != rows).any()
        assert (model.generate(7) != model.generate(7)).any()


def test_models_without_a_prior_generate_nothing():
    with pytest.raises(ValueError, match="Received: plain, without a prior of its codings"):
        stacked_autoencoder(64, 3, name="plain").generate(3)


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_impossible_numbers_of_rows_are_refused(n):
    with pytest.raises(ValueError, match="whole number"):
        variational_autoencoder(64, 3).generate(n)


# Parzen windows ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stddev", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_a_parzen_window_is_the_formula(stddev, batch_size):
    draw = np.random.default_rng(0)
    samples, x = draw.normal(size=(50, 2, 2)), draw.normal(size=(15, 2, 2))
    distances = np.square(x[:, None] - samples[None]).sum(axis=(2, 3))
    exponents = (-distances / (2 * stddev**2)).astype("longdouble")
    density = np.exp(exponents).mean(axis=1) / (2 * np.pi * stddev**2) ** 2
    got = parzen_log_likelihood(samples, x, stddev, batch_size)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, np.log(density).astype("float64"), rtol=1e-9)


def test_a_parzen_window_far_from_all_samples_does_not_underflow():
    got = parzen_log_likelihood(np.zeros((3, 4)), np.full((2, 4), 1e3), 0.1)
    expected = -0.5 * 4e6 / 0.01 - 2 * np.log(2 * np.pi * 0.01)
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_a_parzen_window_integrates_to_one():
    grid, step = np.linspace(-8, 8, 2001, retstep=True)
    samples = np.array([[-1.0], [0.5], [2.0]])
    density = np.exp(parzen_log_likelihood(samples, grid[:, None], 0.3))
    assert step * density.sum() == pytest.approx(1, rel=1e-6)


def test_impossible_windows_are_refused():
    for stddev in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="stddev must be finite and above 0"):
            parzen_log_likelihood(np.zeros((3, 4)), np.zeros((3, 4)), stddev)
    with pytest.raises(ValueError, match="same size. Received: 4 values a row in samples, 5 in x"):
        parzen_log_likelihood(np.zeros((3, 4)), np.zeros((3, 5)), 1.0)
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        parzen_log_likelihood(np.zeros((3, 4)), np.zeros((3, 4)), 1.0, batch_size=0)
