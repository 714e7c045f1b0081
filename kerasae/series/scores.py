"""Scores of the steps of a series, from the windows over them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasae.anomaly import threshold_rule
from kerasae.series.calibration import HOW, NormalScores, StepCalibration
from kerasae.series.overlap import normal_levels, step_values, windows_over
from kerasae.series.windows import Windows, windows
from kerasae.validation import as_rows, check_count, unknown

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# Windows that the mean errors of normal ones are taken from, at most, in runs.
PROFILE_WINDOWS, RUNS = 4096, 8


class StepScores(NamedTuple):
    """The results of `score`, one entry a step, in the order of the steps that came.

    Attributes:
        score: float32, (steps,): error over that of normal steps, about 1 where a step is normal.
        p_value: float32, (steps,), in (0, 1]; see `NormalScores`.
        is_anomaly: bool, (steps,): whether the score is above the threshold.
        channel_scores: float32, (steps, channels): of each channel; the score is their root
            mean square.
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
    how: str = "low",
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
        how: "mean", "median", or "low" for the 10th percentile, of the errors that the windows over
            a step give it; see `StepCalibration`.
        smooth: Steps that scores are averaged over, near ones more; by default half a window. With
            1 the start and the end of an anomaly are sharp, and more noise passes for one.
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
    if stride > length:
        raise ValueError(
            f"stride must be at most the {length} steps of a window, to score every step. "
            f"Received: stride={stride}"
        )
    x = steps_of(model, x)
    cut = windows(x, length, stride, groups=groups, pad_value=model.mask_value)
    some = _some(len(cut))
    errors = _of_windows(model, cut[some], batch_size, verbose)["errors"]
    profile = normal_errors(errors)
    levels = normal_levels(errors / profile, cut.starts[some], stride, how)
    made = StepCalibration()
    smooth = min(int(smooth or max(1, length // 2)), length)
    made.configure(how, stride, smooth, block or 2 * length, profile=profile, levels=levels)
    now = np.empty(len(cut), "float32")
    found = _of_steps(model, cut, made, batch_size, verbose, now)
    scores = over_channels(found["channel_scores"])
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
    x = steps_of(model, x)
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
    scores = over_channels(found["channel_scores"])
    # A step whose score overflows is an anomaly; one of padding has none.
    return StepScores(scores, normal.p_values(scores), scores > threshold, **found)


def normal_errors(errors: np.ndarray) -> np.ndarray:
    """Mean errors of normal windows, (length, channels), none of them so small as to be chance."""
    mean = np.nanmean(errors, axis=0, dtype="float64")
    return np.maximum(mean, 1e-3 * np.nanmean(mean) + 1e-12).astype("float32")


def over_channels(scores: np.ndarray) -> np.ndarray:
    """The root mean square over the channels, the last axis, of their scores.

    An anomaly in one of many channels counts for more than in their mean.

    Example:
        >>> over_channels(np.array([[1.0, 1.0], [7.0, 1.0]])).tolist()
        [1.0, 5.0]
    """
    with np.errstate(over="ignore"):
        mean = np.square(scores, dtype="float64").mean(axis=-1)
        return np.sqrt(mean).astype(scores.dtype)


def smoothed(values: np.ndarray, steps: int) -> np.ndarray:
    """A moving average whose weights fall off to both sides; NaN is left out, and stays.

    Args:
        values: Array of shape (steps, ...).
        steps: How many, at least 1, rounded up to an odd number; the step itself is in the middle.

    Returns:
        Array of the same shape and dtype.

    Example:
        >>> smoothed(np.array([0.0, 3.0, 0.0, np.nan]), 3).tolist()
        [1.0, 1.5, 1.0, nan]
    """
    half = steps // 2
    weights = half + 1.0 - np.abs(np.arange(-half, half + 1))
    real = ~np.isnan(values)
    total, count = (
        np.apply_along_axis(lambda one: np.convolve(one, weights)[half:][: len(values)], 0, part)
        for part in (np.where(real, values, 0).astype("float64"), real.astype("float64"))
    )
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


def _some(count):
    """Numbers of all windows, or of some that follow each other in a few runs."""
    if count <= PROFILE_WINDOWS:
        return np.arange(count)
    size = PROFILE_WINDOWS // RUNS
    first = np.linspace(0, count - size, RUNS).astype(int)
    return (first[:, None] + np.arange(size)).ravel()


def steps_of(model: "Autoencoder", x: Any) -> np.ndarray:
    """The user's steps as an array, the channels of a table in the order of the model."""
    channels = model.row_shape[1]
    if not hasattr(x, "columns") and np.ndim(x) == 1 and (channels == 1 or len(x) != channels):
        x = np.reshape(np.asarray(x), (-1, 1))
    return as_rows(x, (channels,), model.columns)


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
            now[some] = over_channels(newest(found["errors"], calibration))
        return {"channel_scores": errors, "expected": found["expected"]}

    # The expected value is no error, of which the lowest would do.
    expected = "median" if calibration.how == "low" else calibration.how
    how = {"channel_scores": calibration.how, "expected": expected}
    found = step_values(values, cut.starts, cut.length, len(cut.series), how)
    over = windows_over(cut.starts, cut.length, len(cut.series))
    levels = calibration.levels
    found["channel_scores"] /= levels[np.minimum(over, len(levels)) - 1]
    for first, end in cut.bounds:
        part = found["channel_scores"][first:end]
        part[:] = smoothed(part, calibration.smooth)
    return found
