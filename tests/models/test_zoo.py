import warnings

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    KLSparsityRegularizer,
    SaltPepperDropout,
    average_activation,
    denoising_autoencoder,
    sparse_autoencoder,
    stacked_autoencoder,
)
from kerasae.validation import parse_layout


def widths(model):
    return [
        layer.units
        for half in (model.encoder, model.decoder)
        for layer in half.layers
        if hasattr(layer, "units")
    ]


@pytest.mark.parametrize(
    ("hidden_units", "expected"),
    [(5, [5, 20]), ((5,), [5, 20]), ((12, 5), [12, 5, 12, 20]), ((9, 7, 3), [9, 7, 3, 7, 9, 20])],
)
def test_the_decoder_mirrors_the_encoder(hidden_units, expected):
    assert widths(stacked_autoencoder((20,), hidden_units)) == expected
    assert widths(stacked_autoencoder(20, hidden_units)) == expected


def test_corruption_comes_first_and_the_bottleneck_last():
    model = stacked_autoencoder(
        (20,), (9, 5), corruption=SaltPepperDropout(0.3), bottleneck=KLSparsityRegularizer(-0.1, 1)
    )
    kinds = [type(layer).__name__ for layer in model.encoder.layers]
    assert kinds == ["SaltPepperDropout", "Dense", "Dense", "KLSparsityRegularizer"]


def test_activations_are_where_they_are_asked_for():
    model = stacked_autoencoder((20,), (9, 5), activation="elu", output_activation="sigmoid")
    used = [layer.activation.__name__ for layer in [*model.encoder.layers, *model.decoder.layers]]
    assert used == ["elu", "elu", "elu", "sigmoid"]


@pytest.mark.parametrize("units", [0, -3, 2.5, (10, 0), (), "100", float("nan")])
def test_impossible_widths_are_refused(units):
    with pytest.raises(ValueError, match="hidden_units"):
        stacked_autoencoder((20,), units)


def test_unknown_activations_name_the_nearest():
    with pytest.raises(ValueError, match="activation must be one of .*'tahn'. Try tanh$"):
        stacked_autoencoder((20,), 5, activation="tahn")


@pytest.mark.parametrize("activation", ["relu", "linear", "elu", keras.activations.relu])
def test_kl_needs_a_bounded_activation(activation):
    with pytest.raises(
        ValueError,
        match="for KL sparsity, one of tanh.*Received: activation=",
    ):
        stacked_autoencoder(
            (20,), 5, activation=activation, bottleneck=KLSparsityRegularizer(0.1, 1)
        )


def test_kl_needs_the_range_of_the_activation():
    with pytest.raises(ValueError, match=r"sigmoid, \(0.0, 1.0\)"):
        stacked_autoencoder(
            (20,), 5, activation="sigmoid", bottleneck=KLSparsityRegularizer(0.1, 1)
        )
    stacked_autoencoder(
        (20,), 5, activation="sigmoid", bottleneck=KLSparsityRegularizer(0.1, 1, (0, 1))
    )


