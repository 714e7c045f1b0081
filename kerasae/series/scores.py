"""Scores of the steps of a series, from the windows over them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasae.anomaly import threshold_rule
from kerasae.series.calibration import HOW, NormalScores, StepCalibration
from kerasae.series.overlap import step_values
from kerasae.series.windows import Windows, windows
from kerasae.validation import check_count, unknown

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# Windows that the mean errors of normal ones are taken from, at most.
PROFILE_WINDOWS = 4096


class StepScores(NamedTuple):
    """The results of `score`, one entry a step, in the order of the steps that came.

    Attributes:
        score: float32, (steps,): error over that of normal steps, about 1 where a step is normal.
        p_value: float32, (steps,), in (0, 1]; see `NormalScores`.
        is_anomaly: bool, (steps,): whether the score is above the threshold.
        channel_scores: float32, (steps, channels): of each channel; their mean is the score.
        expected: float32, (steps, channels): what the model expects, in the user's units.
    """

    score: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    channel_scores: np.ndarray
    expected: np.ndarray


def calibrate(
    model: "Autoencoder",
    x: Any,
    threshold: str | float = "p99",
    *,
    groups: Any = None,
    stride: int | None = None,
    how: str = "mean",
    smooth: int | None = None,
    block: int | None = None,
    batch_size: int = 256,
    verbose: int | str = 0,
) -> float:
    """Scores normal steps and keeps the scores with the model, to be saved with it.

    Steps that the model was not trained on give honest p-values. The calibration is cleared when
    the weights or the scaler of the model change.

    Args:
        model: An `Autoencoder` of rows (steps, channels).
        x: Normal steps in the user's units, shape (steps, channels) or (steps,).
        threshold: "p99" flags steps that score above the 99th percentile of the normal ones; "3sd"
            above their mean plus 3 standard deviations; a number alpha in (0, 1) flags p-values of
            at most alpha: an expected share of at most alpha of new normal steps, where blocks are
            exchangeable; see `NormalScores`.
        groups: Which series each step belongs to, shape (steps,), or None for one.
        stride: Steps from one window to the next, here and in `score`; by default a sixteenth of a
            window. With 1 every window is used.
        how: "mean" or "median" of the errors that the windows over a step give it.
        smooth: Steps that scores are averaged over; by default a third of a window. With 1 the
            start and the end of an anomaly are sharp, and more noise passes for one.
        block: Steps of a block, within which steps depend on each other; by default two windows,
            as far as overlapping ones reach. Where the series itself is correlated for longer, or
            has a season, take as much, or a multiple of the season.
        batch_size: Windows a step of the model.
        verbose: 1, or "auto", for a progress bar.

    Returns:
        The score above which a step is an anomaly.

    Raises:
        ValueError: A threshold that cannot be read or needs more steps, rows of another kind, a
            series shorter than a window, or steps that do not fit the model.

    Example:
        >>> import kerasae
        >>> made = kerasae.datasets.make_series(1200, 600, 1, period=24, anomalies=3)
        >>> model = kerasae.stacked_autoencoder((48, 1), (8, 8, 4))
        >>> history = model.fit(windows(made.x_train[:900], 48, 4), verbose=0)
        >>> limit = calibrate(model, made.x_train[900:])
        >>> found = score(model, made.x_test)
        >>> found.score.shape, found.expected.shape
        ((600,), (600, 1))
    """
    if how not in HOW:
        raise ValueError(unknown("how", how, HOW))
    check_count("stride", stride)
    check_count("smooth", smooth)
    check_count("block", block)
    rule = _rule(threshold)
    length = _length(model)
    stride = int(stride or max(1, length // 16))
    cut = windows(x, length, stride, groups=groups, pad_value=model.mask_value)
    some = np.linspace(0, len(cut) - 1, min(len(cut), PROFILE_WINDOWS)).round().astype(int)
    profile = normal_errors(_of_windows(model, cut[some], batch_size, verbose)["errors"])
    made = StepCalibration()
    smooth = min(int(smooth or max(1, length // 3)), length)
    made.configure(how, stride, smooth, block or 2 * length, profile)
    now = np.empty(len(cut), "float32")
    found = _of_steps(model, cut, made, batch_size, verbose, now)
    scores = found["channel_scores"].mean(axis=-1)
    made.fit(scores[np.isfinite(scores)], now[np.isfinite(now)], rule)
    made.model_state = model._state()
    state: dict[str, Any] = {}
    made.save_own_variables(state)
    model.steps.load_own_variables(state)
    return made.threshold


def score(
    model: "Autoencoder",
    x: Any,
    *,
    groups: Any = None,
    batch_size: int = 256,
    verbose: int | str = 0,
) -> StepScores:
    """Scores every step of one or many series, from the windows over it.

    Args:
        model: An `Autoencoder` after `series.calibrate`.
        x: Steps in the user's units, shape (steps, channels) or (steps,); at least a window of each
            series, or, for a model with `mask_value`, any number.
        groups: Which series each step belongs to, shape (steps,), or None for one.
        batch_size: Windows a step of the model.
        verbose: 1, or "auto", for a progress bar.

    Returns:
        `StepScores`; NaN, and no anomaly, where a step is padding.

    Raises:
        ValueError: The model is not calibrated, a series is shorter than a window, or steps that
            do not fit the model.

    Example:
        >>> import kerasae
        >>> series = np.sin(np.arange(400) / 5)
        >>> model = kerasae.stacked_autoencoder((20, 1), (8, 4))
        >>> _ = kerasae.series.calibrate(model, series)
        >>> score(model, series[:60]).score.shape
        (60,)
    """
    calibration = calibrated(model)
    length = _length(model)
    cut = windows(x, length, calibration.stride, groups=groups, pad_value=model.mask_value)
    found = _of_steps(model, cut, calibration, batch_size, verbose)
    real = cut.steps >= 0
    ordered = {}
    for name, values in found.items():
        ordered[name] = np.empty((real.sum(), *values.shape[1:]), values.dtype)
        ordered[name][cut.steps[real]] = values[real]
    return as_scores(ordered, calibration.normal, calibration.threshold)


def calibrated(model: "Autoencoder") -> StepCalibration:
    """What a model knows of normal steps, or an error where it knows nothing."""
    calibration: StepCalibration = model.steps
    if not (calibration.fitted and calibration.model_state == model._state()):
        model._check_weights()
        raise ValueError(
            f"the model must be calibrated after training. Received: {model.name}, without scores "
            "of normal steps. Try kerasae.series.calibrate(model, normal_steps)"
        )
    return calibration


def as_scores(found: dict[str, np.ndarray], normal: NormalScores, threshold: float) -> StepScores:
    """`StepScores` of channels' scores and expected values, by name."""
    scores = found["channel_scores"].mean(axis=-1)
    # A step whose score overflows is an anomaly; one of padding has none.
    return StepScores(scores, normal.p_values(scores), scores > threshold, **found)


