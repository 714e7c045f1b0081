"""Scores, thresholds and p-values of rows."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasae.anomaly.calibration import AnomalyCalibration, check_scores, row_mean
from kerasae.anomaly.labels import by_labels, labelled_threshold
from kerasae.anomaly.learning import scores_of_rows
from kerasae.anomaly.parts import ScoreParts
from kerasae.anomaly.reference import draw_reference
from kerasae.anomaly.worst_columns import WorstColumns, check_top, worst_columns, worst_of
from kerasae.datasets.reading import by_piece
from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import sample
from kerasae.validation import as_numbers, is_array, required

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# What is drawn of a source to calibrate on.
CALIBRATION_ROWS, CALIBRATION_BYTES = 1_000_000, 2**27
# By how much the scores of one row may differ, in other batches or in another runtime.
ROUNDING = 1e-5


class Scores(NamedTuple):
    """The results of `score`, one entry a row.

    Attributes:
        anomaly_score: float32, (rows,); the reconstruction error unless there is a guard.
        reconstruction_error: float32, (rows,): mean squared error on the scaled values.
        feature_errors: float32, (rows, *row_shape): each feature's squared error.
        p_value: float32, (rows,), in (0, 1]: share of normal rows that score as high.
        is_anomaly: bool, (rows,): whether the score is above the threshold.
        worst: `WorstColumns` of each row, or None.
    """

    anomaly_score: np.ndarray
    reconstruction_error: np.ndarray
    feature_errors: np.ndarray
    p_value: np.ndarray
    is_anomaly: np.ndarray
    worst: WorstColumns | None = None

    def per_row(self) -> dict[str, np.ndarray]:
        """What is one number a row, by name: columns of a table of scores."""
        wide = ("feature_errors", "worst")
        return {name: value for name, value in self._asdict().items() if name not in wide}


def calibrate(
    model: "Autoencoder",
    x: Any,
    threshold: str | float = "p99",
    guard: float = 0.0,
    batch_size: int | None = None,
    *,
    parts: ScoreParts | None = None,
    labels: Any = None,
) -> float:
    """Scores normal rows and keeps the scores with the model, to be saved and exported.

    Normal rows that the model was not trained on give honest p-values: it knows its training rows
    too well. A calibration is cleared when the weights or the scaler of the model change.

    Args:
        model: An `Autoencoder`.
        x: Normal rows in the user's units, shape (rows, *row_shape), or a dataset of batches of
            rows, which is passed over once. Of a `RowSource`, rows drawn at random are scored: at
            most 1,000,000 that take 128 MB, drawn by a fixed seed, whose p-values are as honest.
        threshold: "p99" flags what scores above the 99th percentile of the normal rows; "3sd" above
            their mean plus 3 standard deviations; a number alpha in (0, 1) flags p-values of at
            most alpha: a share of at most alpha of new normal rows.
        guard: Weight of the distance in the codings, at least 0; see `AnomalyCalibration`.
        batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
        parts: What makes the score instead of the reconstruction error, as `learn_parts` gives it,
            or None; not with a guard.
        labels: 1 for rows that are anomalies, 0 for normal ones, where x holds both; the normal
            ones are kept. The threshold can then be "f1" or "fpr:0.01"; see `labelled_threshold`.

    Returns:
        The score above which a row is an anomaly.

    Raises:
        ValueError: A threshold that cannot be read or needs more rows, a negative guard, rows that
            do not fit the model, or scores that are not finite.
        ModuleNotFoundError: The guard needs scikit-learn, which is missing.

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
    if guard and parts is not None:
        raise ValueError(f"guard must be 0 for a score of parts. Received: guard={guard}")
    rule = None if labels is not None and by_labels(threshold) else threshold_rule(threshold)
    if isinstance(x, RowSource):
        if labels is not None:
            raise ValueError("labels must go with rows in memory. Received: labels of a RowSource")
        x = sample(x, CALIBRATION_ROWS, size=CALIBRATION_BYTES)
    calibration = AnomalyCalibration()
    if guard:
        errors, codings = _errors_and_codings(model, x, batch_size)
        scale = max(errors.mean(dtype="float64"), 1e-12)
        calibration.set_guard(guard, scale, *_center_and_whitening(codings))
        scores = np.asarray(calibration.score(errors[:, None], codings))
    elif parts is not None:
        calibration.set_parts(parts)
        # Where many rows are alike, one of them must not be above the others by its last digit.
        scores = _scores_of_parts(model, x, parts, batch_size) * np.float32(1 + ROUNDING)
    elif model.columns is not None:
        scores, calibration.column_errors = _errors_of_columns(model, x, batch_size)
    else:
        scores = model.reconstruction_error(x, batch_size=batch_size)
    check_scores(scores)
    is_normal = np.s_[:] if labels is None else as_numbers(labels, len(scores), "labels") == 0
    normal = scores[is_normal]
    if rule is None:
        found = labelled_threshold(str(threshold), scores, labels)
    else:
        check_scores(normal)
        found = rule(np.sort(normal).astype("float64"))
    calibration.fit(normal, found)
    if is_array(x):
        rows = model._checked_rows(x, "x")[is_normal]
        calibration.reference = draw_reference(model, rows, batch_size or 256)
    model._use_calibration(calibration)
    return calibration.threshold


