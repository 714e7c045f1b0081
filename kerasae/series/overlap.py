"""From values of overlapping windows to one value a step."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from kerasae.validation import unknown

# Steps whose windows are held in memory at once, as a multiple of the length of a window.
SEGMENT = 32
# Values of several windows to one: their mean, or the share of them that is at most as high.
OVER = {"mean": None, "median": 0.5, "low": 0.1}


def step_values(
    values: Callable[[slice], dict[str, np.ndarray]],
    starts: np.ndarray,
    length: int,
    steps: int,
    how: str | Mapping[str, str] = "mean",
) -> dict[str, np.ndarray]:
    """The mean or a quantile, at each step, of the values that the windows over it give it.

    Args:
        values: Function from a slice of the windows to arrays by name, each (windows, length, ...).
        starts: First step of each window, in order.
        length: Steps of a window.
        steps: Number of steps.
        how: "mean", "median", or "low" for the 10th percentile; or one of them by name.

    Returns:
        An array a name, float32, (steps, ...); NaN where there is no window over a step.

    Raises:
        ValueError: An unknown `how`.

    Example:
        >>> cut = np.array([[0.0, 2.0], [4.0, 6.0]])
        >>> step_values(lambda some: {"x": cut[some]}, np.array([0, 1]), 2, 3)["x"].tolist()
        [0.0, 3.0, 6.0]
    """
    for one in (how,) if isinstance(how, str) else how.values():
        if one not in OVER:
            raise ValueError(unknown("how", one, list(OVER)))
    parts: dict[str, list[np.ndarray]] = {}
    for first, end, some in _segments(starts, length, steps):
        for name, cut in values(some).items():
            own = how if isinstance(how, str) else how[name]
            found = _over_steps(cut, starts[some] - first, end - first, own)
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
    return over_windows(stacked, how).astype("float32")


def over_windows(values: np.ndarray, how: str) -> np.ndarray:
    """The mean or a quantile of values along the first axis; NaN is left out.

    Args:
        values: Array of shape (windows, ...).
        how: As in `step_values`.

    Returns:
        Array of shape (...); NaN where all are.

    Example:
        >>> over_windows(np.array([5.0, np.nan, 1.0, 3.0]), "median").tolist()
        3.0
    """
    count = (~np.isnan(values)).sum(axis=0)
    if how == "mean":
        return np.nansum(values, axis=0) / np.where(count, count, np.nan)
    # `nanquantile` would call Python for each step.
    ordered = np.sort(values, axis=0)  # NaN at the end
    place = OVER[how] * np.maximum(count - 1, 0)
    below = place.astype(int)
    low, high = (
        np.take_along_axis(ordered, one[None], axis=0)[0]
        for one in (below, np.minimum(below + 1, np.maximum(count - 1, 0)))
    )
    with np.errstate(invalid="ignore"):
        return np.where(low == high, low, low + (place - below) * (high - low))


def windows_over(starts: np.ndarray, length: int, steps: int) -> np.ndarray:
    """How many windows are over each step.

    Args:
        starts: First step of each window.
        length: Steps of a window.
        steps: Number of steps.

    Returns:
        Integers of shape (steps,).

    Example:
        >>> windows_over(np.array([0, 1]), 2, 3).tolist()
        [1, 2, 1]
    """
    begin, end = (np.bincount(one, minlength=steps + 1) for one in (starts, starts + length))
    return (begin - end).cumsum()[:steps]


def normal_levels(values: np.ndarray, starts: np.ndarray, stride: int, how: str) -> np.ndarray:
    """What normal steps have on average, by how many windows are over them.

    A low quantile of many windows is lower than that of one: without this, the first and last
    steps of a series, and series of a single window, would seem worse than others.

    Args:
        values: Values of normal windows, shape (windows, length, channels).
        starts: First step of each window.
        stride: Steps from one window to the next.
        how: As in `step_values`.

    Returns:
        Array of shape (count, channels), for 1, 2, ... windows over a step.
    """
    length = values.shape[1]
    levels: list[np.ndarray] = []
    for count in range(1, -(-length // stride) + 1):
        far = (count - 1) * stride
        first = np.flatnonzero(starts[count - 1 :] - starts[: len(starts) - count + 1] == far)
        if not len(first):
            break
        # The same steps, in windows that follow each other.
        same = [values[first + i, far - i * stride : length - i * stride] for i in range(count)]
        found = over_windows(np.stack(same), how)
        levels.append(np.nanmean(found, axis=(0, 1), dtype="float64"))
    return np.stack(levels).astype("float32")
