"""Anomaly maps, against SciPy and NumPy."""

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from kerasae import convolutional_autoencoder, plots, stacked_autoencoder
from kerasae.anomaly import anomaly_maps, calibrate, error_maps, score, worst_region
from kerasae.layers.maps import smoothing

X = np.random.default_rng(0).random((6, 13, 11, 3), "float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return convolutional_autoencoder((13, 11, 3), (4, 6))


def test_without_smoothing_they_are_the_mean_error_of_a_pixel(model):
    errors = model.reconstruction_error(X, per_feature=True)
    maps = anomaly_maps(model, X, stddev=0)
    np.testing.assert_allclose(maps, errors.mean(axis=3), rtol=1e-5)
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), model.reconstruction_error(X), rtol=1e-5)


def test_smoothing_is_a_gaussian_that_keeps_constants():
    errors = np.random.default_rng(0).random((2, 40, 30, 1), "float32")
    maps = error_maps(errors, (40, 30), stddev=1.5)
    expected = [gaussian_filter(one[..., 0].astype("float64"), 1.5, truncate=9) for one in errors]
    inside = np.s_[:, 12:-12, 12:-12]
    np.testing.assert_allclose(maps[inside], np.array(expected)[inside], rtol=1e-4)
    np.testing.assert_allclose(error_maps(0 * errors + 3, (40, 30), stddev=5.0), 3, rtol=1e-5)


def test_more_pixels_are_interpolated_between_centres():
    for length, to in ((5, 5), (5, 12), (4, 3), (1, 6)):
        matrix = smoothing(length, to, 0)
        centres = (np.arange(to) + 0.5) * length / to - 0.5
        values = np.random.default_rng(length).random(length)
        expected = np.interp(centres, np.arange(length), values)
        np.testing.assert_allclose(matrix @ values, expected, atol=1e-6)


def test_rows_of_dense_models_are_images_by_their_shape():
    model = stacked_autoencoder((143,), 5)
    rows = X[..., 0].reshape(6, -1)
    assert anomaly_maps(model, rows, (13, 11), size=(26, 33)).shape == (6, 26, 33)
    with pytest.raises(ValueError, match="image_shape must be .* Received"):
        anomaly_maps(model, rows)
    with pytest.raises(ValueError, match="stddev must be"):
        anomaly_maps(model, rows, (13, 11), stddev=-1)
    with pytest.raises(ValueError, match="size must be"):
        anomaly_maps(model, rows, (13, 11), size=(0, 5))


def test_the_endpoint_is_the_default_map(model):
    got = model._endpoints["anomaly_map"](keras.ops.convert_to_tensor(X))["anomaly_map"]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(got), anomaly_maps(model, X), rtol=1e-4, atol=1e-6
    )


def test_the_region_is_the_part_around_the_peak():
    one = np.zeros((9, 12))
    one[2:5, 3:8] = 0.6
    one[3, 4] = 1.0
    one[8, 11] = 0.9  # apart
    assert worst_region(one) == "rows 2-4, columns 3-7"
    assert worst_region(np.zeros((3, 3))) == worst_region(np.full((3, 3), np.nan)) == ""


def test_a_defect_is_where_it_is_put(model):
    x = np.tile(np.linspace(0, 1, 11, dtype="float32")[:, None], (40, 13, 1, 3))
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(x, epochs=40, verbose=0)
    calibrate(model, x)
    broken = x[:1].copy()
    broken[0, 4:7, 2:5] = 3.0
    scores = score(model, broken)
    peak = np.unravel_index(error_maps(scores.feature_errors, (13, 11, 3))[0].argmax(), (13, 11))
    assert 4 <= peak[0] < 7
    assert 2 <= peak[1] < 5


def test_maps_are_drawn_over_the_images():
    maps = X.mean(axis=3)
    figure = plots.anomaly_maps(X[:4], maps[:4], [f"image $ {i}" for i in range(4)])
    assert figure.axes[0].get_title() == "image \\$ 0" or "image" in figure.axes[0].get_title()
    drawn = figure.axes[4].get_images()
    np.testing.assert_allclose(drawn[1].get_array(), maps[0])
    assert drawn[1].get_clim() == (0, pytest.approx(maps[:4].max()))
    with pytest.raises(ValueError, match="maps must have one value a pixel"):
        plots.anomaly_maps(X, maps[:, :5])
    with pytest.raises(ValueError, match="limit must be above 0"):
        plots.anomaly_maps(X, maps, limit=0)
