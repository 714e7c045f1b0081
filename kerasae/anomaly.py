"""Anomalies: scores, thresholds and p-values of rows, and training without the worst ones."""

import re
import warnings
from typing import NamedTuple

import keras
import numpy as np

from kerasae.layers.calibration import AnomalyCalibration


class Scores(NamedTuple):
    """What a calibrated model says of each row.

    Attributes:
        anomaly_score: float32, (rows,); the reconstruction error unless there is a guard.
        reconstruction_error: float32, (rows,): mean squared error on the scaled values.
        feature_errors: float32, (rows, *row_shape): each feature's squared error.
        p_value: float32, (rows,), in (0, 1]: share of normal rows that score as high.
        is_anomaly: bool, (rows,): whether the score is above the threshold.
    """

    anomaly_score: np.ndarray
    reconstruction_error: np.ndarray
    feature_errors: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray


class Trimmed(NamedTuple):
    """What `trim_and_refit` did.

    Attributes:
        model: The new model, trained on the rows that were kept.
        kept: bool, (rows,): which rows those were.
        errors: float32, (rows,): the errors of all rows under the old model.
        cutoff: The error up to which rows were kept.
    """

    model: keras.Model
    kept: np.ndarray
    errors: np.ndarray
    cutoff: float


def calibrate(model, x, threshold="p99", guard=0.0, batch_size=256):
    """Measures what normal rows score and keeps it with the model, to be saved and exported.

    Normal rows that the model was not trained on give honest p-values: it knows its training rows
    too well. Training the model further clears the calibration.

    Args:
        model: An `Autoencoder`.
        x: Normal rows in the user's units, shape (rows, *row_shape).
        threshold: "p99" flags what scores above the 99th percentile of the normal rows; "3sd" above
            their mean plus 3 standard deviations; a number alpha in (0, 1) flags p-values of at
            most alpha, which is to say a share alpha of new normal rows at most.
        guard: Weight of the distance in the codings, at least 0; see `AnomalyCalibration`.
        batch_size: Rows a step.

    Returns:
        The score above which a row is an anomaly.

    Raises:
        ValueError: A threshold that cannot be read or needs more rows, a negative guard, or rows
            that do not fit the model.

    Reference: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world; Bates et
    al. (2023), Testing for outliers with conformal p-values.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> cutoff = calibrate(model, x, "p90")
        >>> float(score(model, x).is_anomaly.mean()).__round__(2)
        0.1
    """
    if not 0 <= guard < float("inf"):
        raise ValueError(f"guard must be finite and at least 0. Received: guard={guard}")
    rule = threshold_rule(threshold)
    x = model.checked_rows(x, "x")
    calibration = AnomalyCalibration()
    errors = model.reconstruction_error(x, batch_size=batch_size)
    scores = errors
    if guard:
        codings = model.encode(x, batch_size=batch_size).reshape(len(errors), -1)
        calibration.set_guard(guard, max(errors.mean(), 1e-12), *_center_and_whitening(codings))
        scores = np.asarray(calibration.score(errors[:, None], codings))
    calibration.fit(scores, rule(np.sort(scores)))
    model.use_calibration(calibration)
    return calibration.threshold


def _center_and_whitening(codings):
    from sklearn.covariance import LedoitWolf  # noqa: PLC0415

    # Shrunk: codings that hardly vary would make every new row infinitely far.
    estimate = LedoitWolf().fit(codings.astype("float64"))
    ridge = 1e-6 * np.trace(estimate.covariance_) / len(estimate.covariance_) + 1e-12
    precision = np.linalg.inv(estimate.covariance_ + ridge * np.eye(len(estimate.covariance_)))
    return estimate.location_, np.linalg.cholesky(precision)


