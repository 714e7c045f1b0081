"""What labels say of anomaly scores: how well they rank the anomalies, and where to cut."""

import re
from typing import Any, NamedTuple

import numpy as np

from kerasae.anomaly.calibration import check_scores
from kerasae.validation import as_numbers, required


class Ranking(NamedTuple):
    """How well scores rank anomalies above normal rows.

    Attributes:
        roc_auc: Share of the pairs of an anomaly and a normal row in which the anomaly is higher.
        average_precision: Mean precision over the anomalies, in order of their scores.
    """

    roc_auc: float
    average_precision: float


def ranking(scores: Any, labels: Any) -> Ranking:
    """Measures scores by labels.

    Args:
        scores: Anomaly scores, shape (rows,).
        labels: 1 for an anomaly, 0 for a normal row, shape (rows,).

    Returns:
        `Ranking`.

    Raises:
        ValueError: The labels are not 0 and 1, both of them.
        ModuleNotFoundError: scikit-learn is missing.

    Reference: Fawcett (2006), An introduction to ROC analysis.

    Example:
        >>> ranking([0.1, 0.9, 0.4], [0, 1, 0])
        Ranking(roc_auc=1.0, average_precision=1.0)
    """
    scores, labels = _pair(scores, labels)
    required("sklearn", "measures of a ranking")
    from sklearn.metrics import average_precision_score, roc_auc_score  # noqa: PLC0415

    return Ranking(
        float(roc_auc_score(labels, scores)), float(average_precision_score(labels, scores))
    )


def labelled_threshold(rule: str, scores: Any, labels: Any) -> float:
    """A threshold from rows of which some are known to be anomalies.

    Args:
        rule: "f1" for the highest F1 of the rows above it, or "fpr:0.01" for the lowest above which
            at most this share of the normal rows lies.
        scores: Anomaly scores, shape (rows,).
        labels: 1 for an anomaly, 0 for a normal row, shape (rows,).

    Returns:
        The score above which a row is an anomaly.

    Raises:
        ValueError: The rule cannot be read, or the labels are not 0 and 1, both of them.

    Example:
        >>> labelled_threshold("f1", [0.1, 0.9, 0.4, 0.8], [0, 1, 0, 1])
        0.4
    """
    scores, labels = _pair(scores, labels)
    found = np.unique(scores)
    if rule == "f1":
        # A row is an anomaly above the threshold: each score but the highest, and what is below.
        cuts = np.append(np.nextafter(found[0], -np.inf), found[:-1])
        order = np.sort(scores[labels])
        above = len(order) - np.searchsorted(order, cuts, side="right")
        flagged = len(scores) - np.searchsorted(np.sort(scores), cuts, side="right")
        f1 = 2 * above / (flagged + len(order))
        return float(cuts[np.flatnonzero(f1 == f1.max())[-1]])
    share = re.fullmatch(r"fpr:(0?\.\d+|\d(?:\.\d+)?e-\d+)", rule)
    if share is None:
        raise ValueError(
            "threshold must be f1 or fpr:SHARE where there are labels. "
            f"Received: threshold={rule!r}. Try fpr:0.01"
        )
    normal = np.sort(scores[~labels])
    allowed = int(np.floor(float(share[1]) * len(normal) + 1e-9))
    return float(normal[len(normal) - 1 - allowed] if allowed < len(normal) else found[0])


def by_labels(threshold: Any) -> bool:
    """Whether a threshold is one that labels are needed for.

    Args:
        threshold: What a user gave: text or number.

    Returns:
        True for "f1" and "fpr:SHARE".

    Example:
        >>> by_labels("fpr:0.01"), by_labels("p99")
        (True, False)
    """
    return str(threshold) == "f1" or str(threshold).startswith("fpr")


def _pair(scores, labels):
    scores = np.asarray(scores, "float64")
    check_scores(scores)
    numbers = as_numbers(labels, len(scores), "labels").ravel()
    if not np.array_equal(np.unique(numbers), [0, 1]):
        few = ", ".join(map(str, np.unique(numbers)[:5]))
        raise ValueError(
            f"labels must be 0 for normal rows and 1 for anomalies, both. Received: {few}"
        )
    return scores, numbers.astype(bool)
