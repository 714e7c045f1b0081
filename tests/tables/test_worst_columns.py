"""Why a row is an anomaly, by name; labels of 0 and 1."""

import numpy as np
import pytest

import kerasae
from kerasae.anomaly import labelled_threshold, ranking, worst_columns

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def calibrated(model, table):
    kerasae.anomaly.calibrate(model, table)
    return model


def test_the_odd_cell_is_named_with_its_value_and_what_is_expected(calibrated, table):
    odd = table.head(4).copy()
    odd.iloc[0, odd.columns.get_loc("size")] = 60.0
    odd.iloc[1, odd.columns.get_loc("count")] = -500
    odd.iloc[2, odd.columns.get_loc("colour")] = "mauve"
    found = kerasae.anomaly.score(calibrated, odd, top=2).worst
    assert found.column[:3, 0].tolist() == ["size", "count", "colour"]
    assert found.value[:2, 0].tolist() == [60.0, -500]
    assert found.value[2, 0] == "(unseen)"
    assert found.expected[2, 0] in ("red", "green", "blue")
    assert found.error[0, 0] > 10
    assert found.error[1, 0] < -10
    assert found.error[2, 0] > 0
    assert (np.abs(found.error[:, 0]) >= np.abs(found.error[:, 1])).all()


def test_errors_are_relative_to_those_of_normal_rows(calibrated, table):
    errors = calibrated.reconstruction_error(table, per_feature=True)
    means = errors.sum(axis=0) / np.count_nonzero(errors, axis=0)
    np.testing.assert_allclose(calibrated.anomaly.column_errors, means, rtol=1e-4)
    found = worst_columns(calibrated, table, top=6)
    expected = np.sqrt(np.take_along_axis(errors / means, found.position, axis=1))
    np.testing.assert_allclose(np.abs(found.error), expected, rtol=1e-3, atol=1e-6)


def test_plain_models_with_names_explain_too():
    import pandas as pd

    x = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 4)), columns=[*"abcd"])
    model = kerasae.stacked_autoencoder((4,), (2,))
    model.fit(x, epochs=3, verbose=0)
    kerasae.anomaly.calibrate(model, x)
    odd = x.head(1).assign(c=-30.0)
    found = kerasae.anomaly.score(model, odd, top=1).worst
    assert found.column[0, 0] == "c"
    assert found.error[0, 0] < 0
    nameless = kerasae.stacked_autoencoder((4,), (2,))
    with pytest.raises(ValueError, match="names of its columns"):
        worst_columns(nameless, np.zeros((1, 4)))


def test_ranking_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    scores, labels = rng.normal(size=80), rng.integers(0, 2, 80)
    above = scores[labels == 1][:, None] > scores[labels == 0][None]
    found = ranking(scores, labels)
    assert found.roc_auc == pytest.approx(above.mean())
    order = labels[np.argsort(-scores)]
    precision = np.cumsum(order) / np.arange(1, 81)
    assert found.average_precision == pytest.approx(precision[order == 1].mean())
    with pytest.raises(ValueError, match="0 for normal rows"):
        ranking(scores, np.zeros(80))


def test_thresholds_by_labels_are_the_best_of_all():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    scores = rng.normal(size=60).round(1) + labels
    cut = labelled_threshold("f1", scores, labels)

    def f1(threshold):
        flagged = scores > threshold
        return 2 * (flagged & (labels == 1)).sum() / (flagged.sum() + labels.sum())

    assert f1(cut) == max(f1(one) for one in [*scores, scores.min() - 1])
    for share in (0.0001, 0.05, 0.2):
        cut = labelled_threshold(f"fpr:{share}", scores, labels)
        rate = (scores[labels == 0] > cut).mean()
        assert rate <= share
        lower = scores[scores < cut]
        assert not len(lower) or (scores[labels == 0] > lower.max()).mean() > share
    with pytest.raises(ValueError, match="f1 or fpr"):
        labelled_threshold("fpr", scores, labels)


def test_calibration_keeps_the_normal_rows(model, table):
    labels = np.zeros(len(table), int)
    odd = table.copy()
    odd.iloc[:5, odd.columns.get_loc("size")] = 50.0
    labels[:5] = 1
    threshold = kerasae.anomaly.calibrate(model, odd, "f1", labels=labels)
    scores = kerasae.anomaly.score(model, odd)
    assert (scores.is_anomaly == (labels == 1)).all()
    assert len(model.anomaly.scores) == len(table) - 5
    assert threshold == model.anomaly.threshold
