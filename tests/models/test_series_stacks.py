"""Stacks for windows of a series, and padding."""

import functools
import math

import keras
import numpy as np
import pytest
from keras import ops

import kerasae
from kerasae import ZOO, stacked_autoencoder, variational_autoencoder
from kerasae.layers.contraction import jacobian_norm_estimate
from kerasae.models import conv1d_stack, recurrent_stack

RNG = np.random.default_rng(0)


def waves(rows=64, steps=20, channels=2):
    t = np.arange(steps)[None, :, None] + RNG.integers(0, 20, (rows, 1, 1))
    return np.sin(t * 0.6 + np.arange(channels)).astype("float32")


@pytest.mark.parametrize("steps", [1, 2, 7, 16, 45])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("maps", [False, True])
def test_every_length_comes_back(steps, strides, maps):
    units = (3, 4) if maps else (3, 4, 5)
    encoder, decoder = conv1d_stack((steps, 2), units, strides=strides, maps=maps)
    assert decoder.output_shape[1:] == (steps, 2)
    small = math.ceil(math.ceil(steps / strides) / strides)
    assert encoder.output_shape[1:] == ((small, 4) if maps else (5,))
    assert decoder(encoder(waves(2, steps))).shape == (2, steps, 2)


def test_what_the_decoder_crops_is_what_the_strides_padded():
    """With 16 steps nothing is cropped, and with 13 the first 13 of 16 are kept."""
    _, whole = conv1d_stack((16, 1), (3, 4, 5))
    _, cropped = conv1d_stack((13, 1), (3, 4, 5))
    cropped.set_weights(whole.get_weights())
    codings = RNG.normal(size=(2, 5)).astype("float32")
    np.testing.assert_allclose(cropped(codings), ops.convert_to_numpy(whole(codings))[:, :13])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_layers_repeat_the_codings(cell):
    encoder, decoder = recurrent_stack((9, 2), (6, 5, 3), cell=cell)
    shapes = [layer.output.shape[1:] for layer in (*encoder.layers, *decoder.layers)]
    assert shapes == [(9, 6), (5,), (3,), (9, 3), (9, 5), (9, 6), (9, 2)]
    assert decoder.layers[0].name == "repeat"
    assert all(type(one).__name__ == cell.upper() for one in encoder.layers[:2])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: conv1d_stack((8,), (3, 2)), r"must be \(steps, channels\).*Try \(columns, 1\)"),
        (lambda: conv1d_stack((8, 8, 1), (3, 2)), r"must be \(steps, channels\)"),
        (lambda: conv1d_stack((8, 1), (3,)), "must hold the filters of a convolution"),
        (lambda: recurrent_stack((8,), (3, 2)), r"must be \(steps, channels\)"),
        (lambda: recurrent_stack((8, 1), (3,)), "must hold the units of a recurrent layer"),
        (lambda: recurrent_stack((8, 1), (3, 2), cell="gpu"), "cell must be one of gru, lstm"),
        (lambda: stacked_autoencoder((8, 1), (3, 2), tied=True), "to be tied"),
        (lambda: stacked_autoencoder((8,), (3,), mask_value=0), "mask_value must go with"),
    ],
)
def test_what_is_not_a_series_is_refused(make, words):
    with pytest.raises(ValueError, match=f"{words}.*"):
        make()


def test_codings_layers_do_not_go_with_maps():
    with pytest.raises(ValueError, match="codings must be None"):
        variational_autoencoder((8, 1), (3, 2), stack=functools.partial(conv1d_stack, maps=True))


@pytest.mark.parametrize("family", sorted(set(ZOO) - {"residual-denoiser"}))  # of columns alone
def test_the_shape_of_a_row_chooses_the_stack(family):
    model = ZOO[family]((12, 2), (4, 3))
    assert any(isinstance(one, keras.layers.Conv1D) for one in model.encoder.layers)
    assert model.decoder.output_shape[1:] == (12, 2)


