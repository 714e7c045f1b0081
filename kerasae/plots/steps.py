"""A series over time, what was expected of it, and its anomalies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch

from kerasae.plots.arrays import finite, one_a_row
from kerasae.plots.colours import BLUE, GREY, ORANGE, YELLOW
from kerasae.plots.figure import Figure
from kerasae.plots.text import LITERAL, literal, literal_legend


def step_anomalies(
    x: Any,
    expected: Any,
    scores: Any,
    anomalies: Sequence[tuple[int, int, int]],
    threshold: float | None = None,
    *,
    timestamps: Any = None,
    columns: Sequence[str] | None = None,
    most: int = 8,
) -> Figure:
    """Draws the channels of a series with the values that were expected, and flagged spans.

    Args:
        x: Steps, shape (steps, channels), any units.
        expected: What the model expects, same shape and units; NaN where it expects nothing.
        scores: Anomaly score of each step, NaN where there is none; drawn below the channels.
        anomalies: (start, end, channel) of each flagged span: its first step, the step after its
            last, and the number of the channel that it is worst in, where it is drawn darker.
        threshold: Score above which a step is flagged, or None.
        timestamps: Time of each step, or None to number them.
        columns: Names of the channels, or None to number them.
        most: How many channels are drawn at most, those with the most anomalies first.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes do not go together, values are not finite, or `most` is below 1.

    Example:
        >>> x = np.zeros((50, 2))
        >>> figure = step_anomalies(x, x, np.ones(50), [(10, 20, 1)], columns=["load", "speed"])
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['load', 'speed', 'score']
    """
    x = finite("x", x, ndim=2)
    expected, scores = np.asarray(expected, "float64"), np.asarray(scores, "float64")
    if expected.shape != x.shape or scores.shape != x.shape[:1]:
        raise ValueError(
            "expected and scores must go with x. "
            f"Received: shapes {expected.shape} and {scores.shape} for {x.shape}"
        )
    if most < 1:
        raise ValueError(f"most must be at least 1. Received: most={most}")
    times = one_a_row("timestamps", timestamps, len(x))
    times = np.arange(len(x)) if times is None else times
    names = [f"channel {i}" for i in range(x.shape[1])] if columns is None else list(columns)
    found = np.bincount([channel for _, _, channel in anomalies], minlength=x.shape[1])
    shown = sorted(np.argsort(-found, kind="stable")[:most])
    figure = Figure(figsize=(11, 1.2 + 1.5 * (len(shown) + 1)), layout="constrained")
    grid = figure.subplots(len(shown) + 1, 1, sharex=True)
    for axes, channel in zip(grid, shown, strict=False):
        (value,) = axes.plot(times, x[:, channel], color=BLUE, lw=0.9)
        (line,) = axes.plot(times, expected[:, channel], color=GREY, lw=0.9, ls="--")
        axes.set_ylabel(literal(names[channel]), **LITERAL)
    (score,) = grid[-1].plot(times, scores, color="black", lw=0.8)
    grid[-1].set_ylabel("score")
    grid[-1].set_xlabel("step" if timestamps is None else "time")
    if np.nanmin(scores, initial=np.inf) > 0:
        grid[-1].set_yscale("log")
        grid[-1].yaxis.set_major_formatter("{x:g}")
        grid[-1].yaxis.set_minor_formatter("")
    entries = [(value, "value"), (line, "expected"), (score, "score")]
    if threshold is not None:
        limit = grid[-1].axhline(threshold, color=ORANGE, lw=1, ls=":")
        entries.append((limit, f"threshold {threshold:.3g}"))
    figure.align_ylabels()
    _shade(grid, shown, anomalies, times)
    if anomalies:
        entries.append((Patch(color=YELLOW, alpha=0.25), "anomaly"))
        entries.append((Patch(color=ORANGE, alpha=0.5), "in its worst channel"))
    literal_legend(figure, entries, loc="outside upper right", ncols=len(entries))
    return figure


def _shade(grid, shown, anomalies, times):
    last = len(times) - 1
    for start, end, worst in anomalies:
        # Half a step on both sides, so that a single step is seen, too.
        step = times[min(start + 1, last)] - times[max(start, 1) - 1 if start == last else start]
        ends = times[start] - step / 2, times[min(end, last + 1) - 1] + step / 2
        for axes, channel in zip(grid, [*shown, None], strict=True):
            dark = channel == worst
            axes.axvspan(*ends, color=ORANGE if dark else YELLOW, alpha=0.5 if dark else 0.25, lw=0)
