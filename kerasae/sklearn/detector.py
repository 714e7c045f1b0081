"""Outliers by their reconstruction error."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import OutlierMixin

from kerasae import anomaly
from kerasae.models import Autoencoder
from kerasae.sklearn.base import AutoencoderEstimator
from kerasae.tables import Schema

# The share of the training rows that are outliers where nothing else is known, as "p99" elsewhere.
AUTO = 0.01
ROUNDING = 1e-5  # of scores in float32, as a share
# Rows that `partial_fit` takes the threshold from.
WINDOW = 5000


class AutoencoderDetector(OutlierMixin, AutoencoderEstimator):
    r"""Detects the rows that an autoencoder, fitted to mostly normal rows, cannot reconstruct.

    A row with the anomaly score a(x), see `kerasae.anomaly.AnomalyCalibration`, has

    $$\text{score} = -a(x), \quad \text{decision} = \text{score} - \text{offset}$$

    and is an outlier (-1) where the decision is negative. As for scikit-learn's detectors, the
    threshold is a quantile of the rows that it was fitted to. The fitted `model_` holds the
    threshold too, so that an export of it detects the same rows.

    This one is for scikit-learn's tools, and scores by reconstruction alone.
    `kerasae.anomaly.Detector` looks at rows in two ways, which finds more on the sets of
    benchmarks/README.md, holds rows out for its threshold, and explains its scores.

    Args:
        family: Name of the family in `kerasae.ZOO`, or a builder, as in `AutoencoderTransformer`,
            where all parameters up to `verbose` are described.
        hidden_units: Widths of the encoder's layers, the codings' last; by default as many as
            columns, then a quarter of them.
        activation: Name of a Keras activation; by default the family's.
        corruption: "gaussian:STDDEV" or "salt-pepper:RATE", in training only; or None. For tables
            of mixed columns "wrong:RATE", "swap:RATE" or "missing:RATE".
        tied: Whether the decoder's weights are the encoder's, transposed.
        rho: Sparse: target of the mean activation.
        beta: Weight of the family's penalty, if it has one.
        k: K-sparse: codings that a row keeps.
        winners: Winner-take-all: share of the rows that win, in (0, 1].
        likelihood: Variational: "bernoulli" or "gaussian"; by default what fits the scaled rows.
        prior: Adversarial: "gaussian", "mixture" or "swiss-roll".
        scaler: "auto", "pixels", "range", "standard" or "none", for tables of mixed columns
            "standard", "range", "robust" or "normal".
        image_shape: (height, width) or (height, width, channels) of the image that a row holds.
        schema: The `kerasae.tables.Schema` of tables of mixed columns, where the one that is read
            from them is not wanted; or None.
        max_iter: Most passes over the rows, at least 1; by default about 18,000 steps,
            most of which are not taken: see `tol`.
        batch_size: Rows a step, at least 1; by default 128, or 32 under 10,000 rows.
        learning_rate_init: Learning rate of Adam, above 0.
        early_stopping: Whether training stops by the error of rows that are held out.
        validation_fraction: Share of the rows that are held out, in (0, 1).
        n_iter_no_change: Passes without a lower error after which training stops, at least 1.
        tol: By how much the error must fall to count as lower, as a share of the variance.
        random_state: Integer for the same weights in each fit, `RandomState`, or None.
        verbose: 0 for silence, 1 for a progress bar, 2 for a line a pass.
        contamination: Share of outliers among the rows to be fitted to, in (0, 0.5]; "auto" for
            0.01.
        guard: Weight of the distance of a row's codings from all others, at least 0: rows that are
            far away and yet well reconstructed are outliers too.

    Attributes:
        model_: The fitted and calibrated `kerasae.Autoencoder`.
        offset_: Score under which a row is an outlier.
        schema_: The `kerasae.tables.Schema` of a table of mixed columns, or None.
        history_: Loss and errors of each pass by name, as `kerasae.plots.loss_curve` takes them.
        loss_curve_: The loss of each pass.
        n_iter_: Number of passes.
        n_samples_seen_: Number of rows that the scaler has seen.
        window_: Rows and weights of the latest calls of `partial_fit`; empty after `fit`.
        n_features_in_: Number of columns.
        feature_names_in_: Names of the columns, where `fit` was given a table with names.

    Raises:
        ValueError: In `fit`: a parameter that is out of its range or does not go with the family,
            rows that are not finite, or training that diverges.

    Reference: Hawkins et al. (2002), Outlier detection using replicator neural networks.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> x = load_iris().data
        >>> detector = AutoencoderDetector(contamination=0.1, max_iter=5, random_state=0)
        >>> int((detector.fit_predict(x) == -1).sum())
        15
    """

    def __init__(
        self,
        family: str | Callable[..., Autoencoder] = "denoising",
        hidden_units: int | Sequence[int] | None = None,
        *,
        activation: str | Callable[..., Any] | None = None,
        corruption: str | None = None,
        tied: bool | None = None,
        rho: float | None = None,
        beta: float | None = None,
        k: int | None = None,
        winners: float | None = None,
        likelihood: str | None = None,
        prior: str | None = None,
        scaler: str = "auto",
        image_shape: Sequence[int] | None = None,
        schema: Schema | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate_init: float = 0.001,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float | None = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        contamination: float | str = "auto",
        guard: float = 0.0,
    ) -> None:
        super().__init__(
            family,
            hidden_units,
            activation=activation,
            corruption=corruption,
            tied=tied,
            rho=rho,
            beta=beta,
            k=k,
            winners=winners,
            likelihood=likelihood,
            prior=prior,
            scaler=scaler,
            image_shape=image_shape,
            schema=schema,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            random_state=random_state,
            verbose=verbose,
        )
        self.contamination = contamination
        self.guard = guard

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains an autoencoder on rows, and takes the threshold from their scores.

        Args:
            X: Rows, array or table of shape (rows, columns).
            y: Ignored.
            sample_weight: Weight of each row, shape (rows,), at least 0, or None.

        Returns:
            The estimator.
        """
        self.window_: tuple[Any, ...] = ()
        self._set_offset(*self._fit(X, sample_weight))
        return self

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:  # noqa: N803
        """Trains for one pass over rows, and takes the threshold from the scores of the latest.

        They are these rows and those of former calls, up to 5,000, which `window_` keeps.

        Args:
            X: Rows, array or table of shape (rows, columns); the first ones decide on the widths,
                and the scaler follows the mean and the spread of all.
            y: Ignored.
            sample_weight: Weight of each row, shape (rows,), at least 0, or None.

        Returns:
            The estimator.
        """
        rows, weight = self._partial_fit(X, sample_weight)
        latest: tuple[Any, ...] = rows, np.ones(len(rows)) if weight is None else weight
        if before := getattr(self, "window_", ()):
            pairs = zip(before, latest, strict=True)
            latest = tuple(np.concatenate(pair)[-max(WINDOW, len(rows)) :] for pair in pairs)
        self.window_ = latest
        self._set_offset(*latest)
        return self

    def score_samples(self, X: Any) -> np.ndarray:  # noqa: N803
        """How normal rows are.

        Args:
            X: Rows, array or table of shape (rows, columns).

        Returns:
            float64 array of shape (rows,): the anomaly scores, negative; lower is more abnormal.
        """
        return self._scores(self._rows(X))

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """How normal rows are, in comparison with the threshold.

        Args:
            X: Rows, array or table of shape (rows, columns).

        Returns:
            float64 array of shape (rows,), negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Whether rows are outliers.

        Args:
            X: Rows, array or table of shape (rows, columns).

        Returns:
            Integer array of shape (rows,): -1 for outliers, 1 for others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _scores(self, rows):
        return -anomaly.score(self.model_, rows).anomaly_score.astype("float64")

    def _set_offset(self, rows, weight):
        anomaly.calibrate(self.model_, rows, guard=self.guard)
        share = AUTO if self.contamination == "auto" else self.contamination
        found = lower_quantile(self._scores(rows), share, weight)
        # Scores of the same row differ by rounding where it comes in other batches.
        self.offset_ = found - ROUNDING * abs(found)
        calibration = self.model_.anomaly
        calibration.fit(calibration.scores, -self.offset_)

    def _check_parameters(self):
        super()._check_parameters()
        share = self.contamination
        if share != "auto" and not (isinstance(share, numbers.Real) and 0 < share <= 0.5):
            raise ValueError(
                "contamination must lie in (0, 0.5], or be 'auto'. "
                f"Received: contamination={share!r}"
            )


def lower_quantile(scores: np.ndarray, share: float, weight: np.ndarray | None = None) -> float:
    """The number under which a share of the scores lies; a weight of 2 is as good as a copy.

    Args:
        scores: Shape (rows,).
        share: In (0, 1).
        weight: Weight of each score, above 0, or None for equal ones.

    Returns:
        The mean of the two scores around it, or the score within which the share ends.

    Example:
        >>> lower_quantile(np.array([4.0, 1.0, 3.0, 2.0]), 0.25)
        1.5
        >>> lower_quantile(np.array([2.0, 1.0, 3.0]), 0.5, np.array([1.0, 2.0, 1.0]))
        1.5
    """
    order = np.argsort(scores)
    below = np.cumsum(np.ones(len(scores)) if weight is None else weight[order])
    wanted = share * below[-1]
    first = np.searchsorted(below, wanted * (1 - 1e-9))
    ends = np.isclose(below[first], wanted, rtol=1e-9)
    return float(scores[order[[first, min(first + ends, len(scores) - 1)]]].mean())
