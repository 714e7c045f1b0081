import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import rel_entr

from kerasae.layers import KLSparsityRegularizer, bernoulli_kl


def kl(p, q):
    return rel_entr(p, q) + rel_entr(1 - p, 1 - q)


def penalty(layer, activations):
    layer(activations)
    (loss,) = layer.losses
    return float(ops.convert_to_numpy(loss))


def test_bernoulli_kl_is_the_formula():
    p, q = np.meshgrid(np.linspace(0.01, 0.99, 50), np.linspace(0.01, 0.99, 50))
    p, q = p.astype("float32"), q.astype("float32")
    ours = ops.convert_to_numpy(bernoulli_kl(p, q))
    np.testing.assert_allclose(ours, kl(p.astype("float64"), q), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("rho", "bounds"), [(-0.1, (-1, 1)), (-0.75, (-1, 1)), (0.05, (0, 1))])
def test_penalty_is_the_sum_over_codings_of_the_divergence_of_the_batch_means(rho, bounds):
    low, high = bounds
    h = np.random.default_rng(0).uniform(low, high, (64, 9)).astype("float32")
    layer = KLSparsityRegularizer(rho, beta=0.3, activation_range=bounds)
    expected = 0.3 * kl((rho - low) / (high - low), (h.mean(axis=0) - low) / (high - low)).sum()
    assert penalty(layer, h) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(h)), h)


def test_penalty_does_not_depend_on_the_size_of_the_batch():
    h = np.random.default_rng(0).uniform(-1, 1, (32, 5)).astype("float32")
    layer = KLSparsityRegularizer(-0.1, beta=1.0)
    assert penalty(layer, np.tile(h, (8, 1))) == pytest.approx(penalty(layer, h), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("value", [-1.0, 1.0])
def test_finite_and_pointing_to_rho_where_a_unit_is_always_off_or_on(gradient, dtype, value):
    layer = KLSparsityRegularizer(-0.1, beta=1.0)

    def function(h):
        layer(h)
        return layer.losses[0]

    h = ops.full((4, 3), value, dtype)
    assert np.isfinite(penalty(layer, h))
    slope = gradient(function, h)
    assert np.isfinite(slope).all()
    # A step against the gradient must bring the activation towards rho, inside the range.
    assert (np.sign(slope) == np.sign(value)).all()


def test_no_penalty_at_rho_and_none_at_all_without_beta(gradient):
    h = np.full((4, 3), -0.1, "float32")
    assert penalty(KLSparsityRegularizer(-0.1, beta=1.0), h) == pytest.approx(0, abs=1e-6)
    off = KLSparsityRegularizer(-0.1, beta=0)

    def function(h):
        off(h)
        return off.losses[0]

    assert penalty(off, np.ones((4, 3), "float32")) == 0
    assert not gradient(function, np.ones((4, 3), "float32")).any()


def test_beta_can_be_warmed_up_while_training(digits):
    layer = KLSparsityRegularizer(-0.5, beta=0.0)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8, "tanh"), layer])
    model.compile(keras.optimizers.SGD(0.0), lambda y, h: 0.0 * h)
    betas = [0.0, 0.5, 1.0]
    warmup = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: layer.beta.assign(betas[epoch])
    )
    x = digits[:256]
    fitted = model.fit(x, x[:, :8], 256, epochs=3, callbacks=[warmup], verbose=0)
    losses = fitted.history["loss"]
    assert losses[0] == 0
    assert losses[1] > 0
    assert losses[2] == pytest.approx(2 * losses[1], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"rho": -1.0}, "rho"),
        ({"rho": 0.0, "activation_range": (0, 1)}, "rho"),
        ({"rho": float("nan")}, "rho"),
        ({"beta": -0.1}, "beta"),
        ({"beta": float("nan")}, "beta"),
        ({"activation_range": (0.0, float("inf"))}, "bounded"),
        ({"activation_range": (1, 1)}, "activation_range"),
    ],
)
def test_impossible_arguments_are_refused(arguments, word):
    with pytest.raises(ValueError, match=word):
        KLSparsityRegularizer(**{"rho": 0.1, "beta": 0.1, **arguments})
