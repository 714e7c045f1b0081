import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae.layers import NoiseLevelFeatures, ResidualDenoising


def draw(n):
    """Rows on a line of the plane, of variance 1 in both columns."""
    return np.repeat(np.random.default_rng(0).normal(size=(n, 1)), 2, axis=1).astype("float32")


def test_features_are_those_of_the_formula():
    rows = np.random.default_rng(0).uniform(0.2, 2, (6, 4)).astype("float32")
    x, s = rows[:, :-1], rows[:, -1:]
    expected = [x / np.sqrt(1 + s**2), np.log(s), np.sin(2 * np.log(s)), np.cos(2 * np.log(s))]
    got = ops.convert_to_numpy(NoiseLevelFeatures()(rows))
    np.testing.assert_allclose(got, np.concatenate(expected, axis=1), rtol=1e-5, atol=1e-6)


def test_the_denoiser_is_that_of_the_formula():
    rng = np.random.default_rng(0)
    layer = ResidualDenoising(3, kernel_scale=1.0)
    inputs = rng.uniform(0.2, 2, (6, 9)).astype("float32")
    h, x, s = inputs[:, :5], inputs[:, 5:8], inputs[:, 8:]
    got = ops.convert_to_numpy(layer(inputs))
    noise = h @ ops.convert_to_numpy(layer.kernel)
    np.testing.assert_allclose(got, x / (1 + s**2) + noise * s / np.sqrt(1 + s**2), rtol=1e-5)


def test_the_first_kernel_is_a_tenth_of_the_usual():
    layer = ResidualDenoising(100)
    layer.build((None, 200 + 101))
    kernel = ops.convert_to_numpy(layer.kernel)
    assert np.abs(kernel).max() == pytest.approx(0.1 * np.sqrt(6 / 300), rel=0.01)


def test_loss_and_penalty_weigh_all_levels_alike():
    """mse + penalty = mean((D - x)^2 (1 + s^2) / s^2)."""
    rng = np.random.default_rng(0)
    x, found = rng.normal(size=(2, 8, 3)).astype("float32")
    level = rng.uniform(0.2, 1.6, (8, 1)).astype("float32")
    codings = np.concatenate([found, level], axis=1)
    square = (found - x) ** 2
    got = square.mean() + float(ResidualDenoising(3).penalty(x, codings, found))
    assert got == pytest.approx((square * (1 + level**2) / level**2).mean(), rel=1e-5)


def test_it_learns_the_best_denoiser():
    """Of a line at level s, it takes the mean of both columns and shrinks it by 2 / (2 + s^2)."""
    x = draw(4000)
    model = kerasae.residual_denoiser(2, (64, 64), seed=0)
    rate = keras.optimizers.schedules.CosineDecay(0.003, 1250)
    model.compile(keras.optimizers.Adam(rate, beta_2=0.99, global_clipnorm=5.0))
    history = model.fit(x, epochs=20, batch_size=64, verbose=0).history
    # The variance of what cannot be known, s^2 / (2 + s^2), weighed and averaged over the levels.
    squares = np.exp(np.linspace(np.log(0.2), np.log(1.6), 1000)) ** 2
    best = ((1 + squares) / (2 + squares)).mean()
    assert history["loss"][-1] == pytest.approx(best, rel=0.03)
    rows = np.array([[1.0, -0.2], [0.3, 0.5], [-1.2, -0.4]], "float32")
    for level in (0.2, 0.8, 1.6):
        with kerasae.layers.corruption.noise_level(level):
            got = ops.convert_to_numpy(model(rows))
        expected = rows.sum(axis=1, keepdims=True) / (2 + level**2)
        np.testing.assert_allclose(got, np.repeat(expected, 2, axis=1), atol=0.12)


def test_images_are_refused():
    with pytest.raises(ValueError, match="input_shape must be .* for a residual denoiser"):
        kerasae.residual_denoiser((8, 8, 1), (4, 8))


def test_a_seed_gives_the_same_weights():
    models = [kerasae.residual_denoiser(5, (8, 4), seed=s) for s in (3, 3, 4)]
    one, again, other = ([np.array(w) for w in model.trainable_weights] for model in models)
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or (a != c).any()