def _scores_of_parts(model, x, parts, batch_size):
    rows = model._checked_rows(x, "x")
    if is_array(rows):
        return scores_of_rows(model, rows, parts, batch_size=batch_size)

    def scores(x):
        scaled, residuals = model._residuals(x, parts.levels)
        return parts.score(residuals, scaled)

    try:
        return model._streams.run("scores_of_parts", scores, rows, batch_size=batch_size)
    finally:
        model._streams.forget("scores_of_parts")  # of these parts


def _errors_of_columns(model, x, batch_size):
    """Errors of rows, and the mean error of each column over the cells that are there."""

    def both(x):
        errors = model._errors(x)
        return {"rows": row_mean(errors), "columns": errors}

    rows = model._checked_rows(x, "x")
    outputs = model._streams.run("errors_of_columns", both, rows, batch_size=batch_size)
    columns = outputs["columns"].reshape(len(outputs["rows"]), -1)
    counts = np.maximum(np.count_nonzero(columns, axis=0), 1)
    return outputs["rows"], (columns.sum(axis=0, dtype="float64") / counts).astype("float32")


def _errors_and_codings(model, x, batch_size):
    """Of the same rows: a stream that is shuffled gives others in a second pass."""

    def both(x):
        return {"errors": row_mean(model._errors(x)), "codings": model._codings(x)}

    rows = model._checked_rows(x, "x")
    outputs = model._streams.run("errors_and_codings", both, rows, batch_size=batch_size)
    return outputs["errors"], outputs["codings"].reshape(len(outputs["errors"]), -1)


def _center_and_whitening(codings):
    required("sklearn", "the guard")
    from sklearn.covariance import LedoitWolf  # noqa: PLC0415

    # The covariance is shrunk: codings that hardly vary would make every new row infinitely far.
    estimate = LedoitWolf().fit(codings.astype("float64"))
    ridge = 1e-6 * np.trace(estimate.covariance_) / len(estimate.covariance_) + 1e-12
    precision = np.linalg.inv(estimate.covariance_ + ridge * np.eye(len(estimate.covariance_)))
    return estimate.location_, np.linalg.cholesky(precision)


def threshold_rule(threshold: str | float) -> Callable[[np.ndarray], float]:
    """Reads a threshold as people write it.

    Args:
        threshold: "p99", "3sd", or a tail probability as a number or text, 0.01.

    Returns:
        A function from sorted scores of normal rows to the score above which a row is an anomaly.

    Raises:
        ValueError: It is none of these.

    Example:
        >>> float(threshold_rule("p90")(np.arange(101.0)))
        90.0
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
        "threshold must be a percentile p99, standard deviations 3sd, or a tail probability in "
        f"(0, 1). Received: threshold={threshold!r}. Try p99"
    )


def _tail(scores, alpha):
    allowed = int(np.floor(alpha * (len(scores) + 1) + 1e-9))
    if allowed < 1:
        raise ValueError(
            f"x must have at least {int(np.ceil(1 / alpha)) - 1} normal rows for the tail "
            f"probability {alpha:g}. Received: {len(scores)} rows. Try more rows or a larger "
            "probability"
        )
    # A score above this one has fewer than `allowed` normal scores at or above it.
    return scores[-allowed]


@by_piece
def score(
    model: "Autoencoder",
    x: Any,
    batch_size: int | None = None,
    verbose: int | str = 0,
    *,
    top: int = 0,
) -> Scores:
    """Scores rows by a model that was calibrated; the same rows always get the same scores.

    Args:
        model: An `Autoencoder` after `calibrate`.
        x: Rows in the user's units, shape (rows, *row_shape), a dataset of batches of rows, or a
            `RowSource`, of which the scores of each piece are given in turn and none is kept.
        batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
        verbose: 1, or "auto", for a progress bar.
        top: How many of the worst columns of each row are named; see `worst_columns`.

    Returns:
        `Scores`.

    Raises:
        ValueError: The model is not calibrated, its weights are not finite, or the rows do not fit.

    Example:
        >>> import kerasae
        >>> x = np.random.default_rng(0).random((200, 4))
        >>> model = kerasae.stacked_autoencoder(4, (2,))
        >>> _ = kerasae.anomaly.calibrate(model, x)
        >>> scores = score(model, x[:3])
        >>> scores.p_value.shape, scores.feature_errors.shape
        ((3,), (3, 4))
    """
    if not model._is_calibrated():
        model._check_weights()
        raise ValueError(
            f"the model must be calibrated after training. Received: {model.name}, without a "
            "threshold. Try kerasae.anomaly.calibrate(model, normal_rows)"
        )
    rows = model._checked_rows(x, "x")
    if top:
        check_top(model, top)
    at_once = top and model.anomaly.parts is None
    outputs = model._streams.run(
        f"anomaly_score {model.anomaly.version}{' rows' * bool(at_once)}",
        _scores_and_rows(model) if at_once else model._scores,
        rows,
        batch_size=batch_size,
        verbose=verbose,
    )
    worst = None
    if at_once:
        expected = outputs.pop("reconstruction")
        worst = worst_of(model, rows, outputs["feature_errors"], expected, top)
    elif top:
        worst = worst_columns(model, rows, top, batch_size=batch_size)
    return Scores(**outputs, worst=worst)


def _scores_and_rows(model):
    """One pass, where the errors of the scores are those of the reconstruction."""
    return lambda x: {**model._scores(x), "reconstruction": model(x)}
