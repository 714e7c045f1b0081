"""How well scores and flags find labelled anomalies of a series, event by event."""

from typing import Any, NamedTuple

import numpy as np


class EventMetrics(NamedTuple):
    """The result of `event_metrics`.

    Attributes:
        precision: Share of the flagged spans that touch an anomaly; 0 where nothing is flagged.
        recall: Share of the anomalies that a flagged span touches.
        f1: Their harmonic mean.
    """

    precision: float
    recall: float
    f1: float


def spans(flags: Any) -> np.ndarray:
    """The spans of consecutive steps that are flagged.

    Args:
        flags: Booleans, shape (steps,).

    Returns:
        Integers of shape (spans, 2): the first step of each, and the step after its last.

    Example:
        >>> spans([0, 1, 1, 0, 1]).tolist()
        [[1, 3], [4, 5]]
    """
    edges = np.diff(np.concatenate([[0], np.asarray(flags, bool).astype(int), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def event_metrics(labels: Any, flags: Any) -> EventMetrics:
    """Precision and recall of events: spans of steps, of which one step found is enough.

    Args:
        labels: Whether each step is within an anomaly, shape (steps,).
        flags: Whether each step was flagged, the same shape.

    Returns:
        `EventMetrics`.

    Raises:
        ValueError: The shapes differ, or there is no anomaly.

    Reference: Hundman et al. (2018), Detecting spacecraft anomalies using LSTMs and nonparametric
    dynamic thresholding, section 4.

    Example:
        >>> event_metrics([0, 1, 1, 0, 0, 1], [1, 0, 1, 0, 0, 0])
        EventMetrics(precision=0.5, recall=0.5, f1=0.5)
    """
    labels, flags = _checked(labels, flags, "flags")
    flags = flags.astype(bool)
    found = [bool(flags[start:end].any()) for start, end in spans(labels)]
    right = [bool(labels[start:end].any()) for start, end in spans(flags)]
    recall = float(np.mean(found))
    precision = float(np.mean(right)) if right else 0.0
    both = precision + recall
    return EventMetrics(precision, recall, 2 * precision * recall / both if both else 0.0)


def range_auc(labels: Any, scores: Any, buffer: int) -> float:
    r"""Area under the range-aware ROC curve: an anomaly is a span, and near it counts a little.

    The labels $\ell$ fall off over half a `buffer` on both sides of an anomaly,
    $\sqrt{1 - d / \mathtt{buffer}}$ at distance d, to $\ell_r$. With flags f of the steps whose
    score reaches a threshold,

    $$\mathrm{TPR} = \min \Big( 1, \frac{\sum \ell_r f}{P} \Big)
    \frac{\text{anomalies found}}{\text{anomalies}}, \quad
    \mathrm{FPR} = \frac{\sum f - \sum \ell_r f}{n - P}, \quad
    P = \frac{\sum \ell + \sum \ell_r}{2}$$

    Args:
        labels: Whether each step is within an anomaly, shape (steps,).
        scores: Anomaly score of each step, the same shape; higher is more anomalous.
        buffer: Steps, at least 0; about the length of an anomaly. With 0 the only difference from
            the usual curve is that it asks for each anomaly.

    Returns:
        The area, in [0, 1]; about 0.5 or less for scores that know nothing.

    Raises:
        ValueError: The shapes differ, or there is no anomaly, or nothing else.

    Reference: Paparrizos et al. (2022), Volume under the surface: a new accuracy evaluation measure
    for time-series anomaly detection, section 4.1 (R-AUC-ROC).

    Example:
        >>> range_auc([0, 0, 1, 1, 0, 0], [0.1, 0.2, 0.9, 0.8, 0.2, 0.1], buffer=0)
        1.0
    """
    labels, scores = _checked(labels, scores, "scores")
    if buffer < 0:
        raise ValueError(f"buffer must be at least 0. Received: buffer={buffer}")
    if labels.all():
        raise ValueError("labels must hold normal steps, too. Received: anomalies alone")
    soft = soft_labels(labels, buffer)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # of equal scores
    hits = np.cumsum(soft[order])[last]
    flagged = last + 1.0
    events = spans(soft > 0)
    highest = np.array([scores[start:end].max() for start, end in events])
    existence = (highest[:, None] >= scores[order][last]).mean(axis=0)
    positives = (labels.sum() + soft.sum()) / 2
    tpr = np.minimum(1, hits / positives) * existence
    fpr = (flagged - hits) / (len(labels) - positives)
    return float(np.trapezoid(np.append(0, tpr), np.append(0, np.minimum(1, fpr))))


def soft_labels(labels: np.ndarray, buffer: int) -> np.ndarray:
    """Labels that fall off on both sides of each anomaly; see `range_auc`."""
    soft = labels.astype("float64")
    half = np.arange(1, buffer // 2 + 1)
    fall = np.sqrt(1 - half / max(buffer, 1))
    for start, end in spans(labels):
        for steps, values in ((end - 1 + half, fall), (start - half, fall)):
            inside = (steps >= 0) & (steps < len(labels))
            soft[steps[inside]] += values[inside]
    return np.minimum(1, soft)


def _checked(labels, values, name):
    labels, values = np.asarray(labels).astype(bool), np.asarray(values)
    if labels.ndim != 1 or labels.shape != values.shape:
        raise ValueError(
            f"labels and {name} must have one entry a step. "
            f"Received: shapes {labels.shape} and {values.shape}"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(
            f"{name} must not be NaN. Received: {int(np.isnan(values).sum())} that are. "
            "Try leaving out the steps of padding"
        )
    if not labels.any():
        raise ValueError("labels must hold an anomaly. Received: none")
    return labels, values
