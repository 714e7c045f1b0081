import keras
import numpy as np
import pytest
from keras import ops

from kerasae.layers import GaussianPrior, MixturePrior, SwissRollPrior

PRIORS = [
    GaussianPrior(3),
    GaussianPrior(2, stddev=2.5),
    MixturePrior(),
    MixturePrior([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]], stddev=0.1),
    SwissRollPrior(),
    SwissRollPrior(radius=2.0, stddev=0.3),
]
BIG = 40_000


@pytest.fixture(params=PRIORS, ids=lambda prior: type(prior).__name__)
def prior(request):
    return request.param


def test_shapes_and_dtypes(prior):
    for n in (1, 7):
        drawn = prior.sample(n, seed=0)
        assert (drawn.shape, drawn.dtype) == ((n, prior.codings), np.dtype("float32"))
    noise = keras.random.uniform((5, prior.uniforms), seed=0)
    assert prior(noise).shape == (5, prior.codings)


def test_the_same_seed_gives_the_same_rows(prior):
    np.testing.assert_array_equal(prior.sample(9, seed=3), prior.sample(9, seed=3))
    assert (prior.sample(9, seed=3) != prior.sample(9, seed=4)).any()
    assert (prior.sample(9) != prior.sample(9)).any()


def test_the_ends_of_the_uniform_noise_are_finite(prior):
    below_one = np.nextafter(np.float32(1), np.float32(0))
    for value in (0.0, below_one, 1.0):
        drawn = ops.convert_to_numpy(prior(ops.full((4, prior.uniforms), value)))
        assert np.isfinite(drawn).all()


def test_the_same_prior_after_a_round_trip(prior):
    config = keras.saving.serialize_keras_object(prior)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(prior)
    np.testing.assert_array_equal(again.sample(5, seed=1), prior.sample(5, seed=1))


@pytest.mark.parametrize("stddev", [1.0, 2.5])
def test_normal_codings_have_the_moments_of_the_normal_distribution(stddev):
    z = GaussianPrior(3, stddev).sample(BIG, seed=0) / stddev
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), np.eye(3), atol=0.03)
    np.testing.assert_allclose((z**4).mean(axis=0), 3, atol=0.15)
    # Quantiles of the tails, which an approximate inverse would miss.
    np.testing.assert_allclose(np.quantile(z, [0.001, 0.999]), [-3.09, 3.09], atol=0.06)


def test_the_inverse_is_symmetric_and_exact_at_known_quantiles():
    quantiles = np.array([0.5, 0.841344746, 0.977249868, 0.998650102], "float32")[:, None]
    got = ops.convert_to_numpy(GaussianPrior(1)(quantiles))[:, 0]
    np.testing.assert_allclose(got, [0, 1, 2, 3], atol=1e-4)
    ends = ops.convert_to_numpy(GaussianPrior(1)(np.array([[0.0], [1.0]], "float32")))[:, 0]
    np.testing.assert_allclose(ends, [-5.29, 5.29], atol=0.15)


def test_a_mixture_hits_all_its_means_equally_often():
    prior = MixturePrior(stddev=0.1)
    assert prior.means.shape == (10, 2)
    np.testing.assert_allclose(np.linalg.norm(prior.means, axis=1), 4, rtol=1e-6)
    drawn = prior.sample(BIG, seed=0)
    nearest = np.linalg.norm(drawn[:, None] - prior.means, axis=2).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=10) / BIG, 0.1, atol=0.007)
    around = drawn - prior.means[nearest]
    np.testing.assert_allclose(around.mean(axis=0), 0, atol=0.003)
    np.testing.assert_allclose(np.cov(around.T), 0.01 * np.eye(2), atol=5e-4)
    # The place within a component has nothing to do with which one it is.
    angle = np.arctan2(*around.T)
    assert abs(np.corrcoef(angle, nearest)[0, 1]) < 0.02


def test_a_mixture_of_one_mean_and_of_many_columns():
    one = MixturePrior([[3.0]], stddev=0.5).sample(BIG, seed=0)
    assert one.mean() == pytest.approx(3, abs=0.02)
    assert one.std() == pytest.approx(0.5, abs=0.02)
    wide = MixturePrior(np.eye(7), stddev=0.01).sample(500, seed=0)
    np.testing.assert_array_equal(np.unique(wide.argmax(axis=1)), np.arange(7))


def test_a_swiss_roll_lies_on_its_spiral():
    prior = SwissRollPrior(radius=3.0, stddev=1e-4)
    drawn = prior.sample(5000, seed=0)
    distance = np.linalg.norm(drawn, axis=1)
    angle = 4 * np.pi * distance / 3
    spiral = distance[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(drawn, spiral, atol=0.01)
    assert distance.max() < 3.001
    # The square of the share is uniform.
    np.testing.assert_allclose(
        np.quantile((distance / 3) ** 2, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03
    )


def test_a_swiss_roll_has_the_noise_asked_for():
    noise = np.random.default_rng(0).random((BIG, 3), "float32")
    spread = SwissRollPrior(stddev=0.3)(noise) - SwissRollPrior(stddev=1e-6)(noise)
    np.testing.assert_allclose(np.cov(np.asarray(spread).T), 0.09 * np.eye(2), atol=0.003)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_widths_that_cannot_be_are_refused(value):
    for make in (
        lambda: GaussianPrior(2, stddev=value),
        lambda: MixturePrior(stddev=value),
        lambda: SwissRollPrior(stddev=value),
    ):
        with pytest.raises(ValueError, match="stddev must be a finite number above 0. Received"):
            make()
    with pytest.raises(ValueError, match="radius"):
        SwissRollPrior(radius=value)


@pytest.mark.parametrize("means", [[1.0, 2.0], [], [[]], [[float("nan")]]])
def test_means_that_are_no_table_are_refused(means):
    with pytest.raises(ValueError, match="means must be finite rows of codings"):
        MixturePrior(means)