def test_only_an_unhindered_overcomplete_model_is_warned_about():
    with pytest.warns(UserWarning, match="20 codings for 20 columns"):
        stacked_autoencoder((20,), 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        stacked_autoencoder((20,), 30, corruption=SaltPepperDropout(0.3))
        sparse_autoencoder((20,), 30)
        denoising_autoencoder((20,), 30)
        stacked_autoencoder((20,), (30, 19))


def test_sparsity_takes_the_range_of_the_activation():
    for activation, bounds in (("tanh", (-1, 1)), ("sigmoid", (0, 1))):
        model = sparse_autoencoder((20,), (9, 5), rho=0.3, beta=2.0, activation=activation)
        sparsity = model.encoder.layers[-1]
        assert (sparsity.rho, float(sparsity.beta), sparsity.activation_range) == (0.3, 2, bounds)
    with pytest.raises(ValueError, match="must be a bounded one for KL sparsity"):
        sparse_autoencoder((20,), 5, activation="relu")
    with pytest.raises(ValueError, match="rho"):
        sparse_autoencoder((20,), 5, activation="sigmoid")
    with pytest.raises(ValueError, match="beta"):
        sparse_autoencoder((20,), 5, beta=-1)


def test_a_stronger_penalty_brings_the_mean_activation_nearer_to_rho(digits):
    away = []
    for beta in (0.0, 0.01, 0.1):
        keras.utils.set_random_seed(0)
        model = sparse_autoencoder((64,), 30, rho=-0.5, beta=beta)
        # Large batches: in small ones, the noise of the steps moves the means more than beta does.
        model.fit(digits, epochs=150, batch_size=600, verbose=0)
        away.append(np.abs(average_activation(model, digits).per_coding + 0.5).max())
    assert away[0] > 2 * away[1] > 3 * away[2]


def test_denoising_has_gaussian_noise_unless_another_is_given():
    layer = denoising_autoencoder((20,), 5).encoder.layers[0]
    assert (layer.stddev, layer.rate) == (0.2, 1.0)
    salt = SaltPepperDropout(0.3)
    assert denoising_autoencoder((20,), 5, corruption=salt).encoder.layers[0] is salt


def test_denoising_restores_rows_better_than_a_plain_model(digits):
    noise = SaltPepperDropout(0.3, seed=0)
    noisy = ops.convert_to_numpy(noise.corrupt(digits))
    errors = []
    for model in (
        stacked_autoencoder((64,), 60),
        denoising_autoencoder((64,), 60, corruption=noise),
    ):
        model.compile(keras.optimizers.Adam(0.003))
        model.fit(digits, epochs=40, verbose=0)
        errors.append(np.square(model.reconstruct(noisy) - digits).mean())
    assert errors[1] < errors[0] / 2


def test_images_need_a_convolution():
    with pytest.raises(ValueError, match="must hold the filters of a convolution before"):
        stacked_autoencoder((8, 8), 5)


@pytest.mark.parametrize(
    ("text", "half"), [("100", (100,)), ("300-100-300", (300, 100)), ("5-4-3-4-5", (5, 4, 3))]
)
def test_layouts_are_read_as_the_book_writes_them(text, half):
    assert parse_layout(text) == half


@pytest.mark.parametrize("text", ["", "a", "3-0-3", "3--3", "300-100", "1-2-3", "2-2", "-5", "1.5"])
def test_layouts_that_are_not_mirrored_numbers_are_refused(text):
    with pytest.raises(ValueError, match="layout must be (whole numbers of at least 1|mirrored)"):
        parse_layout(text)


@pytest.mark.slow
def test_a_linear_model_finds_the_subspace_of_pca(mnist):
    from scipy.linalg import subspace_angles
    from sklearn.decomposition import PCA

    x, x_test = (part.astype("float32") / 255 for part in (mnist.x_train, mnist.x_test))
    pca = PCA(50, random_state=0).fit(x)
    optimum = np.square(pca.inverse_transform(pca.transform(x_test)) - x_test).mean()
    model = stacked_autoencoder((784,), 50, activation="linear")
    schedule = keras.optimizers.schedules.CosineDecay(0.006, 30 * 235)
    model.compile(keras.optimizers.Adam(schedule), steps_per_execution=50)
    model.fit(x, batch_size=256, epochs=30, verbose=0)
    assert model.reconstruction_error(x_test).mean() == pytest.approx(optimum, rel=0.001)
    kernel = np.asarray(model.decoder.get_layer("output").kernel)
    angles = np.degrees(subspace_angles(kernel.T, pca.components_.T))
    print(f"largest principal angle: {angles.max():.2f} degrees, median {np.median(angles):.2f}")
    # The variances along components 50 and 51 are within 2%: the last angle is the last to close.
    assert angles.max() < 5


@pytest.mark.slow
def test_100_codings_of_mnist_within_10_epochs(mnist):
    model = stacked_autoencoder((784,), 100, scaler=keras.layers.Rescaling(1 / 255))
    model.compile(steps_per_execution=50)
    model.fit(mnist.x_train, batch_size=128, epochs=10, verbose=0)
    assert model.evaluate(mnist.x_test, verbose=0, return_dict=True)["mse"] <= 0.0062
