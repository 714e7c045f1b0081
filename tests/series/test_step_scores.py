"""Scores of steps: what they are, by brute force, and how often they are wrong."""

import functools
import itertools

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import kerasae
from kerasae import plots, series
from kerasae.datasets.made_series import KINDS
from kerasae.series.overlap import normal_levels, step_values, windows_over
from kerasae.series.scores import over_channels, smoothed

RNG = np.random.default_rng(0)
LENGTH = 16


def autocorrelated(steps, channels=2, seed=0, memory=0.9):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps, channels))
    for t in range(1, steps):
        x[t] = memory * x[t - 1] + np.sqrt(1 - memory**2) * x[t]
    return x.astype("float32")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((LENGTH, 2), (8, 6))
    made.compile(keras.optimizers.Adam(0.003))
    made.fit(series.windows(autocorrelated(600, seed=1), LENGTH), epochs=3, verbose=0)
    return made


@pytest.fixture
def calibrated(model):
    series.calibrate(model, autocorrelated(800, seed=2), stride=3, smooth=5, block=40)
    return model


OVER = {"mean": np.mean, "median": np.median, "low": functools.partial(np.quantile, q=0.1)}


@pytest.mark.parametrize("how", OVER)
@pytest.mark.parametrize(("length", "stride"), [(3, 1), (4, 3), (5, 5), (7, 2)])
def test_values_of_steps_are_those_of_the_windows_over_them(how, length, stride, monkeypatch):
    monkeypatch.setattr("kerasae.series.overlap.SEGMENT", 2)
    cut = series.windows(np.arange(40.0), length, stride)
    values = RNG.normal(size=(len(cut), length, 2)).astype("float32")
    got = step_values(lambda some: {"x": values[some]}, cut.starts, length, 40, how)["x"]
    for step in range(40):
        over = [
            values[i, step - start]
            for i, start in enumerate(cut.starts)
            if start <= step < start + length
        ]
        expected = OVER[how](over, axis=0)
        np.testing.assert_allclose(got[step], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", OVER)
def test_levels_are_the_means_of_normal_steps_with_so_many_windows(how):
    """In the middle of a long series, of windows that start four apart, four are over a step."""
    cut = series.windows(np.arange(40_000.0), LENGTH, 4)
    errors = RNG.chisquare(1, (len(cut), LENGTH, 2)).astype("float32")
    levels = normal_levels(errors, cut.starts, 4, how)
    assert levels.shape == (4, 2)
    got = step_values(lambda some: {"x": errors[some]}, cut.starts, LENGTH, 40_000, how)["x"]
    np.testing.assert_allclose(levels[-1], got[100:-100].mean(axis=0), rtol=0.05)
    np.testing.assert_allclose(levels[0], errors.mean(axis=(0, 1)), rtol=1e-3)
    over = windows_over(cut.starts, LENGTH, 40_000)
    assert over[[0, 3, 4, 12, 500, -1]].tolist() == [1, 1, 2, 4, 4, 1]


def test_scores_are_errors_over_normal_ones(calibrated):
    """By brute force, from the errors of the windows."""
    x = autocorrelated(100, seed=3)
    cut = series.windows(x, LENGTH, 3)
    errors = calibrated.reconstruction_error(cut, per_feature=True) / calibrated.steps.profile
    pairs = list(zip(errors, cut.starts, strict=True))
    over = [[e[t - s] for e, s in pairs if s <= t < s + LENGTH] for t in range(100)]
    levels = calibrated.steps.levels
    # The last window is nearer to the one before: there can be one more than elsewhere.
    raw = [np.quantile(e, 0.1, axis=0) / levels[min(len(e), len(levels)) - 1] for e in over]
    near = [[(3 - abs(u - t), raw[u]) for u in range(100) if abs(u - t) < 3] for t in range(100)]
    each = np.array([sum(w * e for w, e in one) / sum(w for w, _ in one) for one in near])
    found = series.score(calibrated, x)
    np.testing.assert_allclose(found.channel_scores, each, rtol=1e-4)
    np.testing.assert_allclose(found.score, np.sqrt((each**2).mean(axis=1)), rtol=1e-4)
    np.testing.assert_array_equal(found.is_anomaly, found.score > calibrated.steps.threshold)
    rows = calibrated.reconstruct(cut)
    middle = [r[50 - s] for r, s in zip(rows, cut.starts, strict=True) if s <= 50 < s + LENGTH]
    np.testing.assert_allclose(found.expected[50], np.median(middle, axis=0), rtol=1e-4)
    assert np.isfinite(found.score).all()  # the first and the last step, too


@pytest.mark.parametrize("how", OVER)
def test_normal_steps_have_scores_of_about_one(model, how):
    normal = autocorrelated(4000, seed=9)
    series.calibrate(model, normal, stride=4, how=how)
    found = series.score(model, normal).channel_scores
    np.testing.assert_allclose(found.mean(axis=0), 1, atol=0.02)
    # In a series of a single window, too, which has no second chance.
    groups = np.arange(4000) // LENGTH
    short = series.score(model, normal, groups=groups).channel_scores
    np.testing.assert_allclose(short.mean(axis=0), 1, atol=0.1)


def test_each_group_is_scored_alone(calibrated):
    parts = [autocorrelated(60, seed=5), autocorrelated(45, seed=6)]
    x = np.concatenate(parts)
    groups = np.repeat(["b", "a"], [60, 45])
    order = RNG.permutation(105)
    order = order[np.argsort(groups[order] == "a", kind="stable")]
    mixed = np.empty(105, int)  # rows of both in turns, each in its order
    turns = np.argsort(RNG.random(105))
    mixed[np.sort(turns[:60])] = np.arange(60)
    mixed[np.sort(turns[60:])] = np.arange(60, 105)
    got = series.score(calibrated, x[mixed], groups=groups[mixed])
    alone = [series.score(calibrated, part) for part in parts]
    for name in ("score", "channel_scores", "expected", "p_value"):
        whole = np.concatenate([getattr(one, name) for one in alone])
        np.testing.assert_allclose(getattr(got, name), whole[mixed], rtol=1e-5)


def test_padding_has_no_score():
    keras.utils.set_random_seed(0)
    model = kerasae.stacked_autoencoder((LENGTH, 2), (8, 6), mask_value=-9.0)
    x = autocorrelated(200)
    series.calibrate(model, x)
    groups = [0] * 100 + [1] * 7
    found = series.score(model, x[:107], groups=groups)
    assert found.score.shape == (107,)
    assert np.isfinite(found.score).all()
    row = np.full((1, LENGTH, 2), -9, "float32")
    row[0, :7] = x[100:107]
    error = model.reconstruction_error(row)[0]
    profile = model.steps.profile[:7]
    back = model.reconstruct(row)[0, :7]
    assert error == pytest.approx(np.square(x[100:107] - back).mean(), rel=1e-4)
    each = smoothed((np.square(x[100:107] - back) / profile).astype("float32"), model.steps.smooth)
    each /= model.steps.levels[0]  # of a single window
    np.testing.assert_allclose(found.channel_scores[100:], each, rtol=1e-3)


def test_a_calibration_is_saved_and_goes_with_the_weights(calibrated, tmp_path):
    x = autocorrelated(60, seed=7)
    expected = series.score(calibrated, x)
    calibrated.save(tmp_path / "model.keras")
    loaded = kerasae.load_model(tmp_path / "model.keras")
    for one, other in zip(series.score(loaded, x), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    now = [series.Stream(one).update(x).p_value for one in (loaded, calibrated)]
    np.testing.assert_array_equal(*now)
    loaded.set_weights([1.01 * w for w in loaded.get_weights()])
    with pytest.raises(ValueError, match="must be calibrated after training"):
        series.score(loaded, x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"how": "max"}, "how must be one of low, mean, median"),
        ({"threshold": "p101"}, "threshold must be a percentile"),
        ({"threshold": 0.001, "block": 50}, "must have at least 49950 normal steps"),
        ({"stride": 0}, "stride must be a whole number"),
        ({"stride": 17}, "stride must be at most the 16 steps of a window"),
    ],
)
def test_bad_settings_are_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        series.calibrate(model, autocorrelated(300), **options)


