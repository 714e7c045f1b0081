"""Windows of series, cut without copying."""

import math
import warnings
from collections.abc import Iterator
from typing import Any, overload

import numpy as np

from kerasae.series.batches import WindowBatches
from kerasae.validation import as_rows, check_count


class Windows:
    """Windows of one or many series: views of its steps, which `fit` and `encode` take as rows.

    Args:
        series: Steps, shape (steps, channels), those of one series after those of another.
        length: Steps of a window.
        starts: First step of each window, in order.
        steps: Row of the user's data that each step came from, -1 for padding; shape (steps,).
        bounds: First step of each series and the step after its last, shape (series, 2).
        names: Name of each series, or None for a single one.
        timestamps: Timestamp of each of the user's rows, or None.
        columns: Names of the channels, or None.
    """

    def __init__(
        self,
        series: np.ndarray,
        length: int,
        starts: np.ndarray,
        *,
        steps: np.ndarray,
        bounds: np.ndarray,
        names: np.ndarray | None = None,
        timestamps: np.ndarray | None = None,
        columns: tuple[str, ...] | None = None,
    ) -> None:
        self.series, self.length, self.starts = series, length, starts
        self.steps, self.bounds, self.names = steps, bounds, names
        self.timestamps, self.columns = timestamps, columns
        every = np.lib.stride_tricks.sliding_window_view(series, length, axis=0)
        self._every = every.transpose(0, 2, 1)  # (steps - length + 1, length, channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(windows, length, channels)."""
        return (len(self.starts), self.length, self.series.shape[1])

    @property
    def dtype(self) -> Any:
        """That of the series."""
        return self.series.dtype

    @property
    def ndim(self) -> int:
        """3."""
        return 3

    @property
    def nbytes(self) -> int:
        """Bytes that a copy of all windows takes."""
        return math.prod(self.shape) * self.series.itemsize

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: Any) -> np.ndarray: ...
    def __getitem__(self, index: Any) -> np.ndarray:
        """One window, or several: a view where they follow each other in equal steps."""
        chosen = self.starts[index]
        if np.ndim(chosen) == 1 and len(chosen) > 1:
            by = np.diff(chosen)
            if by[0] > 0 and (by == by[0]).all():
                return self._every[chosen[0] : chosen[-1] + 1 : by[0]]
        return self._every[chosen]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self._every[start] for start in self.starts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All windows as one array of `shape`."""
        return np.array(self[:], dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        count, length, channels = self.shape
        of = f" of {len(self.bounds)} series" if self.names is not None else ""
        return f"Windows({count} windows{of}, {length} steps, {channels} channels)"

    def batches(
        self, batch_size: int = 128, *, shuffle: bool = False, seed: int = 0
    ) -> WindowBatches:
        """The windows as a `keras.utils.PyDataset`, which copies one batch at a time.

        Args:
            batch_size: Windows a batch.
            shuffle: Whether they come in another order in each epoch.
            seed: Integer, from which the orders follow.

        Returns:
            A dataset for `fit`, which trains on it with Keras's own loop. Windows in memory,
            `fit(windows)`, are faster as long as a copy of them all fits.
        """
        return WindowBatches(self, batch_size, shuffle=shuffle, seed=seed)


def windows(
    x: Any,
    length: int,
    stride: int = 1,
    *,
    groups: Any = None,
    timestamps: Any = None,
    pad_value: float | None = None,
) -> Windows:
    """Cuts one or many series into windows of one length.

    Windows begin every `stride` steps, and the last one ends with its series, so that every step is
    within one. None reaches from one series into another. The steps are copied once, if they
    are not sorted by group; the windows are views.

    Args:
        x: Steps in the user's units, shape (steps, channels) or (steps,), an array or a table.
        length: Steps of a window, at least 1.
        stride: Steps from one window to the next, at least 1.
        groups: Which series each step belongs to, shape (steps,), numbers or texts; None for one
            series. Each keeps the order of its steps.
        timestamps: Time of each step, shape (steps,), increasing within each series; or None.
        pad_value: What a series shorter than a window is filled up with at its end: the
            `mask_value` of the model. None refuses such a series.

    Returns:
        `Windows`.

    Raises:
        ValueError: A series is shorter than a window, timestamps that do not increase, lengths that
            differ, or steps that `as_rows` refuses.

    Example:
        >>> cut = windows(np.arange(7.0), 3, stride=2)
        >>> cut, cut[1].ravel().tolist(), cut.starts.tolist()
        (Windows(3 windows, 3 steps, 1 channels), [2.0, 3.0, 4.0], [0, 2, 4])
        >>> windows(np.arange(8.0), 3, stride=2).starts.tolist()  # the last ends with the series
        [0, 2, 4, 5]
        >>> np.shares_memory(cut[0], cut[1])
        True
    """
    check_count("length", length)
    check_count("stride", stride)
    columns = tuple(map(str, x.columns)) if hasattr(x, "columns") else None
    one = not hasattr(x, "columns") and len(getattr(x, "shape", ()) or np.shape(x)) == 1
    series = as_rows(np.reshape(np.asarray(x), (-1, 1)) if one else x)
    if series.ndim != 2:
        raise ValueError(
            "x must be steps of channels, (steps, channels). "
            f"Received: shape {series.shape}. Try the windows themselves in fit"
        )
    rows = np.arange(len(series))
    timestamps = one_a_step("timestamps", timestamps, len(series))
    names, codes = None, np.zeros(len(series), int)
    if groups is not None:
        names, codes = np.unique(_groups(groups, len(series)), return_inverse=True)
        if (np.diff(codes) < 0).any():
            rows = np.argsort(codes, kind="stable")
            series = series[rows]
    _check_increasing(timestamps, rows, codes, names)
    counts = np.bincount(codes)
    if pad_value is not None and (counts < length).any():
        series, rows, counts = _padded(series, rows, counts, int(length), float(pad_value))
    ends = np.cumsum(counts)
    bounds = np.stack([ends - counts, ends], axis=1)
    of = [""] * len(bounds) if names is None else [f" in group {name}" for name in names]
    cut = [
        _starts(first, end, int(length), int(stride), one)
        for (first, end), one in zip(bounds, of, strict=True)
    ]
    return Windows(
        series,
        int(length),
        np.concatenate(cut),
        steps=rows,
        bounds=bounds,
        names=names,
        timestamps=timestamps,
        columns=columns,
    )


def one_a_step(name: str, values: Any, count: int) -> np.ndarray | None:
    """Values as an array of one entry a step, or None for None.

    Args:
        name: What the message calls them.
        values: Array or list, or None.
        count: Number of steps.

    Raises:
        ValueError: There is another number of them.
    """
    if values is None:
        return None
    values = np.asarray(values)
    if values.shape != (count,):
        raise ValueError(
            f"{name} must have one entry a step, {count}. Received: shape {values.shape}"
        )
    return values


def _groups(values, count):
    values = one_a_step("groups", values, count)
    missing = np.isnan(values) if values.dtype.kind in "fM" else np.zeros(count, bool)
    if values.dtype.kind == "O":
        names = values.tolist()
        missing = np.array([one is None or str(one) in ("nan", "NaT", "<NA>") for one in names])
        if not missing.any() and len(set(map(type, names))) > 1:
            values = values.astype(str)  # texts and numbers have no order together
    if missing.any():
        raise ValueError(
            f"groups must name the series of each step. Received: {int(missing.sum())} missing "
            f"names, the first in row {int(missing.argmax())}. Try leaving these rows out"
        )
    return values


def _check_increasing(timestamps, rows, codes, names):
    if timestamps is None:
        return
    sorted_times, same = timestamps[rows], np.diff(np.sort(codes)) == 0
    back = np.flatnonzero(same & ~(sorted_times[1:] > sorted_times[:-1]))
    if len(back):
        row = rows[back[0] + 1]
        of = "" if names is None else f" of group {names[codes[row]]!r}"
        raise ValueError(
            f"timestamps must increase from step to step{of}. Received: {timestamps[row]} after "
            f"{sorted_times[back[0]]} in row {row}. Try sorting the rows, and leaving out those "
            "that come twice"
        )
    _warn_of_gaps(sorted_times, same)


def _warn_of_gaps(times, same):
    """Warns of steps that are missing: windows go over them as if they were not."""
    if times.dtype.kind not in "Miuf":
        return
    apart = np.diff(times)
    if not same.any():
        return
    usual = np.sort(apart[same])[same.sum() // 2]
    gaps = np.flatnonzero(same & (apart > 1.5 * usual))
    if len(gaps):
        usual = _plain(usual) if apart.dtype.kind == "m" else f"{usual:g}"
        many = f"{len(gaps)} gaps" if len(gaps) > 1 else "a gap"
        warnings.warn(
            f"the times have {many} of more than {usual}, the usual distance, first after "
            f"{times[gaps[0]]}; windows pass over that, so fill or resample the steps before",
            stacklevel=4,
        )


def _plain(apart):
    """A time difference in its largest whole unit."""
    for unit in ("D", "h", "m", "s"):
        whole = apart.astype(f"timedelta64[{unit}]")
        if whole == apart and whole.astype(int):
            return str(whole)
    return str(apart)


def _padded(series, rows, counts, length, pad_value):
    parts, numbers = [], []
    cuts = np.cumsum(counts)[:-1]
    for piece, own in zip(np.split(series, cuts), np.split(rows, cuts), strict=True):
        missing = max(0, length - len(piece))
        parts += [piece, np.full((missing, series.shape[1]), pad_value, series.dtype)]
        numbers += [own, np.full(missing, -1)]
    return np.concatenate(parts), np.concatenate(numbers), np.maximum(counts, length)


def _starts(first, end, length, stride, of):
    if end - first < length:
        raise ValueError(
            f"x must have at least {length} steps, as many as a window. "
            f"Received: {end - first} steps{of}. "
            "Try a shorter window, or pad_value for a model with mask_value"
        )
    starts = np.arange(first, end - length + 1, stride)
    return starts if starts[-1] == end - length else np.append(starts, end - length)