def test_the_estimate_through_recurrent_layers_is_the_norm_of_the_jacobian(gradient):
    """Over all directions of the unit vectors it is exact: the squared norms of the columns."""
    encoder, _ = recurrent_stack((4, 2), (5, 3))
    x = RNG.normal(size=(1, 4, 2)).astype("float32")
    columns = np.eye(8, dtype="float32").reshape(8, 4, 2)
    many = np.repeat(x, 8, axis=0)
    got = ops.convert_to_numpy(jacobian_norm_estimate(encoder.layers, many, columns)).sum()
    rows = [gradient(lambda z, i=i: ops.sum(encoder(z)[:, i]), x) for i in range(3)]
    assert got == pytest.approx(np.square(rows).sum(), rel=1e-3)


def test_the_estimate_through_convolutions_is_the_norm_of_the_jacobian(gradient):
    encoder, _ = conv1d_stack((6, 2), (3, 4))
    x = RNG.normal(size=(1, 6, 2)).astype("float32")
    columns = np.eye(12, dtype="float32").reshape(12, 6, 2)
    got = jacobian_norm_estimate(encoder.layers, np.repeat(x, 12, axis=0), columns)
    rows = [gradient(lambda z, i=i: ops.sum(encoder(z)[:, i]), x) for i in range(4)]
    assert float(ops.sum(got)) == pytest.approx(np.square(rows).sum(), rel=1e-4)


# Padding ----------------------------------------------------------------------------------------

STACKS = {"convolutional": None, "recurrent": recurrent_stack}


def padded(x, lengths, value=-9.0):
    out = x.copy()
    for row, length in zip(out, lengths, strict=True):
        row[length:] = value
    return out


@pytest.fixture(params=STACKS)
def masked(request):
    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    scaler.adapt(waves().reshape(-1, 2))
    return stacked_autoencoder(
        (20, 2), (6, 4), stack=STACKS[request.param], scaler=scaler, mask_value=-9.0
    )


def test_padding_is_neither_in_the_loss_nor_in_the_score(masked):
    x = waves()
    lengths = RNG.integers(5, 21, len(x))
    rows = padded(x, lengths)
    z = ops.convert_to_numpy(masked.scaler(x))
    back = ops.convert_to_numpy(masked.scaler(masked.reconstruct(rows)))
    errors = np.square(z - back)
    each = np.array([e[:n].mean() for e, n in zip(errors, lengths, strict=True)])
    np.testing.assert_allclose(masked.reconstruction_error(rows), each, rtol=1e-3)
    per_feature = masked.reconstruction_error(rows, per_feature=True)
    np.testing.assert_allclose(per_feature.mean(axis=(1, 2)), each, rtol=1e-3)
    assert not per_feature[np.arange(20) >= lengths[:, None]].any()
    mean = np.concatenate([e[:n] for e, n in zip(errors, lengths, strict=True)]).mean()
    got = masked.evaluate(rows, batch_size=len(x), verbose=0, return_dict=True)
    assert got["mse"] == pytest.approx(mean, rel=1e-3)
    assert got["loss"] == pytest.approx(mean, rel=1e-3)
    assert (masked.reconstruct(rows)[np.arange(20) >= lengths[:, None]] == -9).all()