def test_models_of_other_rows_are_refused():
    dense = kerasae.stacked_autoencoder((8,), (2,))
    with pytest.raises(ValueError, match="must take windows of a series"):
        series.calibrate(dense, autocorrelated(300))


# False alarms -----------------------------------------------------------------------------------


def test_p_values_of_blocks_hold_the_rate_where_those_of_steps_do_not():
    """Over many series whose steps are alike for longer than half a block."""
    alpha, block, runs = 0.1, 50, 600
    x = np.abs(autocorrelated(10 * block + 400, runs, seed=8, memory=0.98))[400:]
    normal, new = x[: 9 * block], x[9 * block :]
    shares = {}
    for b in (1, block):
        flagged = [
            new[:, i] > series.NormalScores(normal[:, i], b).tail(alpha) for i in range(runs)
        ]
        shares[b] = np.mean(flagged)
    assert shares[block] <= alpha
    assert shares[block] > 0.2 * alpha  # and not by never flagging
    assert shares[1] > alpha + 0.02


def test_thresholds_and_p_values_agree():
    normal = series.NormalScores(RNG.random(500), 20)
    scores = RNG.random(1000).astype("float32")
    for alpha in (0.05, 0.1, 0.3):
        flagged = scores > normal.tail(alpha)
        np.testing.assert_array_equal(flagged, normal.p_values(scores) <= alpha)
    one = series.NormalScores(np.arange(9.0), 1)  # independent steps: conformal p-values as usual
    np.testing.assert_allclose(one.p_values([8.5, 4.0, -1.0]), [0.1, 0.6, 1.0])


