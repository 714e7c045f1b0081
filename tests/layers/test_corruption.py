import keras
import numpy as np
import pytest
from keras import ops

from kerasae.layers import GaussianCorruption, SaltPepperDropout
from kerasae.layers.corruption import noise_level

SHAPE = (400, 250)
LAYERS = [
    lambda seed=1: GaussianCorruption(0.5, rate=0.3, seed=seed),
    lambda seed=1: SaltPepperDropout(0.3, seed=seed),
]


def corrupted(layer, x):
    return ops.convert_to_numpy(ops.cast(layer(x, training=True), "float32"))


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_gaussian_noise_has_the_variance_and_fraction_asked_for(rate):
    x = np.random.default_rng(0).random(SHAPE, "float32")
    noise = corrupted(GaussianCorruption(0.5, rate=rate, seed=1), x) - x
    hit = noise != 0
    assert hit.mean() == pytest.approx(rate, abs=0.006)
    if rate:
        assert noise[hit].std() == pytest.approx(0.5, rel=0.02)
        assert noise[hit].mean() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("salt", [0.0, 0.25, 1.0])
def test_salt_and_pepper_have_their_shares_and_survivors_are_untouched(salt):
    x = np.full(SHAPE, 0.5, "float32")
    y = corrupted(SaltPepperDropout(0.3, salt=salt, low=-1, high=2, seed=1), x)
    assert set(np.unique(y)) <= {-1.0, 0.5, 2.0}
    assert (y == 2).mean() == pytest.approx(0.3 * salt, abs=0.006)
    assert (y == -1).mean() == pytest.approx(0.3 * (1 - salt), abs=0.006)


@pytest.mark.parametrize("make", LAYERS)
def test_identity_at_inference(make):
    x = np.random.default_rng(0).random((5, 7), "float32")
    np.testing.assert_array_equal(ops.convert_to_numpy(make()(x)), x)


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_keeps_the_dtype_of_the_input(make, dtype, policy):
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 by default")
    keras.config.set_dtype_policy(policy)
    try:
        for training in (True, False):
            output = make()(ops.ones((3, 4), dtype), training=training)
            assert keras.backend.standardize_dtype(output.dtype) == dtype
    finally:
        keras.config.set_dtype_policy("float32")


def test_salt_and_pepper_on_pixels():
    x = np.full((50, 50), 7, "uint8")
    y = SaltPepperDropout(0.5, low=0, high=255, seed=1)(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "uint8"
    assert set(np.unique(ops.convert_to_numpy(y))) == {0, 7, 255}


def test_integers_that_cannot_hold_the_noise_are_refused():
    with pytest.raises(TypeError, match="uint8"):
        GaussianCorruption(0.1)(np.ones((2, 2), "uint8"), training=True)
    with pytest.raises(TypeError, match=r"high=0\.5"):
        SaltPepperDropout(0.1, high=0.5)(np.ones((2, 2), "uint8"), training=True)


@pytest.mark.parametrize("make", LAYERS)
def test_a_seed_gives_a_stream_of_different_draws_that_repeats(make):
    x = np.full((20, 20), 0.3, "float32")
    first, again = make(), make()
    one, two = corrupted(first, x), corrupted(first, x)
    assert (one != two).any()
    np.testing.assert_array_equal(corrupted(again, x), one)
    np.testing.assert_array_equal(corrupted(again, x), two)
    assert (corrupted(make(seed=2), x) != one).any()


@pytest.mark.parametrize("make", LAYERS)
def test_a_saved_layer_goes_on_where_it_was(make, tmp_path):
    x = np.full((20, 20), 0.3, "float32")
    model = keras.Sequential([keras.Input((20,)), make(seed=None)])
    corrupted(model, x)
    model.save(tmp_path / "noise.keras")
    expected = corrupted(model, x)
    loaded = keras.saving.load_model(tmp_path / "noise.keras")
    np.testing.assert_array_equal(corrupted(loaded, x), expected)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_rates_outside_0_1_are_refused(value):
    for make in (
        lambda: GaussianCorruption(0.1, rate=value),
        lambda: SaltPepperDropout(value),
        lambda: SaltPepperDropout(0.1, salt=value),
    ):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]. Received: .*="):
            make()


@pytest.mark.parametrize("stddev", [-1, float("nan"), float("inf")])
def test_impossible_noise_is_refused(stddev):
    with pytest.raises(ValueError, match="stddev"):
        GaussianCorruption(stddev)
    with pytest.raises(ValueError, match="low and high"):
        SaltPepperDropout(0.1, low=1, high=0)


LEVELS = (0.2, 1.6)


def test_levels_are_drawn_for_each_row_log_uniformly():
    x = np.zeros((2000, 500), "float32")
    rows = corrupted(GaussianCorruption(LEVELS, seed=1, append_level=True), x)
    noise, level = rows[:, :-1], rows[:, -1]
    np.testing.assert_allclose(noise.std(axis=1), level, rtol=0.2)
    share = np.log(level / 0.2) / np.log(1.6 / 0.2)
    assert 0 <= share.min() < 0.01
    assert 0.99 < share.max() <= 1
    np.testing.assert_allclose(np.quantile(share, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)


@pytest.mark.parametrize("shape", [(50, 4), (50, 4, 3), (50, 4, 4, 2)])
def test_levels_need_not_be_handed_on(shape):
    x = np.zeros(shape, "float32")
    noise = corrupted(GaussianCorruption(LEVELS, seed=1), x)
    assert noise.shape == shape
    assert (noise != 0).all()
    np.testing.assert_array_equal(ops.convert_to_numpy(GaussianCorruption(LEVELS)(x)), x)


def test_at_inference_the_row_is_clean_and_the_level_the_one_asked_for():
    x = np.random.default_rng(0).random((5, 7), "float32")
    layer = GaussianCorruption(LEVELS, append_level=True)
    for level in (None, 0.8):
        with noise_level(level):
            rows = ops.convert_to_numpy(layer(x))
        np.testing.assert_array_equal(rows[:, :-1], x)
        np.testing.assert_array_equal(rows[:, -1], np.float32(level or 0.2))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x))[:, -1], np.float32(0.2))


@pytest.mark.parametrize(
    "stddev", [-1, float("nan"), (0, 1), (1.6, 0.2), (0.1, 0.2, 0.3), (1, np.inf)]
)
def test_impossible_deviations_are_refused(stddev):
    with pytest.raises(ValueError, match="stddev must be .* Received: stddev="):
        GaussianCorruption(stddev)
