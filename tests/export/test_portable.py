import numpy as np
import pytest

from kerasae.export.portable import count_below


@pytest.mark.tensorflow
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 8, 1000])
def test_counts_below_are_those_of_searchsorted(n):
    generator = np.random.default_rng(n)
    # Ties, both ends and beyond.
    values = np.sort(generator.integers(0, 1 + n // 2, n)).astype("float32")
    bounds = np.r_[values, values + 0.5, values - 0.5, np.inf, -np.inf].astype("float32")
    np.testing.assert_array_equal(count_below(values, bounds), np.searchsorted(values, bounds))