def normal_errors(errors: np.ndarray) -> np.ndarray:
    """Mean errors of normal windows, (length, channels), none of them so small as to be chance."""
    mean = np.nanmean(errors, axis=0, dtype="float64")
    return np.maximum(mean, 1e-3 * np.nanmean(mean) + 1e-12).astype("float32")


def smoothed(values: np.ndarray, steps: int) -> np.ndarray:
    """A moving average over so many steps, fewer at both ends; NaN is left out, and stays.

    Args:
        values: Array of shape (steps, ...).
        steps: How many, at least 1; the step itself is in the middle.

    Returns:
        Array of the same shape and dtype.

    Example:
        >>> smoothed(np.array([0.0, 3.0, 0.0, np.nan]), 3).tolist()
        [1.5, 1.0, 1.5, nan]
    """
    real = ~np.isnan(values)
    sums = [np.where(real, values, 0).astype("float64"), real.astype("float64")]
    totals = [np.concatenate([np.zeros_like(one[:1]), one.cumsum(axis=0)]) for one in sums]
    middle = np.arange(len(values))
    first = np.maximum(middle - (steps - 1) // 2, 0)
    end = np.minimum(middle + steps // 2 + 1, len(values))
    total, count = (one[end] - one[first] for one in totals)
    return np.where(real, total / np.maximum(count, 1), np.nan).astype(values.dtype)


def newest(errors: np.ndarray, calibration: StepCalibration) -> np.ndarray:
    """Scores of the channels at the last step of each window, (windows, channels)."""
    last = slice(-calibration.smooth, None)
    return np.nanmean(errors[:, last] / calibration.profile[last], axis=1)


def _rule(threshold: str | float) -> Callable[[NormalScores], float]:
    percentile = threshold_rule(threshold)
    try:
        alpha = float(threshold)
    except ValueError:
        return lambda normal: percentile(normal.scores.astype("float64"))
    return lambda normal: normal.tail(alpha)


def _length(model):
    if len(model.row_shape) != 2:
        raise ValueError(
            "the model must take windows of a series, rows (steps, channels). "
            f"Received: {model.name}, of rows of shape {model.row_shape}"
        )
    return model.row_shape[0]


def _of_windows(model, rows, batch_size, verbose=0):
    """Errors and reconstructions of windows; the errors of padding are NaN."""

    def both(x):
        return {"errors": model._errors(x), "expected": model(x)}

    rows = model._checked_rows(rows, "x")
    run = model._streams.run
    found = run("windows", both, rows, batch_size=batch_size, verbose=verbose)
    if model.mask_value is not None:
        real = (rows != model.mask_value).any(axis=-1)
        # The model weighs them so that their mean is that over the real steps.
        found["errors"] *= real.mean(axis=1)[:, None, None]
        found["errors"][~real] = np.nan
    return found


def _of_steps(model, cut: Windows, calibration, batch_size, verbose, now=None):  # noqa: PLR0917
    """Scores of the channels and expected values of all steps; fills in those of the newest."""

    def values(some):
        found = _of_windows(model, cut[some], batch_size, verbose)
        errors = found["errors"] / calibration.profile
        if now is not None:
            now[some] = newest(found["errors"], calibration).mean(axis=-1)
        return {"channel_scores": errors, "expected": found["expected"]}

    found = step_values(values, cut.starts, cut.length, len(cut.series), calibration.how)
    for first, end in cut.bounds:
        part = found["channel_scores"][first:end]
        part[:] = smoothed(part, calibration.smooth)
    return found
