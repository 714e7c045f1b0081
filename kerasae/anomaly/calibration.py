"""Scores of normal rows, kept with a model: thresholds and p-values of new rows."""

import math
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.anomaly.parts import ScoreParts
from kerasae.anomaly.reference import Reference
from kerasae.layers.base import LayerOptions
from kerasae.validation import FLOAT32_MAX


@keras.saving.register_keras_serializable("kerasae")
class AnomalyCalibration(keras.layers.Layer):
    r"""Turns reconstruction errors into scores, p-values and flags, row by row.

    The score of a row is its reconstruction error e, or, with a guard g > 0 against rows that are
    far from all others and yet well reconstructed,

    $$s = \frac{e}{\bar e} + \frac{g}{k} (h - \bar h)^\top \Sigma^{-1} (h - \bar h)$$

    with the k codings h of the row, and means and covariance over the n normal rows. With
    `ScoreParts`, as a `Detector` sets them, it is their score instead. Its p-value is conformal:
    with the scores $s_1, \dots, s_n$ of normal rows that the model was not trained on,

    $$p = \frac{1 + \#\{i : s_i \ge s\}}{n + 1}$$

    which for a new normal row is uniform on the multiples of 1 / (n + 1), whatever the
    distribution of the scores. A row is an anomaly where its score is above the threshold. A row
    that holds NaN has the score infinity: it is an anomaly, with the p-value 1 / (n + 1).

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: `errors` (batch, ...), one a feature, `codings` (batch, ...), `residuals` (batch,
    levels, ...) and `rows` (batch, ...); see `call`.

    Reference: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world; Bates et
    al. (2023), Testing for outliers with conformal p-values; Bouman and Heskes (2025), Autoencoders
    for anomaly detection are unreliable, for what the guard is against.

    Example:
        >>> layer = AnomalyCalibration()
        >>> layer.fit(np.arange(1.0, 10.0), threshold=8.0)
        >>> outputs = layer(np.array([[8.5]]), np.array([[0.0]]))
        >>> round(float(outputs["p_value"][0]), 3), bool(outputs["is_anomaly"][0])
        (0.2, True)
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        self.built = True
        self.clear()

    def clear(self) -> None:
        """Forgets the scores of normal rows."""
        self._damage: str | None = None  # of a file that was read last
        # Arrays, not variables: their shapes are known only once there are normal rows.
        self.scores = np.empty(0, "float32")
        self.model_state: int | None = None  # a fingerprint of the weights that gave the scores
        self.version = getattr(self, "version", 0) + 1  # of what compiled functions hold
        self.threshold = float("nan")
        self.guard, self.error_scale = 0.0, 1.0
        self.center, self.whitening = np.empty(0, "float32"), np.empty((0, 0), "float32")
        self.parts: ScoreParts | None = None
        self.column_errors: np.ndarray | None = None  # mean error of each named column
        self.reference: Reference | None = None  # what `drift` compares with
        self.window: np.ndarray | None = None  # the latest rows that `partial_fit` held out

    @property
    def fitted(self) -> bool:
        """Whether there is a threshold."""
        return len(self.scores) > 0

    def set_guard(
        self, guard: float, error_scale: float, center: np.ndarray, whitening: np.ndarray
    ) -> None:
        """Sets how errors and codings make a score.

        Args:
            guard: Weight of the distance, at least 0; 0 leaves the score the error itself.
            error_scale: Mean error of normal rows.
            center: Mean of their codings, shape (codings,).
            whitening: Matrix W with W W^T the inverse of their covariance, (codings, codings).
        """
        self.version += 1
        self.guard, self.error_scale = float(guard), float(error_scale)
        self.center = np.asarray(center, "float32")
        self.whitening = np.asarray(whitening, "float32")

    def set_parts(self, parts: ScoreParts | None) -> None:
        """Sets the two parts that make a score, or none.

        Args:
            parts: What is known of training rows, beside their scores.
        """
        self.version += 1
        self.parts = parts

    def fit(self, scores: np.ndarray, threshold: float) -> None:
        """Keeps the scores of normal rows, and the threshold.

        Args:
            scores: Scores of normal rows, shape (rows,).
            threshold: Score above which a row is an anomaly.

        Raises:
            ValueError: They are not finite numbers, one a row.
        """
        check_scores(scores)
        if not np.isfinite(threshold):
            raise ValueError(f"threshold must be finite. Received: threshold={threshold}")
        self.scores = np.sort(np.asarray(scores, "float32"))
        self.threshold = float(threshold)
        self.version += 1

    def score(self, errors: Any, codings: Any, residuals: Any = None, rows: Any = None) -> Any:
        """The score of each row, (batch,), of the tensors that `call` takes."""
        score = self._score(errors, codings, residuals, rows)
        # Of NaN every comparison is false, which would make such a row the most normal of all.
        return ops.where(score <= FLOAT32_MAX, score, float("inf"))

    def _score(self, errors, codings, residuals, rows):
        if self.parts is not None:
            return self.parts.score(residuals, rows)
        error = row_mean(errors)
        if not self.guard:
            return error
        rows = ops.reshape(ops.cast(codings, "float32"), (-1, len(self.center)))
        distance = row_mean(ops.square(ops.matmul(rows - self.center, self.whitening)))
        return error / self.error_scale + self.guard * distance

    def call(
        self, errors: Any, codings: Any, residuals: Any = None, rows: Any = None
    ) -> dict[str, Any]:
        """Scores each row.

        Args:
            errors: Squared errors on the scaled values, shape (batch, ...).
            codings: Codings, shape (batch, ...).
            residuals: Reconstruction less row at each level, scaled, shape (batch, levels, ...);
                needed where there are `parts`, as are the rows.
            rows: The rows, scaled, shape (batch, ...).

        Returns:
            A dict: `anomaly_score`, `reconstruction_error`, `p_value` and `is_anomaly`, (batch,),
            and `feature_errors`, (batch, ...).
        """
        score = self.score(errors, codings, residuals, rows)
        below = ops.searchsorted(ops.convert_to_tensor(self.scores), score, side="left")
        return {
            "anomaly_score": score,
            "reconstruction_error": row_mean(errors),
            "feature_errors": errors,
            "p_value": self.p_values(below),
            "is_anomaly": score > self.threshold,
        }

    def p_values(self, below: Any) -> Any:
        """The p-values of scores.

        Args:
            below: How many scores of normal rows are below each, integers, (batch,).

        Returns:
            Tensor of shape (batch,).
        """
        count = len(self.scores) + 1
        # Looked up: where it is divided, some runtimes multiply by the inverse, one digit off.
        shares = (np.arange(count, 0, -1) / count).astype("float32")
        return ops.take(ops.convert_to_tensor(shares), below, axis=0)

    def save_own_variables(self, store: Any) -> None:
        if self.fitted:
            store["scores"] = self.scores
            store["settings"] = np.array([self.threshold, self.guard, self.error_scale])
            store["center"], store["whitening"] = self.center, self.whitening
            if self.parts is not None:
                self.parts.save_to(store)
            if self.column_errors is not None:
                store["column_errors"] = self.column_errors
            if self.reference is not None:
                self.reference.save_to(store)
            if self.window is not None:
                store["window"] = self.window
            if self.model_state is not None:
                store["model_state"] = np.array(self.model_state, "int64")

    def load_own_variables(self, store: Any) -> None:
        names, damage = list(store.keys()), self._damage
        self.clear()
        if not names:
            # Keras tries a second place for what could not be read, which there is nothing at.
            self._damage = damage
            if damage is not None:
                raise ValueError(damage)
            return
        try:
            parts = {name: np.asarray(store[name]) for name in names}
            settings = parts["settings"].astype("float64")
            threshold, guard, error_scale = map(float, settings)
            check_scores(parts["scores"])
            _check_guard(guard, error_scale, parts["center"], parts["whitening"])
            score_parts, reference = ScoreParts.load_from(parts), Reference.load_from(parts)
        except (KeyError, TypeError, ValueError) as error:
            self._damage = (
                "the calibration must hold finite scores, settings and a guard. "
                f"Received: {' '.join(str(error).split())[:200]}"
            )
            raise ValueError(self._damage) from error
        self.set_guard(guard, error_scale, parts["center"], parts["whitening"])
        self.set_parts(score_parts)
        self.fit(parts["scores"], threshold)
        self.reference, self.window = reference, parts.get("window")
        if "column_errors" in parts:
            self.column_errors = parts["column_errors"].astype("float32")
        if "model_state" in parts:
            self.model_state = int(parts["model_state"])


def check_scores(scores: np.ndarray) -> None:
    """Refuses scores that a threshold cannot be taken from.

    Args:
        scores: Scores of normal rows, shape (rows,).

    Raises:
        ValueError: They are not finite numbers, one a row, of at least one row.
    """
    scores = np.asarray(scores)
    if scores.ndim != 1 or not len(scores) or scores.dtype.kind not in "biuf":
        raise ValueError(
            "scores must be numbers, one for each row. "
            f"Received: shape={scores.shape}, dtype={scores.dtype}"
        )
    if not (finite := np.isfinite(scores)).all():
        raise ValueError(
            f"scores must be finite. Received: {int((~finite).sum())} NaN or infinite scores, the "
            f"first of row {np.argmin(finite)}. Try leaving these rows out"
        )


def _check_guard(guard, error_scale, center, whitening):
    square = (len(center), len(center))
    numbers = (guard, error_scale, *center.ravel(), *whitening.ravel())
    if whitening.shape != square or not np.isfinite(np.asarray(numbers, "float64")).all():
        raise ValueError(f"a guard of shapes {center.shape} and {whitening.shape}")


def row_mean(errors: Any) -> Any:
    """The mean over everything but the batch, float32, (batch,); finite where all values are."""
    axes = tuple(range(1, len(errors.shape)))
    count = math.prod(errors.shape[1:])
    # Divided first: the sum of large errors would overflow.
    return ops.sum(ops.cast(errors, "float32") / count, axis=axes)