def threshold_rule(threshold):
    """Reads a threshold as people write it.

    Args:
        threshold: "p99", "3sd", or a tail probability as a number or text, 0.01.

    Returns:
        A function from sorted scores of normal rows to the score above which a row is an anomaly.

    Raises:
        ValueError: It is none of these.
    """
    text = str(threshold).strip().lower()
    if match := re.fullmatch(r"p(\d+(?:\.\d+)?)", text):
        if 0 < (percent := float(match[1])) < 100:
            return lambda scores: np.percentile(scores, percent)
    elif match := re.fullmatch(r"(\d+(?:\.\d+)?)sd", text):
        return lambda scores: scores.mean() + float(match[1]) * scores.std()
    elif re.fullmatch(r"0?\.\d+|\d(?:\.\d+)?e-\d+", text) and 0 < float(text) < 1:
        return lambda scores: _tail(scores, float(text))
    raise ValueError(
        f"threshold '{threshold}'; expected a percentile p99, standard deviations 3sd, or a tail "
        "probability between 0 and 1; try p99"
    )


def _tail(scores, alpha):
    allowed = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
    if allowed < 1:
        raise ValueError(
            f"{len(scores)} normal rows for a tail probability of {alpha:g}; expected at least "
            f"{int(np.ceil(1 / alpha)) - 1}; try more rows or a larger probability"
        )
    # A score above this one has fewer than `allowed` normal scores at or above it.
    return scores[-allowed]


def score(model, x, batch_size=256, verbose=0):
    """Scores rows by a model that was calibrated; the same rows always get the same scores.

    Args:
        model: An `Autoencoder` after `calibrate`.
        x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches of rows.
        batch_size: Rows a step.
        verbose: 1 for a progress bar.

    Returns:
        `Scores`.

    Raises:
        ValueError: The model is not calibrated, its weights are not finite, or the rows do not fit.
    """
    if not model.anomaly.fitted:
        raise ValueError(
            "the model has no threshold; expected kerasae.anomaly.calibrate(model, normal_rows) "
            "after training"
        )
    rows = model.checked_rows(x, "x")
    answers = model.streams.run(
        "anomaly_score",
        model.endpoints["anomaly_score"],
        rows,
        batch_size=batch_size,
        verbose=verbose,
    )
    return Scores(**answers)


def trim_and_refit(model, x, quantile=0.75, **fit_arguments):
    """Trains a fresh model on the rows that a trained one reconstructs best.

    Rows that are anomalies themselves spoil what a model takes for normal. They are reconstructed
    worst, so that a second model, trained without the upper tail of the errors, is free of most.

    Args:
        model: A trained, compiled `Autoencoder`; it stays as it is.
        x: The rows it was trained on, shape (rows, *row_shape).
        quantile: Share of the rows to keep, in (0, 1): those with the smallest errors.
        **fit_arguments: Arguments of `fit` for the new model, epochs and batch_size for example.

    Returns:
        `Trimmed`: the new model, of the same architecture, compiled in the same way, its scaler
        adapted to the rows that were kept; which rows those were; all errors; the cutoff.

    Raises:
        ValueError: `quantile` lies outside (0, 1), or the rows do not fit the model.

    Reference: Boehmke and Greenwell (2019), Hands-On Machine Learning with R, section 19.5; the
    idea of trimming, Rousseeuw (1984), Least median of squares regression.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> trimmed = trim_and_refit(model, x, verbose=0)
        >>> round(float(trimmed.kept.mean()), 2)
        0.75
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie in (0, 1). Received: quantile={quantile}")
    x = model.checked_rows(x, "x")
    errors = model.reconstruction_error(x)
    cutoff = float(np.quantile(errors, quantile))
    kept = errors <= cutoff
    fresh = _untrained_copy(model, x[kept])
    fresh.fit(x[kept], **fit_arguments)
    return Trimmed(fresh, kept, errors, cutoff)


def _untrained_copy(model, x):
    """A model of the same parts, compiled alike, its scaler adapted to x and its weights drawn."""
    with warnings.catch_warnings():
        # The copy's scaler has seen no rows yet, and seems to hold constant columns.
        warnings.simplefilter("ignore", UserWarning)
        copy = type(model).from_config(model.get_config())
    if hasattr(copy.scaler, "adapt"):
        copy.scaler.adapt(x)
    copy.compile_from_config(model.get_compile_config())
    return copy
