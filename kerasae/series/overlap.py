"""From values of overlapping windows to one value a step."""

from collections.abc import Callable, Iterator

import numpy as np

from kerasae.validation import unknown

# Steps whose windows are held in memory at once, as a multiple of the length of a window.
SEGMENT = 32
OVER = {"mean": np.nanmean, "median": np.nanmedian}


def step_values(
    values: Callable[[slice], dict[str, np.ndarray]],
    starts: np.ndarray,
    length: int,
    steps: int,
    how: str = "mean",
) -> dict[str, np.ndarray]:
    """The mean or median, at each step, of the values that the windows over it give it.

    Args:
        values: Function from a slice of the windows to arrays by name, each (windows, length, ...).
        starts: First step of each window, in order.
        length: Steps of a window.
        steps: Number of steps.
        how: "mean" or "median".

    Returns:
        An array a name, float32, (steps, ...); NaN where there is no window over a step.

    Raises:
        ValueError: An unknown `how`.

    Example:
        >>> cut = np.array([[0.0, 2.0], [4.0, 6.0]])
        >>> step_values(lambda some: {"x": cut[some]}, np.array([0, 1]), 2, 3)["x"].tolist()
        [0.0, 3.0, 6.0]
    """
    if how not in OVER:
        raise ValueError(unknown("how", how, list(OVER)))
    parts: dict[str, list[np.ndarray]] = {}
    for first, end, some in _segments(starts, length, steps):
        for name, cut in values(some).items():
            found = _over_steps(cut, starts[some] - first, end - first, how)
            parts.setdefault(name, []).append(found)
    return {name: np.concatenate(found) for name, found in parts.items()}


def _segments(starts: np.ndarray, length: int, steps: int) -> Iterator[tuple[int, int, slice]]:
    """Pieces of the steps, and the windows over each."""
    for first in range(0, steps, SEGMENT * length):
        end = min(first + SEGMENT * length, steps)
        some = slice(
            int(np.searchsorted(starts, first - length, side="right")),
            int(np.searchsorted(starts, end)),
        )
        yield first, end, some


def _over_steps(cut, starts, steps, how):
    """Values of windows over `steps` steps, some of which begin before or end after them."""
    count, length = cut.shape[:2]
    places = starts[:, None] + np.arange(length)
    inside = (places >= 0) & (places < steps)
    if how == "mean":
        total = np.zeros((steps, *cut.shape[2:]))
        np.add.at(total, places[inside], cut[inside])
        times = np.bincount(places[inside], minlength=steps).reshape(-1, *[1] * (cut.ndim - 2))
        return (total / np.where(times, times, np.nan)).astype("float32")
    # Windows that overlap get different lines; as many as there are over one step at most.
    overlap = np.searchsorted(starts, starts + length) - np.arange(count)
    lines = int(overlap.max(initial=1))
    stacked = np.full((lines, steps, *cut.shape[2:]), np.nan, "float32")
    line = np.broadcast_to((np.arange(count) % lines)[:, None], places.shape)
    stacked[line[inside], places[inside]] = cut[inside]
    with np.errstate(all="ignore"):
        return np.nanmedian(stacked, axis=0).astype("float32")
