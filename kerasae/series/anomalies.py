"""From flags of steps to anomalies with a start and an end."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from kerasae.series.metrics import spans
from kerasae.series.scores import StepScores
from kerasae.series.windows import one_a_step
from kerasae.validation import check_count


class Anomaly(NamedTuple):
    """A span of steps that is an anomaly.

    Attributes:
        start: Number of its first step.
        end: Number of the step after its last; counted within its group, where there are groups.
        start_time: Timestamp of the first step, or None.
        end_time: Timestamp of the last step, or None.
        group: Name of its series, or None.
        channel: Name, or number, of the channel whose scores are highest in it, summed up.
        peak: Number of the step with the highest score.
        score: That score.
        p_value: The p-value of that score.
    """

    start: int
    end: int
    start_time: Any
    end_time: Any
    group: Any
    channel: str | int
    peak: int
    score: float
    p_value: float


def merged(flags: Any, *, min_duration: int = 1, max_gap: int = 0) -> np.ndarray:
    """Flags in which short gaps are filled, and then short spans dropped.

    Args:
        flags: Booleans, shape (steps,).
        min_duration: Steps that a span has at least.
        max_gap: Steps between two spans that become one, at most.

    Returns:
        Booleans, shape (steps,).

    Raises:
        ValueError: `min_duration` is below 1, or `max_gap` below 0.

    Example:
        >>> merged([1, 0, 1, 0, 0, 0, 1], min_duration=2, max_gap=1).astype(int).tolist()
        [1, 1, 1, 0, 0, 0, 0]
    """
    check_count("min_duration", min_duration)
    if not (max_gap >= 0 and max_gap % 1 == 0):
        raise ValueError(
            f"max_gap must be a whole number of at least 0. Received: max_gap={max_gap}"
        )
    flags = np.array(flags, bool)
    found = spans(flags)
    for (_, end), (start, _) in itertools.pairwise(found):
        if start - end <= max_gap:
            flags[end:start] = True
    for start, end in spans(flags):
        if end - start < min_duration:
            flags[start:end] = False
    return flags


def find_anomalies(
    scores: StepScores,
    *,
    min_duration: int = 1,
    max_gap: int = 0,
    groups: Any = None,
    timestamps: Any = None,
    columns: Sequence[str] | None = None,
) -> list[Anomaly]:
    """The anomalies of one or many series, in order.

    Args:
        scores: What `score` or `Stream.update` returned.
        min_duration: Steps that an anomaly has at least.
        max_gap: Steps between two flagged spans that become one, at most.
        groups: Which series each step belongs to, as `score` was given it.
        timestamps: Time of each step, shape (steps,), or None.
        columns: Names of the channels, or None.

    Returns:
        A list of `Anomaly`.

    Raises:
        ValueError: `min_duration` is below 1, or `max_gap` below 0, or groups, timestamps or
            columns are not as many as the steps or channels.

    Example:
        >>> score, flags = np.array([1.0, 8.0, 9.0, 1.0]), np.array([False, True, True, False])
        >>> of_channels = np.array([[1.0, 1.0], [7.0, 9.0], [8.0, 10.0], [1.0, 1.0]])
        >>> scores = StepScores(score, np.ones(4), flags, of_channels, np.zeros((4, 2)))
        >>> (found,) = find_anomalies(scores, columns=["load", "speed"])
        >>> found.start, found.end, found.channel, found.score
        (1, 3, 'speed', 9.0)
    """
    count, channels = scores.channel_scores.shape
    groups = one_a_step("groups", groups, count)
    times = one_a_step("timestamps", timestamps, count)
    if columns is not None and len(columns) != channels:
        raise ValueError(
            f"columns must have one name a channel, {channels}. Received: {len(columns)} names"
        )
    if groups is None:
        members = {None: np.arange(len(scores.score))}
    else:
        names, codes = np.unique(np.asarray(groups), return_inverse=True)
        members = {name: np.flatnonzero(codes == i) for i, name in enumerate(names)}
    found = []
    for group, rows in members.items():
        flags = merged(scores.is_anomaly[rows], min_duration=min_duration, max_gap=max_gap)
        for start, end in spans(flags):
            inside = rows[start:end]
            peak = int(np.nanargmax(scores.score[inside]))
            channel = int(np.nansum(scores.channel_scores[inside], axis=0).argmax())
            found.append(
                Anomaly(
                    start=int(start),
                    end=int(end),
                    start_time=None if times is None else times[inside[0]],
                    end_time=None if times is None else times[inside[-1]],
                    group=group,
                    channel=channel if columns is None else columns[channel],
                    peak=int(start) + peak,
                    score=float(scores.score[inside[peak]]),
                    p_value=float(scores.p_value[inside[peak]]),
                )
            )
    return found