def test_false_alarms_on_autocorrelated_series_keep_to_the_rate(model):
    """Twenty new series, scored by the model, offline and as they come."""
    alpha = 0.05
    series.calibrate(model, autocorrelated(4000, seed=9), alpha, stride=2, block=64)
    new = np.concatenate([autocorrelated(300, seed=100 + i) for i in range(20)])
    found = series.score(model, new, groups=np.arange(6000) // 300)
    assert 0.2 * alpha < found.is_anomaly.mean() <= 1.2 * alpha
    stream = series.Stream(model).update(autocorrelated(4000, seed=10))
    assert 0.2 * alpha < stream.is_anomaly.mean() <= 1.2 * alpha


# Streams ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[60], [1] * 60, [15, 1, 0, 30, 14]])
def test_how_steps_come_does_not_matter(calibrated, sizes):
    x = autocorrelated(60, seed=11)
    stream, start, parts = series.Stream(calibrated), 0, []
    for size in sizes:
        if size:
            parts.append(stream.update(x[start : start + size]))
        start += size
    got = [np.concatenate(part) for part in zip(*parts, strict=True)]
    assert np.isnan(got[0][: LENGTH - 1]).all()
    assert not got[2][: LENGTH - 1].any()
    cut = series.windows(x, LENGTH)
    errors = calibrated.reconstruction_error(cut, per_feature=True)[:, -5:]
    expected = over_channels((errors / calibrated.steps.profile[-5:]).mean(axis=1))
    np.testing.assert_allclose(got[0][LENGTH - 1 :], expected, rtol=1e-4)
    last = calibrated.reconstruct(cut)[:, -1]
    np.testing.assert_allclose(got[4][LENGTH - 1 :], last, rtol=1e-4, atol=1e-6)


def test_a_stream_keeps_nothing_of_bad_steps(calibrated):
    x = autocorrelated(40, seed=12)
    stream, other = series.Stream(calibrated), series.Stream(calibrated)
    stream.update(x[:20])
    other.update(x[:20])
    for bad in (np.full((1, 2), np.nan), np.zeros((1, 3))):
        with pytest.raises(ValueError, match="must hold"):
            stream.update(bad)
    np.testing.assert_array_equal(stream.update(x[20:]).score, other.update(x[20:]).score)


def test_a_stream_takes_no_steps_and_columns_by_name(calibrated):
    x = autocorrelated(40, seed=12)
    assert series.Stream(calibrated).update(x[:0]).score.shape == (0,)
    named = kerasae.stacked_autoencoder((LENGTH, 2), (8, 6), columns=["a", "b"])
    table = pd.DataFrame(autocorrelated(300), columns=["a", "b"])
    series.calibrate(named, table)
    for score in (
        lambda one: series.score(named, one).score,
        lambda one: series.Stream(named).update(one).score,
    ):
        np.testing.assert_array_equal(score(table), score(table[["b", "a"]]))


# Anomalies --------------------------------------------------------------------------------------


def test_short_gaps_are_filled_before_short_spans_are_dropped():
    flags = [1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 1]
    merged = series.merged(flags, min_duration=3, max_gap=1).astype(int)
    assert merged.tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    assert series.merged(flags).astype(int).tolist() == flags
    with pytest.raises(ValueError, match="max_gap must be"):
        series.merged(flags, max_gap=-1)


def test_an_anomaly_is_found_with_its_channel_and_its_time(calibrated):
    x = autocorrelated(400, seed=13)
    x[200:230, 1] += 6
    times = np.datetime64("2026-01-01") + np.arange(400) * np.timedelta64(1, "h")
    found = series.score(calibrated, x)
    anomalies = series.find_anomalies(
        found, min_duration=5, max_gap=10, timestamps=times, columns=["load", "speed"]
    )
    worst = max(anomalies, key=lambda one: one.score)
    assert worst.channel == "speed"
    assert worst.start < 230
    assert worst.end > 200
    assert worst.start_time == times[worst.start]
    assert worst.end_time == times[worst.end - 1]
    assert found.score[worst.peak] == worst.score
    spans = [(one.start, one.end, ["load", "speed"].index(one.channel)) for one in anomalies]
    figure = plots.step_anomalies(
        x, found.expected, found.score, spans, calibrated.steps.threshold, timestamps=times
    )
    assert [axes.get_ylabel() for axes in figure.axes] == ["channel 0", "channel 1", "score"]
    assert len(figure.axes[0].patches) == len(anomalies)
    value, expected = figure.axes[1].get_lines()
    np.testing.assert_allclose(value.get_ydata(), x[:, 1])
    np.testing.assert_allclose(expected.get_ydata(), found.expected[:, 1])


def test_anomalies_of_groups_are_counted_within_them(calibrated):
    x = autocorrelated(200, seed=14)
    x[150:160] += 8
    groups = np.repeat(["a", "b"], 100)
    found = series.find_anomalies(series.score(calibrated, x, groups=groups), groups=groups)
    worst = max(found, key=lambda one: one.score)
    assert worst.group == "b"
    assert worst.start <= 55 < worst.end


# Metrics ----------------------------------------------------------------------------------------


def test_the_range_auc_of_a_single_step_is_the_usual_one():
    labels = np.zeros(50, bool)
    labels[20] = True
    scores = RNG.random(50)
    assert series.range_auc(labels, scores, 0) == pytest.approx(roc_auc_score(labels, scores))


@pytest.mark.parametrize("buffer", [0, 4, 10])
def test_the_range_auc_is_that_of_its_definition(buffer):
    labels = np.zeros(80, bool)
    labels[10:18] = labels[22:25] = labels[60:75] = True
    scores = RNG.random(80) + 0.5 * labels
    scores[::7] = 0.5  # ties
    soft = labels.astype(float)
    for start, end in series.spans(labels):
        for d in range(1, buffer // 2 + 1):
            for step in (start - d, end - 1 + d):
                if 0 <= step < 80:
                    soft[step] += np.sqrt(1 - d / buffer)
    soft = np.minimum(soft, 1)
    events = series.spans(soft > 0)
    positives = (labels.sum() + soft.sum()) / 2
    points = [(0.0, 0.0)]
    for limit in np.unique(scores)[::-1]:
        flags = scores >= limit
        hits = (soft * flags).sum()
        share = np.mean([flags[start:end].any() for start, end in events])
        tpr = min(1, hits / positives) * share
        points.append((min(1, (flags.sum() - hits) / (80 - positives)), tpr))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in itertools.pairwise(points))
    assert series.range_auc(labels, scores, buffer) == pytest.approx(area)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"groups": ["a"]}, "groups must have one entry a step, 60"),
        ({"timestamps": [1, 2]}, "timestamps must have one entry a step, 60"),
        ({"columns": ["load"]}, "columns must have one name a channel, 2"),
    ],
)
def test_anomalies_need_as_many_names_as_there_are_steps_and_channels(calibrated, options, words):
    found = series.score(calibrated, autocorrelated(60))
    with pytest.raises(ValueError, match=words):
        series.find_anomalies(found, **options)


