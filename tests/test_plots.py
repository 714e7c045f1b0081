import numpy as np
import pytest

from kerasae import plots

ROWS = np.random.default_rng(0).random((4, 15))


def test_loss_curve_draws_the_history():
    (axes,) = plots.loss_curve({"mse": [0.4, 0.2, 0.1], "val_mse": [0.5, 0.3, 0.25]}).axes
    training, validation = axes.get_lines()
    assert training.get_xydata().tolist() == [[1, 0.4], [2, 0.2], [3, 0.1]]
    assert validation.get_ydata().tolist() == [0.5, 0.3, 0.25]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "training: 0.10000 at the end",
        "validation: 0.25000 at the end",
    ]


def test_loss_curve_without_validation_or_mse():
    (axes,) = plots.loss_curve({"loss": [0.4]}).axes
    assert len(axes.get_lines()) == 1
    assert axes.get_ylabel() == "loss"
    with pytest.raises(ValueError, match="Received: none"):
        plots.loss_curve({})


def test_originals_stand_over_their_reconstructions_on_one_scale():
    figure = plots.reconstructions(ROWS, ROWS / 2, (3, 5), titles="abcd")
    assert len(figure.axes) == 8
    for i, row in enumerate(ROWS):
        above, below = figure.axes[i].images[0], figure.axes[4 + i].images[0]
        np.testing.assert_array_equal(above.get_array(), row.reshape(3, 5))
        np.testing.assert_array_equal(below.get_array(), row.reshape(3, 5) / 2)
        assert above.get_clim() == below.get_clim() == (ROWS.min(), ROWS.max())
    assert [axes.get_title() for axes in figure.axes] == [*"abcd", "", "", "", ""]


def test_rows_that_are_no_images_are_drawn_as_curves():
    figure = plots.reconstructions(ROWS, ROWS / 2)
    assert len(figure.axes) == 4
    for axes, row in zip(figure.axes, ROWS, strict=True):
        original, reconstruction = axes.get_lines()
        np.testing.assert_array_equal(original.get_ydata(), row)
        np.testing.assert_array_equal(reconstruction.get_ydata(), row / 2)


def test_shapes_must_agree():
    for pair in ((ROWS, ROWS[:3]), (ROWS[:0], ROWS[:0])):
        with pytest.raises(ValueError, match="Received"):
            plots.reconstructions(*pair)
