"""Passes that make an epoch, where there are few rows."""

import numpy as np

from kerasae.models.recipes import default_epochs, default_passes


def test_an_epoch_of_few_rows_has_about_100_steps():
    for rows in (1, 7, 33, 320, 1400, 3300, 9000):
        passes = default_passes(np.zeros((rows, 5), "float32"), 32)
        steps = -(-rows * passes // 32)
        assert 67 <= steps <= 150 or passes == 1, rows
        assert abs(default_epochs(rows * passes, 32) * steps - 18000) < 200, rows
    assert default_passes(np.zeros((50_000, 5), "float32"), 128) == 1


def test_copies_of_wide_rows_take_16_mb_at_most():
    images = np.zeros((64, 64, 64, 3), "float32")
    assert default_passes(images, 32) * images.nbytes <= 2**24
    assert default_passes(np.zeros((64, 2**17), "float32"), 32) == 1
