import keras
import numpy as np
import pytest
from keras import ops

from kerasae import KSparse, SpatialWinnerTakeAll, WinnerTakeAll

LAYERS = {
    "k-sparse": lambda: KSparse(2),
    "lifetime": lambda: WinnerTakeAll(0.25),
    "spatial": lambda: SpatialWinnerTakeAll(0.25),
}


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def codings(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def k_largest(h, k):
    order = np.argsort(-h, axis=-1, kind="stable")[..., :k]
    kept = np.zeros_like(h)
    np.put_along_axis(kept, order, np.take_along_axis(h, order, -1), -1)
    return kept


@pytest.mark.parametrize("k", [1, 3, 8, 9, 20])
@pytest.mark.parametrize("training", [True, False])
def test_k_sparse_keeps_the_k_largest(k, training):
    h = codings(30, 9)
    expected = k_largest(h, min(k, 9))
    np.testing.assert_array_equal(numpy(KSparse(k)(h, training=training)), expected)


@pytest.mark.parametrize(("alpha", "kept"), [(1.0, 3), (2.0, 6), (1.4, 4), (100.0, 9)])
def test_alpha_is_of_inference(alpha, kept):
    h = codings(30, 9)
    layer = KSparse(3, alpha)
    np.testing.assert_array_equal(numpy(layer(h, training=True)), k_largest(h, 3))
    np.testing.assert_array_equal(numpy(layer(h)), k_largest(h, kept))


def test_k_may_be_a_whole_number_of_any_type():
    h = codings(4, 9)
    for k in (3.0, np.int64(3), np.float32(3)):
        np.testing.assert_array_equal(numpy(KSparse(k)(h, training=True)), k_largest(h, 3))


def test_ties_are_kept():
    h = np.array([[2.0, 2.0, 2.0, 1.0], [0.0, 0.0, 0.0, 3.0], [5.0, 4.0, 4.0, 1.0]], "float32")
    expected = [[2, 2, 2, 0], [0, 0, 0, 3], [5, 4, 4, 0]]
    np.testing.assert_array_equal(numpy(KSparse(2)(h)), expected)
    won = numpy(WinnerTakeAll(0.5)(h.T, training=True))
    np.testing.assert_array_equal(won, np.transpose(expected))
    maps = np.array([3.0, 1.0, 3.0, 2.0], "float32").reshape(1, 2, 2, 1)
    got = numpy(SpatialWinnerTakeAll(1.0)(maps)).ravel()
    np.testing.assert_array_equal(got, [3, 0, 3, 0])


@pytest.mark.parametrize(("rows", "winners"), [(40, 0.05), (40, 0.5), (7, 0.3), (33, 0.99)])
def test_lifetime_winners_are_the_largest_of_each_unit(rows, winners):
    h = codings(rows, 5)
    expected = k_largest(h.T, max(1, round(winners * rows))).T
    got = numpy(WinnerTakeAll(winners)(h, training=True))
    np.testing.assert_array_equal(got, expected)
    assert ((got != 0).sum(axis=0) == max(1, round(winners * rows))).all()


def spatial(maps, kept):
    """The largest of each map, and of these those of the rows that excite it most."""
    rows, units = maps.shape[0], maps.shape[-1]
    flat = maps.reshape(rows, -1, units)
    best = k_largest(np.swapaxes(flat, 1, 2), 1)
    highest = flat.max(axis=1)
    won = k_largest(highest.T, kept).T != 0
    return np.swapaxes(best * won[:, :, None], 1, 2).reshape(maps.shape)


@pytest.mark.parametrize(("rows", "winners"), [(20, 0.05), (20, 0.4), (9, 0.5)])
def test_spatial_winners_are_one_place_a_map_in_the_best_rows(rows, winners):
    maps = codings(rows, 4, 3, 6)
    kept = max(1, round(winners * rows))
    got = numpy(SpatialWinnerTakeAll(winners)(maps, training=True))
    np.testing.assert_array_equal(got, spatial(maps, kept))
    assert (np.count_nonzero(got, axis=(0, 1, 2)) == kept).all()


@pytest.mark.parametrize("training", [True, False])
def test_all_rows_win(training):
    h = codings(10, 4)
    np.testing.assert_array_equal(numpy(WinnerTakeAll(1)(h, training=training)), h)
    maps = codings(5, 3, 3, 4)
    got = numpy(SpatialWinnerTakeAll(1.0)(maps, training=training))
    np.testing.assert_array_equal(got, spatial(maps, 5))


@pytest.mark.parametrize("family", LAYERS)
def test_a_batch_of_one_row_wins_alone(family):
    h = codings(1, 3, 3, 4) if family == "spatial" else codings(1, 4)
    got = numpy(LAYERS[family]()(h, training=True))
    expected = {"k-sparse": k_largest(h, 2), "lifetime": h, "spatial": None}[family]
    np.testing.assert_array_equal(got, spatial(h, 1) if expected is None else expected)


@pytest.mark.parametrize("family", LAYERS)
def test_gradients_reach_the_winners_only(family, gradient):
    h = codings(12, 3, 3, 4) if family == "spatial" else codings(12, 4)
    layer = LAYERS[family]()
    won = numpy(layer(h, training=True)) != 0
    assert 0 < won.mean() < 1
    slope = gradient(lambda x: ops.sum(3.0 * layer(x, training=True)), h)
    np.testing.assert_array_equal(slope, 3.0 * won)


@pytest.mark.parametrize("family", LAYERS)
def test_each_row_answers_alone_at_inference(family):
    h = codings(12, 3, 3, 4) if family == "spatial" else codings(12, 4)
    layer = LAYERS[family]()
    for _ in range(5):
        layer(h, training=True)
    together = numpy(layer(h))
    alone = np.concatenate([numpy(layer(row[None])) for row in h])
    np.testing.assert_array_equal(alone, together)
    np.testing.assert_array_equal(numpy(layer(h)), together)


@pytest.mark.parametrize("winners", [0.05, 0.2, 0.5])
@pytest.mark.fast(every=3)
def test_thresholds_converge_to_the_quantile(winners):
    layer = WinnerTakeAll(winners)
    draw = np.random.default_rng(0)
    scales = np.array([1.0, 2.0, 10.0], "float32")
    for _ in range(120):
        layer((draw.random((200, 3)) * scales).astype("float32"), training=True)
    np.testing.assert_allclose(numpy(layer.threshold) / scales, 1 - winners, atol=0.025)
    fresh = (draw.random((5000, 3)) * scales).astype("float32")
    share = (numpy(layer(fresh)) != 0).mean(axis=0)
    np.testing.assert_allclose(share, winners, atol=0.03)


def test_thresholds_of_a_constant_batch_converge_to_its_least_winner():
    h = np.abs(codings(40, 3))
    layer = WinnerTakeAll(0.25)
    for _ in range(200):
        won = numpy(layer(h, training=True))
    least = np.where(won > 0, won, np.inf).min(axis=0)
    np.testing.assert_allclose(numpy(layer.threshold), least, rtol=1e-5)


def test_spatial_thresholds_are_of_the_largest_of_each_map():
    maps = np.random.default_rng(0).random((50, 4, 4, 3), "float32")
    layer = SpatialWinnerTakeAll(0.2)
    for _ in range(150):
        layer(maps, training=True)
    expected = np.sort(maps.max(axis=(1, 2)), axis=0)[-10]
    np.testing.assert_allclose(numpy(layer.threshold), expected, rtol=1e-4)


def test_the_threshold_is_saved(tmp_path):
    h = codings(40, 3)
    model = keras.Sequential([keras.Input((3,)), WinnerTakeAll(0.25)])
    model(h, training=True)
    model.save(tmp_path / "wta.keras")
    loaded = keras.saving.load_model(tmp_path / "wta.keras")
    np.testing.assert_array_equal(numpy(loaded(h)), numpy(model(h)))
    assert loaded.layers[0].winners == 0.25


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("family", LAYERS)
def test_half_precision_keeps_its_dtype_and_its_winners(family, dtype):
    h = codings(12, 3, 3, 4) if family == "spatial" else codings(12, 4)
    half = ops.cast(h, dtype)
    rounded = numpy(ops.cast(half, "float32"))
    for training in (True, False):
        halved, full = LAYERS[family](), LAYERS[family]()
        got = halved(half, training=training)
        assert keras.backend.standardize_dtype(got.dtype) == dtype
        np.testing.assert_array_equal(
            numpy(ops.cast(got, "float32")), numpy(full(rounded, training=training))
        )


@pytest.mark.parametrize(
    ("make", "word"),
    [
        *((lambda k=k: KSparse(k), "k must be") for k in (0, -1, 1.5, float("nan"), float("inf"))),
        *((lambda a=a: KSparse(2, a), "alpha must be") for a in (0.5, float("nan"), float("inf"))),
        *((lambda w=w: WinnerTakeAll(w), "winners must") for w in (0, -0.1, 1.1, float("nan"))),
        (lambda: SpatialWinnerTakeAll(2), "winners must"),
    ],
)
def test_impossible_arguments_are_refused(make, word):
    with pytest.raises(ValueError, match=f"{word}.*Received: .*="):
        make()
