import warnings

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.series import windows

RNG = np.random.default_rng(0)
STEPS = np.arange(20)
X = RNG.normal(size=(50, 2)).astype("float32")


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (7, 1), (7, 3), (7, 7), (7, 20), (50, 1)])
def test_windows_are_views_that_cover_every_step(length, stride):
    cut = windows(X, length, stride)
    assert cut.shape == (len(cut), length, 2)
    assert cut.starts[0] == 0
    assert cut.starts[-1] == 50 - length
    assert (np.diff(cut.starts)[:-1] == stride).all()
    assert (np.diff(cut.starts) <= stride).all()
    for window, start in zip(cut, cut.starts, strict=True):
        assert np.shares_memory(window, X)
        np.testing.assert_array_equal(window, X[start : start + length])
    covered = np.zeros(50, bool)
    for start in cut.starts:
        covered[start : start + length] = True
    if stride <= length:
        assert covered.all()


def test_all_windows_of_a_regular_grid_are_one_view():
    cut = windows(X, 8, 6)
    assert np.shares_memory(np.asarray(cut), X)
    assert np.shares_memory(cut[2:6], X)
    np.testing.assert_array_equal(np.asarray(cut)[3], X[18:26])
    np.testing.assert_array_equal(cut[np.array([3, 0])], np.stack([X[18:26], X[:8]]))


def test_one_channel_may_come_without_its_axis():
    np.testing.assert_array_equal(windows(X[:, 0], 5)[2], X[2:7, :1])
    assert windows(list(range(9)), 5).shape == (5, 5, 1)


def test_groups_are_never_in_one_window():
    groups = np.array(["b", "a"] * 25)
    cut = windows(X, 5, 2, groups=groups)
    assert cut.names.tolist() == ["a", "b"]
    np.testing.assert_array_equal(cut.series, np.concatenate([X[1::2], X[::2]]))
    np.testing.assert_array_equal(cut.series, X[cut.steps])
    assert cut.bounds.tolist() == [[0, 25], [25, 50]]
    for start in cut.starts:
        assert len(set(groups[cut.steps[start : start + 5]])) == 1
    assert "of 2 series" in repr(cut)


def test_short_series_are_filled_up():
    groups = [0] * 44 + [1] * 6
    cut = windows(X, 10, 4, groups=groups, pad_value=-1.0)
    last = cut[len(cut) - 1]
    np.testing.assert_array_equal(last[:6], X[44:])
    assert (last[6:] == -1).all()
    assert cut.steps[-4:].tolist() == [-1] * 4
    np.testing.assert_array_equal(np.sort(cut.steps[cut.steps >= 0]), np.arange(50))


def test_a_table_gives_its_names():
    table = pd.DataFrame(X, columns=["load", "speed"])
    times = pd.date_range("2026-01-01", periods=50, freq="15min")
    cut = windows(table, 5, timestamps=times)
    assert cut.columns == ("load", "speed")
    assert cut.timestamps[3] == times[3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X, 51), "x must have at least 51 steps, as many as a window. Received: 50 steps"),
        ((X, 0), "length must be a whole number"),
        ((X, 5, 0), "stride must be a whole number"),
        ((X[None], 5), "x must be steps of channels"),
        ((np.where(X > 2, np.nan, X), 5), "x must hold finite numbers"),
    ],
)
def test_what_cannot_be_cut_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        windows(*arguments)


def test_groups_and_timestamps_are_checked():
    with pytest.raises(ValueError, match="groups must have one entry a step, 50"):
        windows(X, 5, groups=[1, 2])
    with pytest.raises(ValueError, match="steps in group"):
        windows(X, 5, groups=[0] * 48 + [1] * 2)
    times = np.arange(50)
    times[7] = 6
    with pytest.raises(ValueError, match="timestamps must increase.*Received: 6 after 6 in row 7"):
        windows(X, 5, timestamps=times)
    # Each group has its own clock.
    windows(X, 5, groups=np.arange(50) % 2, timestamps=np.arange(50) // 2)


def test_a_model_trains_on_windows_as_on_their_copy():
    """In memory, and as batches that are copied one at a time."""
    weights = []
    cut = windows(X, 8, 3)
    for rows in (cut, np.array(cut), cut.batches(4)):
        keras.utils.set_random_seed(0)
        model = kerasae.stacked_autoencoder((8, 2), (3, 2))
        model.compile(keras.optimizers.SGD(0.1))
        options = {} if rows is not cut and not isinstance(rows, np.ndarray) else {"batch_size": 4}
        model.fit(rows, shuffle=False, verbose=0, **options)
        weights.append(model.get_weights())
    for one, two, three in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, three, atol=1e-6)


def test_batches_come_in_another_order_in_each_epoch():
    cut = windows(X, 8)
    batches = cut.batches(16, shuffle=True, seed=1)
    first = np.concatenate([batches[i] for i in range(len(batches))])
    batches.on_epoch_end()
    second = np.concatenate([batches[i] for i in range(len(batches))])
    assert (first != second).any()
    np.testing.assert_array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (np.datetime64("2026-01-01T00:00:00") + np.timedelta64(15, "m") * STEPS, "15 minutes"),
        (0.5 * STEPS, "0.5"),
        (STEPS, "1"),
    ],
)
def test_steps_that_are_missing_are_warned_of(times, words):
    x = np.arange(20.0)
    with pytest.warns(UserWarning, match=f"have a gap of more than {words}, the usual"):
        windows(np.delete(x, [7, 8]), 4, timestamps=np.delete(times, [7, 8]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        windows(x, 4, timestamps=times)
        windows(x, 4, timestamps=np.r_[times[:10], times[:10]], groups=np.repeat([0, 1], 10))


@pytest.mark.parametrize("name", [None, np.nan])
def test_groups_without_a_name_are_refused(name):
    for groups in (np.array(["a"] * 9 + [name], object), np.array([1.0] * 9 + [np.nan])):
        with pytest.raises(ValueError, match="1 missing names, the first in row 9"):
            windows(np.arange(10.0), 4, groups=groups)
    mixed = windows(np.arange(10.0), 4, groups=np.array(["a"] * 5 + [1] * 5, object))
    assert mixed.names.tolist() == ["1", "a"]


def test_the_short_series_is_named():
    with pytest.raises(ValueError, match="Received: 2 steps in group b"):
        windows(np.arange(8.0), 4, groups=["a"] * 6 + ["b"] * 2)
