"""Images with channels in every plot that draws rows as images."""

import numpy as np
import pytest

from kerasae import plots

SHAPE = (5, 4, 3)
ROWS = np.random.default_rng(0).random((3, 60)) * 255


def drawn(axes):
    return np.asarray(axes.get_images()[0].get_array())


def test_colours_are_drawn_on_the_scale_of_the_originals():
    figure = plots.reconstructions(ROWS, ROWS * 2, SHAPE)
    low, high = ROWS.min(), ROWS.max()
    expected = (ROWS[0].reshape(SHAPE) - low) / (high - low)
    np.testing.assert_allclose(drawn(figure.axes[0]), expected)
    assert drawn(figure.axes[3]).max() == 1.0  # clipped
    assert drawn(plots.images(ROWS, SHAPE).axes[0]).shape == SHAPE
    assert len(plots.corrupted_triples(ROWS, ROWS, ROWS, SHAPE).axes) == 9


def test_the_difference_of_colours_is_their_mean():
    figure = plots.worst_rows(ROWS, ROWS + 3, [1, 2, 3], image_shape=SHAPE)
    np.testing.assert_allclose(drawn(figure.axes[6]), 3)
    assert drawn(figure.axes[6]).shape == SHAPE[:2]


def test_photographs_are_light_and_drawings_dark_where_values_are_high():
    grey = ROWS[:, :20]
    assert plots.images(grey, (5, 4)).axes[0].get_images()[0].get_cmap().name == "gray_r"
    assert plots.images(grey, (5, 4, 1)).axes[0].get_images()[0].get_cmap().name == "gray"


def test_other_numbers_of_channels_are_their_mean():
    figure = plots.images(ROWS[:, :40], (5, 4, 2))
    np.testing.assert_allclose(drawn(figure.axes[0]), ROWS[0, :40].reshape(5, 4, 2).mean(axis=2))


def test_filters_of_colours_have_grey_for_0():
    figure = plots.filters(np.eye(60)[:4], SHAPE)
    assert len(figure.axes) == 4  # and no bar
    np.testing.assert_allclose(drawn(figure.axes[0]).ravel()[1:], 0.5)


def test_a_shape_that_rows_do_not_fill_is_refused():
    with pytest.raises(ValueError, match="of 60 columns. Received: image_shape=.5, 4, 4."):
        plots.images(ROWS, (5, 4, 4))
