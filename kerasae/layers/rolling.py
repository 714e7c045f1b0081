"""Scalers that follow the rows: mean and spread of columns over rows as they come."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae.layers.scaling import RangeScaling

# A scaler is changed where a column's mean has moved by this share of its spread, or its spread by
# this share of itself: each change has programs compiled anew, and moves what the network sees.
TOLERANCE = 0.01
VARIANCE, RANGE = "variance", "range"


class Rolling(NamedTuple):
    """Statistics of columns over the rows so far.

    Attributes:
        rows: How many rows they are of.
        mean: float64, of the columns.
        spread: float64: variance or range, as the scaler has it.
    """

    rows: float
    mean: np.ndarray
    spread: np.ndarray


def follow_rows(
    scaler: keras.layers.Layer | None,
    rows: np.ndarray,
    before: Rolling | None,
    *,
    memory: float,
    weight: np.ndarray | None = None,
) -> Rolling | None:
    r"""Takes new rows into the statistics of a scaler, and changes it where they have moved.

    With the share $w = n / (N + n)$ of n new rows beside N of before, mean m and variance v become

    $$m' = (1 - w) m + w \bar x \qquad
    v' = (1 - w) (v + (m - m')^2) + w (\mathrm{var}(x) + (\bar x - m')^2)$$

    which for unbounded N is the mean and the variance of all rows so far. A range grows to hold
    the new rows. Scalers of fixed numbers, and those of quantiles, stay as they are.

    Args:
        scaler: The scaler of a model, adapted, or None.
        rows: New rows as the scaler takes them, (rows, ...); NaN where a cell is missing.
        before: What the last call returned, or None: the rows of the scaler then count as `memory`,
            which must be finite.
        memory: N at most: rows of before count as no more than this many.
        weight: Weight of each row, or None.

    Returns:
        The statistics, or None for a scaler that stays.

    Reference: Chan, Golub and LeVeque (1983), Algorithms for computing the sample variance.
    """
    if (kind := _kind(scaler)) is None:
        return None
    mean, spread = _read(scaler, kind)
    unit = np.sqrt(spread) if kind == VARIANCE else spread
    unit = np.where(unit > 0, unit, 1)
    if before is None or (np.abs(before.mean - mean) > 2 * TOLERANCE * unit).any():
        before = Rolling(memory, mean, spread)  # it was adapted since
    layout: Any = getattr(scaler, "layout", None)
    values = rows if layout is None else rows[:, layout.values]
    found = _joined(before, np.asarray(values, "float64"), kind, memory, weight)
    new = np.sqrt(found.spread) if kind == VARIANCE else found.spread
    moved = (np.abs(found.mean - mean) > TOLERANCE * unit) | (np.abs(new / unit - 1) > TOLERANCE)
    if moved.any():
        _write(scaler, found)
    return found


def _joined(known, values, kind, memory, weight):
    """The statistics with those of new rows, of which each has one or more values of a column."""
    x = values.reshape(-1, known.mean.size)
    mass = np.ones(len(values)) if weight is None else np.asarray(weight, "float64")
    mass = np.repeat(mass * len(values) / len(x), len(x) // len(values))[:, None] * ~np.isnan(x)
    x, new = np.nan_to_num(x), mass.sum(axis=0)
    mean = (mass * x).sum(axis=0) / np.maximum(new, 1e-12)
    old = min(known.rows, memory)
    share = new / np.maximum(old + new, 1e-12)
    joined = known.mean + share * (mean - known.mean)
    if kind == VARIANCE:
        variance = (mass * np.square(x - mean)).sum(axis=0) / np.maximum(new, 1e-12)
        spread = (1 - share) * (known.spread + np.square(known.mean - joined))
        spread = spread + share * (variance + np.square(mean - joined))
    else:
        high, low = (of(np.where(mass > 0, x, known.mean), axis=0) for of in (np.max, np.min))
        beyond = [high - low, high - known.mean, known.mean - low]
        spread = np.maximum.reduce([known.spread, *beyond])
    spread = np.where(new > 0, spread, known.spread)
    return Rolling(old + float(new.max()), joined, spread)


def _kind(scaler):
    """What a scaler measures that can be followed, or None."""
    if isinstance(scaler, RangeScaling):
        return RANGE
    if isinstance(scaler, keras.layers.Normalization):
        of_first_axes = len(np.squeeze(scaler.mean).shape) and scaler.mean.shape[-1] == 1
        return None if of_first_axes and np.size(scaler.mean) > 1 else VARIANCE
    numbers = getattr(scaler, "numbers", None) if hasattr(scaler, "layout") else None
    return {"standard": VARIANCE, "range": RANGE}.get(str(numbers))


def _read(scaler, kind):
    """Mean and spread as the statistics have them, flat."""
    names = ("mean", "spread" if hasattr(scaler, "spread") else "range")
    normalization = isinstance(scaler, keras.layers.Normalization)
    parts = (getattr(scaler, name) for name in (("mean", "variance") if normalization else names))
    mean, spread = (ops.convert_to_numpy(one).astype("float64").ravel() for one in parts)
    return mean, np.square(spread) if kind == VARIANCE and not normalization else spread


def _write(scaler: Any, found):
    if isinstance(scaler, RangeScaling):
        scaler.mean, scaler.range = found.mean, found.spread
    elif not isinstance(scaler, keras.layers.Normalization):
        spread = np.sqrt(found.spread) if scaler.numbers == "standard" else found.spread
        scaler.mean = found.mean.astype("float32")
        scaler.spread = np.where(spread > 0, spread, 1).astype("float32")
    elif scaler.input_mean is None:
        scaler.adapt_mean.assign(found.mean.reshape(scaler.adapt_mean.shape))
        scaler.adapt_variance.assign(found.spread.reshape(scaler.adapt_variance.shape))
        scaler.finalize_state()
    else:  # one that was made with its numbers, which its config holds
        scaler.input_mean, scaler.input_variance = found.mean, found.spread
        shape = scaler.mean.shape
        scaler.mean, scaler.variance = (
            ops.convert_to_tensor(one.reshape(shape).astype("float32")) for one in found[1:]
        )
