import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    GaussianCorruption,
    RangeScaling,
    SaltPepperDropout,
    contractive_autoencoder,
    stacked_autoencoder,
)
from kerasae.callbacks import PenaltyWarmup
from kerasae.layers import ContractivePenalty
from kerasae.layers.contraction import DERIVATIVES, jacobian_norm, jacobian_norm_estimate
from kerasae.models import ContractiveAutoencoder


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def jacobian(function, x):
    """The Jacobian of each row by the backend's own differentiation: (batch, outputs, inputs)."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = tf.reshape(function(x), (len(x), -1))
        found = tape.batch_jacobian(y, x, experimental_use_pfor=False).numpy()
    else:
        import jax

        found = np.asarray(jax.vmap(jax.jacrev(lambda row: function(row[None]).ravel()))(x))
    return found.reshape(*found.shape[:2], -1)


def norm(function, x):
    return np.square(jacobian(function, x).astype("float64")).sum(axis=(1, 2))


def dense_layers(columns, widths, activation):
    model = keras.Sequential(
        [keras.Input((columns,)), *(keras.layers.Dense(n, activation) for n in widths)]
    )
    for i, layer in enumerate(model.layers):
        bias = np.random.default_rng(i).normal(size=layer.units, scale=0.3)
        layer.bias.assign(bias.astype("float32"))
    return model


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


# The first hidden layer narrower and wider than the input: two ways to multiply out.
WIDTHS = [(4,), (9,), (4, 3), (9, 3), (6, 6), (4, 5, 3), (9, 5, 3), (8, 9, 10)]


@pytest.mark.parametrize("widths", WIDTHS)
def test_the_norm_is_that_of_automatic_differentiation(widths):
    model, x = dense_layers(6, widths, "tanh"), rows(5, 6)
    got = numpy(jacobian_norm(model.layers, x))
    np.testing.assert_allclose(got, norm(model, x), rtol=1e-4)


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_the_derivative_of_every_activation(activation):
    for widths in ((4, 3), (7,)):
        model, x = dense_layers(6, widths, activation), 2 * rows(5, 6)
        got = numpy(jacobian_norm(model.layers, x))
        np.testing.assert_allclose(got, norm(model, x), rtol=1e-4, atol=1e-7)
        direction = rows(5, 6, seed=9)
        moved = np.einsum("nij,nj->ni", jacobian(model, x), direction)
        estimate = numpy(jacobian_norm_estimate(model.layers, x, direction))
        np.testing.assert_allclose(estimate, np.square(moved).sum(axis=1), rtol=1e-3, atol=1e-6)


def test_layers_of_different_activations_and_without_bias():
    layers = [
        keras.layers.Dense(7, "elu"),
        keras.layers.Dense(5, "sigmoid", use_bias=False),
        keras.layers.Dense(3),
    ]
    model, x = keras.Sequential([keras.Input((6,)), *layers]), rows(5, 6)
    np.testing.assert_allclose(numpy(jacobian_norm(layers, x)), norm(model, x), rtol=1e-4)


def test_for_one_layer_it_is_the_formula_of_the_paper():
    model, x = dense_layers(6, (4,), "sigmoid"), rows(5, 6)
    h, kernel = numpy(model(x)), numpy(model.layers[0].kernel)
    expected = ((h * (1 - h)) ** 2 * (kernel**2).sum(axis=0)).sum(axis=1)
    np.testing.assert_allclose(numpy(jacobian_norm(model.layers, x)), expected, rtol=1e-5)


def test_the_penalty_has_the_gradient_of_the_norm(gradient):
    model, x = dense_layers(3, (4, 2), "tanh"), rows(2, 3)
    slope = gradient(lambda x: ops.sum(jacobian_norm(model.layers, x)), x)
    step = 1e-2
    for i, j in np.ndindex(x.shape):
        moved = np.repeat(x[None], 2, axis=0)
        moved[:, i, j] += (step, -step)
        up, down = (norm(model, one).sum() for one in moved)
        assert slope[i, j] == pytest.approx((up - down) / (2 * step), rel=0.02, abs=1e-3)


def test_what_is_the_identity_at_inference_counts_as_such():
    model, x = dense_layers(6, (5, 3), "tanh"), rows(4, 6)
    first, last = model.layers
    between = [
        GaussianCorruption(9.0),
        first,
        keras.layers.Dropout(0.9),
        last,
        SaltPepperDropout(0.9),
    ]
    np.testing.assert_array_equal(
        numpy(jacobian_norm(between, x)), numpy(jacobian_norm(model.layers, x))
    )


CONV = {
    "maps": lambda: [
        keras.layers.Conv2D(3, 3, 2, "same", activation="tanh"),
        keras.layers.Conv2D(2, 3, 1, "valid", activation="elu", use_bias=False),
    ],
    "codings": lambda: [
        keras.layers.Conv2D(3, 3, 2, "same", activation="softplus"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, "sigmoid"),
    ],
    "reshaped": lambda: [
        keras.layers.Reshape((4, 16, 1)),
        keras.layers.Conv2D(3, (3, 2), (2, 1), "same", dilation_rate=1, activation="softsign"),
    ],
}


@pytest.mark.parametrize("kind", CONV)
def test_a_direction_is_carried_through_as_the_jacobian_carries_it(kind):
    model = keras.Sequential([keras.Input((8, 8, 1)), *CONV[kind]()])
    x, direction = rows(3, 8, 8, 1), rows(3, 8, 8, 1, seed=1)
    moved = np.einsum("nij,nj->ni", jacobian(model, x), direction.reshape(3, -1))
    got = numpy(jacobian_norm_estimate(model.layers, x, direction))
    np.testing.assert_allclose(got, np.square(moved).sum(axis=1), rtol=1e-4)


def test_the_mean_over_all_signs_is_the_norm():
    """Unbiased exactly: over every direction of signs, not over draws."""
    model, x = dense_layers(6, (5, 3), "tanh"), rows(1, 6)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1).T.astype("float32")
    got = numpy(jacobian_norm_estimate(model.layers, np.repeat(x, len(signs), axis=0), signs))
    assert got.std() > 0
    assert got.mean() == pytest.approx(float(norm(model, x)[0]), rel=1e-5)


@pytest.mark.parametrize("kind", CONV)
def test_the_penalty_estimates_the_norm_of_convolutions(kind):
    model = keras.Sequential([keras.Input((8, 8, 1)), *CONV[kind]()])
    x = rows(1, 8, 8, 1)
    penalty = ContractivePenalty(2.0, seed=0)
    many = np.repeat(x, 2000, axis=0)
    got = float(penalty.weighted_norm(model.layers, many))
    assert got == pytest.approx(2 * float(norm(model, x)[0]), rel=0.05)
    assert float(penalty.weighted_norm(model.layers, many)) != got


def test_the_penalty_of_dense_layers_is_exact_and_the_mean_over_the_rows():
    model, x = dense_layers(6, (5, 3), "tanh"), rows(7, 6)
    got = float(ContractivePenalty(0.3).weighted_norm(model.layers, x))
    assert got == pytest.approx(0.3 * norm(model, x).mean(), rel=1e-4)


UNKNOWN = [
    (keras.layers.Dense(3, "gelu", name="odd"), "odd, a Dense with activation gelu"),
    (keras.layers.Dense(3, lambda y: y, name="odd"), "odd, a Dense with activation"),
    (keras.layers.BatchNormalization(name="norm"), "norm, a BatchNormalization"),
    (keras.layers.MaxPooling2D(name="pool"), "pool, a MaxPooling2D"),
    (keras.layers.Activation("tanh", name="act"), "act, a Activation"),
    (keras.layers.Conv2DTranspose(3, 3, name="up"), "up, a Conv2DTranspose"),
]


@pytest.mark.parametrize(("layer", "words"), UNKNOWN)
def test_unknown_layers_are_refused_by_name(layer, words):
    with pytest.raises(
        ValueError, match=f"must be recurrent, or Dense, Conv1D or Conv2D.*Received: {words}"
    ):
        ContractivePenalty(0.1).check([keras.layers.Dense(4), layer])


def test_the_model_refuses_them_when_it_is_made():
    with pytest.raises(ValueError, match="Received: hidden_1, a Dense with activation selu"):
        contractive_autoencoder(6, (5, 3), activation="selu")


@pytest.mark.parametrize("beta", [-1, float("nan"), float("inf")])
def test_an_impossible_beta_is_refused(beta):
    with pytest.raises(ValueError, match="beta must be finite.*Received: beta="):
        contractive_autoencoder(6, 3, beta=beta)


def fitted(x, columns=64, compiled=None, build=contractive_autoencoder, epochs=2, **arguments):
    keras.utils.set_random_seed(0)
    model = build(columns, (20, 6), activation="sigmoid", **arguments)
    model.compile(keras.optimizers.Adam(0.003), **(compiled or {}))
    history = model.fit(x, epochs=epochs, shuffle=False, verbose=0).history
    return model, history


def test_the_loss_is_the_error_and_beta_times_the_norm_on_the_scaled_values(digits):
    scaler = RangeScaling()
    scaler.adapt(16 * digits + np.arange(64) % 2)
    x = 16 * digits[:40]
    model = contractive_autoencoder(64, (20, 6), beta=0.4, scaler=scaler)
    got = model.evaluate(x, verbose=0, return_dict=True)
    expected = 0.4 * norm(model.encoder, numpy(scaler(x))).mean()
    assert expected > 0.001
    assert got["mse"] == pytest.approx(model.reconstruction_error(x).mean(), rel=1e-5)
    assert got["loss"] - got["mse"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_without_beta_it_trains_as_the_plain_model(digits):
    x = digits[:128]
    contractive, with_penalty = fitted(x, beta=0.0)
    plain, without = fitted(x, build=stacked_autoencoder)
    np.testing.assert_allclose(with_penalty["loss"], without["loss"], rtol=1e-6)
    np.testing.assert_allclose(contractive.encode(x), plain.encode(x), atol=1e-6)


def test_the_penalty_contracts(digits):
    norms = []
    for beta in (0.0, 0.1):
        model, _ = fitted(digits[:512], beta=beta, epochs=6)
        norms.append(norm(model.encoder, digits[:20]).mean())
    assert norms[1] < norms[0] / 2


@pytest.mark.slow
def test_compiled_and_plain_training_agree(digits):
    x = digits[:128]
    histories = [fitted(x, beta=0.1, compiled={"jit_compile": jit})[1] for jit in (True, False)]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-4)


def test_corruption_in_front_leaves_the_jacobian_of_the_clean_encoder(digits):
    x = digits[:32]
    noise = GaussianCorruption(5.0, seed=0)
    model = contractive_autoencoder(64, (20, 6), beta=1.0, corruption=noise)
    model.compile(keras.optimizers.SGD(1e-12))
    history = model.fit(x, epochs=1, verbose=0).history
    expected = norm(lambda h: model.encoder(h, training=False), x).mean()
    assert history["loss"][0] - history["mse"][0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("half", ["float16"])
def test_the_penalty_is_in_float32_under_a_mixed_policy(half, digits):
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        model = contractive_autoencoder(64, (20, 6), beta=0.1)
        images = contractive_autoencoder((8, 8, 1), (3, 6), beta=0.1)
    finally:
        keras.config.set_dtype_policy("float32")
    for one in (model, images):
        x = ops.reshape(digits[:4], (4, *one.row_shape))
        got = one.contraction.weighted_norm(one.encoder.layers, x)
        assert keras.backend.standardize_dtype(got.dtype) == "float32"
        assert np.isfinite(float(got))
    exact = jacobian_norm(model.encoder.layers, digits[:4])
    full = keras.models.clone_model(model.encoder, clone_function=_in_float32)
    full.set_weights(model.encoder.get_weights())
    np.testing.assert_allclose(numpy(exact), norm(full, digits[:4]), rtol=1e-4)


def _in_float32(layer):
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def test_images_train_and_a_saved_model_goes_on_with_the_same_directions(digits, tmp_path):
    x = digits[:64].reshape(-1, 8, 8, 1)
    model = contractive_autoencoder((8, 8, 1), (3, 6), beta=0.1, activation="tanh")
    state = numpy(model.contraction.seed_generator.state)
    history = model.fit(x, epochs=6, shuffle=False, verbose=0).history
    assert history["mse"][-1] < history["mse"][0]
    # Every step has another direction.
    assert (numpy(model.contraction.seed_generator.state) != state).any()
    model.save(tmp_path / "contractive.keras")
    loaded = keras.saving.load_model(tmp_path / "contractive.keras")
    assert isinstance(loaded, ContractiveAutoencoder)
    losses = [m.fit(x, shuffle=False, verbose=0).history["loss"] for m in (model, loaded)]
    assert losses[0] == losses[1]


def test_warmup_reaches_the_penalty(digits):
    model = contractive_autoencoder(64, 6, beta=0.5)
    model.compile(keras.optimizers.SGD(1e-12))
    history = model.fit(
        digits[:32], epochs=3, verbose=0, callbacks=[PenaltyWarmup(2, "contraction")]
    ).history
    penalties = np.subtract(history["loss"], history["mse"])
    assert penalties[0] == pytest.approx(0, abs=1e-6)
    assert penalties[2] == pytest.approx(2 * penalties[1], rel=1e-3)
    assert float(model.contraction.beta) == 0.5