def test_training_does_not_see_what_padding_holds(masked, tmp_path):
    """Another mask value gives the same weights, and so does a saved model."""
    lengths = RNG.integers(5, 21, 64)
    x = waves()
    masked.save(tmp_path / "start.keras")
    other = kerasae.load_model(tmp_path / "start.keras")
    assert other.mask_value == -9.0
    other.mask_value = 3.0
    for model in (masked, other):
        model.compile(keras.optimizers.SGD(0.1))
        model.fit(padded(x, lengths, model.mask_value), shuffle=False, epochs=2, verbose=0)
    for one, two in zip(masked.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_recurrent_codings_skip_padding(masked):
    short = waves(8)
    rows = padded(short, [9] * 8)
    codings = masked.encode(rows)
    if isinstance(masked.encoder.layers[0], keras.layers.GRU):
        first = masked.encoder.layers[0]
        state = first(ops.convert_to_tensor(masked.scaler(short))[:, :9])
        expected = ops.convert_to_numpy(masked.encoder.layers[-1](state))
        np.testing.assert_allclose(codings, expected, atol=1e-5)
    again = padded(short, [9] * 8)
    np.testing.assert_array_equal(codings, masked.encode(again))


def test_sample_weights_go_with_padding(masked):
    x = waves(8)
    rows = padded(x, [5, 20] * 4)
    weights = np.array([0, 1] * 4, "float32")
    got = masked.evaluate(rows, sample_weight=weights, verbose=0, return_dict=True)["mse"]
    expected = masked.evaluate(rows[1::2], verbose=0, return_dict=True)["mse"]
    assert got == pytest.approx(expected, rel=1e-4)


def test_likelihoods_count_real_steps_alone():
    keras.utils.set_random_seed(0)
    model = variational_autoencoder(
        (20, 2), (6, 3), likelihood="gaussian", beta=0.0, mask_value=-9.0, seed=1
    )
    x = waves()
    loss = model.evaluate(padded(x, [10] * 64), verbose=0, return_dict=True)["loss"]
    back = model.reconstruct(padded(x, [10] * 64))[:, :10]
    terms = 0.5 * np.square((x[:, :10] - back) / 0.1) + 0.5 * np.log(2 * np.pi * 0.01)
    assert loss == pytest.approx(terms.sum(axis=(1, 2)).mean(), rel=1e-4)


def test_a_row_of_nan_is_an_anomaly_with_padding(masked):
    x = padded(waves(32), [12] * 32)
    kerasae.anomaly.calibrate(masked, x)
    scores = masked._scores(ops.convert_to_tensor(np.full((1, 20, 2), np.nan, "float32")))
    assert bool(scores["is_anomaly"][0])


def test_padding_need_not_be_a_value_that_a_step_could_have():
    model = stacked_autoencoder((20, 2), (6, 4), loss="bce", mask_value=-9.0)
    x = (waves() + 1) / 2
    model.fit(padded(x, [12] * 64), verbose=0)
    with pytest.raises(ValueError, match=r"scaled to \[0, 1\]"):
        model.fit(2 * x, verbose=0)


# Datasets of unknown dimensions -----------------------------------------------------------------


@pytest.mark.tensorflow
def test_datasets_of_unknown_dimensions_are_taken():
    series = waves(1, 100, 2)[0]
    for data, shape in ((series, (16, 2)), (series[:, 0], (16, 1))):
        dataset = keras.utils.timeseries_dataset_from_array(data, None, 16, batch_size=32)
        assert None in dataset.element_spec.shape[1:]
        model = stacked_autoencoder(shape, (4, 3))
        cut = kerasae.series.windows(data, 16)
        np.testing.assert_allclose(model.encode(dataset), model.encode(cut), atol=1e-6)
    model.fit(dataset.map(lambda x: (x, x)), validation_data=dataset, verbose=0)
    stacked_autoencoder((16,), (3,)).fit(dataset, verbose=0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("given", [(None, None, None), (None, None), (None, None, None, 1)])
def test_images_of_unknown_size_are_taken(given):
    import tensorflow as tf

    images = RNG.random((8, 8, 8, 1), "float32")
    flat = len(given) == 2
    batch = images.reshape(8, 64) if flat else images.reshape((8, 8, 8, 1)[: len(given)])
    dataset = tf.data.Dataset.from_generator(
        lambda: [batch], output_signature=tf.TensorSpec(given, "float32")
    )
    model = stacked_autoencoder((8, 8, 1), (3, 2))
    np.testing.assert_allclose(model.encode(dataset), model.encode(images), atol=1e-6)


@pytest.mark.tensorflow
def test_windows_of_another_length_are_refused_where_they_come():
    model = stacked_autoencoder((16, 1), (4, 3))
    dataset = keras.utils.timeseries_dataset_from_array(waves(1, 100, 1)[0], None, 32)
    for one in (dataset, dataset.map(lambda x: x[..., 0])):
        with pytest.raises(ValueError, match="must be batches of rows of shape"):
            model.encode(one)