def test_metrics_refuse_what_they_cannot_measure():
    for function, other in ((series.event_metrics, [1, 0]), (series.range_auc, [0.1, 0.2])):
        extra = (0,) if function is series.range_auc else ()
        with pytest.raises(ValueError, match="labels must hold an anomaly"):
            function([0, 0], other, *extra)
        with pytest.raises(ValueError, match="one entry a step"):
            function([0, 1, 0], other, *extra)
    with pytest.raises(ValueError, match="scores must not be NaN"):
        series.range_auc([0, 1], [0.1, np.nan], 0)
    assert series.event_metrics([0, 1], [0, 0]) == (0, 0, 0)


# Made series ------------------------------------------------------------------------------------


def test_made_series_are_normal_but_for_their_anomalies():
    made = kerasae.datasets.make_series(500, 3000, 2, seed=3)
    clean = kerasae.datasets.make_series(500, 3000, 2, seed=3, anomalies=0)
    np.testing.assert_array_equal(made.x_train, clean.x_train)
    changed = (made.x_test != clean.x_test).any(axis=1)
    assert not (changed & ~made.labels).any()
    assert (made.x_test[:, :] != clean.x_test).any(axis=1).sum() > 0.9 * made.labels.sum()
    assert {kind for _, _, kind in made.events} == set(KINDS)
    # One channel at a time.
    for start, end, _ in made.events:
        assert (made.x_test[start:end] != clean.x_test[start:end]).any(axis=0).sum() == 1
    again = kerasae.datasets.make_series(500, 3000, 2, seed=3)
    np.testing.assert_array_equal(again.x_test, made.x_test)
    assert (np.diff(made.timestamps) == np.timedelta64(15, "m")).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kinds": ("spikes",)}, "kind must be one of .*Try spike"),
        ({"period": 4}, "period must be at least 8"),
        ({"steps": 0}, "steps must be a whole number"),
    ],
)
def test_bad_made_series_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        kerasae.datasets.make_series(**options)
