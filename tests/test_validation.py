"""The fast look at sound rows lets nothing through that a close one would refuse."""

import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.validation import as_rows, bounded_rows

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1.0, 1e5, 1e15, 1e30])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_magnitude_is_above_the_bound(dtype, size):
    x = (size * RNG.standard_normal((400, 7))).clip(-6e4, 6e4).astype(dtype)
    assert bounded_rows(x)[1] >= np.abs(x).max()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_no_integer_is_above_the_bound(dtype):
    limits = np.iinfo(dtype)
    rows, bound = bounded_rows(np.array([[limits.min], [limits.max]], dtype))
    assert rows.dtype == dtype
    assert bound >= max(-limits.min, limits.max)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_one_bad_cell_is_found_wherever_the_rows_lie(order, dtype, bad):
    x = np.ones((300, 5), dtype)
    x[211, 3] = bad
    x = np.repeat(x, 2, axis=0)[::2] if order == "strided" else np.asarray(x, order=order)
    with pytest.raises(ValueError, match="1 NaN or infinite cells, the first in row 211, column 3"):
        bounded_rows(x)


@pytest.mark.parametrize("rows", [1, 4000])
def test_values_are_refused_from_where_their_square_overflows(rows):
    model = kerasae.stacked_autoencoder((3,), (2,))
    x = np.full((rows, 3), 9.9e14)  # the norm of 4000 such rows is far above the limit
    assert model._checked_rows(x, "x").dtype == "float32"
    x[-1, 1] = 1.1e15
    with pytest.raises(ValueError, match="Received: values in column 1 whose square overflows"):
        model._checked_rows(x, "x")


def test_booleans_beside_numbers_are_numbers():
    """Case 7 and 39: what `pandas.get_dummies` makes."""
    frame = pd.DataFrame({"v": [0.5, 1.5], "a": [True, False], "b": [False, True]})
    np.testing.assert_array_equal(as_rows(frame), [[0.5, 1, 0], [1.5, 0, 1]])
