"""Scores of normal rows, kept with a model: thresholds and p-values of new rows."""

from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.layers.base import LayerOptions


@keras.saving.register_keras_serializable("kerasae")
class AnomalyCalibration(keras.layers.Layer):
    r"""Turns reconstruction errors into scores, p-values and flags, row by row.

    The score of a row is its reconstruction error e, or, with a guard g > 0 against rows that are
    far from all others and yet well reconstructed,

    $$s = \frac{e}{\bar e} + \frac{g}{k} (h - \bar h)^\top \Sigma^{-1} (h - \bar h)$$

    with the k codings h of the row, and means and covariance over the n normal rows. Its p-value
    is conformal: with the scores $s_1, \dots, s_n$ of normal rows that the model was not trained
    on,

    $$p = \frac{1 + \#\{i : s_i \ge s\}}{n + 1}$$

    which for a new normal row is uniform on the multiples of 1 / (n + 1), whatever the
    distribution of the scores. A row is an anomaly where its score is above the threshold.

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: `errors` (batch, ...), one a feature, and `codings` (batch, ...); see `call`.

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
        # Arrays, not variables: their shapes are known only once there are normal rows.
        self.scores = np.empty(0, "float32")
        self.threshold = float("nan")
        self.guard, self.error_scale = 0.0, 1.0
        self.center, self.whitening = np.empty(0, "float32"), np.empty((0, 0), "float32")

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
        self.guard, self.error_scale = float(guard), float(error_scale)
        self.center = np.asarray(center, "float32")
        self.whitening = np.asarray(whitening, "float32")

    def fit(self, scores: np.ndarray, threshold: float) -> None:
        """Keeps the scores of normal rows, and the threshold.

        Args:
            scores: Scores of normal rows, shape (rows,).
            threshold: Score above which a row is an anomaly.
        """
        self.scores = np.sort(np.asarray(scores, "float32"))
        self.threshold = float(threshold)

    def score(self, errors: Any, codings: Any) -> Any:
        """The score of each row, (batch,): its error, or error and distance as one number."""
        error = row_mean(errors)
        if not self.guard:
            return error
        rows = ops.reshape(ops.cast(codings, "float32"), (-1, len(self.center)))
        distance = row_mean(ops.square(ops.matmul(rows - self.center, self.whitening)))
        return error / self.error_scale + self.guard * distance

    def call(self, errors: Any, codings: Any) -> dict[str, Any]:
        """Scores each row.

        Args:
            errors: Squared errors on the scaled values, shape (batch, ...).
            codings: Codings, shape (batch, ...).

        Returns:
            A dict: `anomaly_score`, `reconstruction_error`, `p_value` and `is_anomaly`, (batch,),
            and `feature_errors`, (batch, ...).
        """
        score = self.score(errors, codings)
        below = ops.searchsorted(ops.convert_to_tensor(self.scores), score, side="left")
        at_least = len(self.scores) - ops.cast(below, "float32")
        return {
            "anomaly_score": score,
            "reconstruction_error": row_mean(errors),
            "feature_errors": errors,
            "p_value": (1 + at_least) / (len(self.scores) + 1),
            "is_anomaly": score > self.threshold,
        }

    def save_own_variables(self, store: Any) -> None:
        if self.fitted:
            store["scores"] = self.scores
            store["settings"] = np.array([self.threshold, self.guard, self.error_scale])
            store["center"], store["whitening"] = self.center, self.whitening

    def load_own_variables(self, store: Any) -> None:
        self.clear()
        if "scores" in store:
            threshold, *settings = map(float, np.array(store["settings"]))
            self.set_guard(
                settings[0], settings[1], np.array(store["center"]), np.array(store["whitening"])
            )
            self.fit(np.array(store["scores"]), threshold)


def row_mean(errors: Any) -> Any:
    """The mean over everything but the batch, float32, (batch,)."""
    return ops.mean(ops.cast(errors, "float32"), axis=tuple(range(1, len(errors.shape))))
