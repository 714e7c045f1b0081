"""Anomalies of a table in one call."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasae.anomaly.explanation import Explanation, explain
from kerasae.anomaly.learning import learn_parts, own_scores, scaled_rows
from kerasae.anomaly.scores import Scores, calibrate, score, threshold_rule
from kerasae.validation import bounded_rows, check_count, is_array, names_of

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# More rows, or more values, are drawn from: training sees fewer.
TRAINING_ROWS, TRAINING_VALUES = 1_000_000, 2**28
# Rows that thresholds and p-values are taken from, at most.
HELD_OUT_ROWS = 10_000
BATCH_SIZE = 64
# Values that rows may be repeated to, so that a pass over few rows is not over at once.
REPEATED_VALUES = 2**24
ADAM = {"beta_2": 0.99, "global_clipnorm": 5.0}


class Detector:
    r"""Finds rows that are unlike the others, says which columns make them so, and how sure it is.

    A `residual_denoiser` learns how the columns hang together, and a memory of training rows knows
    where rows lie. The score is the sum of two parts, each 1 for the mean training row: how odd a
    row is to the model, and how far it is from its nearest in the memory; see `ScoreParts`. Its
    p-value is the share of held-out rows that score as high.

    Args:
        contamination: Share of the training rows that may be anomalies, in [0, 0.5): those with the
            highest scores are left out, and training begins anew, with the first scaler.
        threshold: What flags a row, as in `calibrate`: "p99", "3sd", or a tail probability.
        held_out: Share of the rows that thresholds and p-values are taken from, in (0, 1); by
            default a fifth, and less of more than 5,000 rows.
        hidden_units: Widths of the denoiser's layers.
        levels: Levels of noise to look at a row with, above 0; the model is trained from the lowest
            to twice the highest.
        memory: How many training rows to keep in the model, at most, at least 2. They are data of
            yours: whoever has the model has them.
        neighbors: How many of the nearest kept rows count, at least 1; more while rows are to be
            left out.
        steps: Steps of training, at least 100.
        seed: Integer: the same rows give the same scores.

    Attributes:
        model: The calibrated `Autoencoder`, after `fit`. It is saved and exported as any other:
            `model.save`, `kerasae.export_saved_model(model, ...)`, its scores and explanations
            included.
        kept: bool, (rows,): which rows were not left out as anomalies, after `fit`.

    Raises:
        ValueError: An argument that cannot be.

    Reference: Livernoche et al. (2024), On diffusion modeling for anomaly detection; Ramaswamy et
    al. (2000), Efficient algorithms for mining outliers from large data sets, for the distances;
    Bates et al. (2023), Testing for outliers with conformal p-values.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(500, 2)) @ [[1, 1, 0], [0, 1, 1]]  # the second is the sum
        >>> detector = Detector(steps=300).fit(x, verbose=0)
        >>> found = detector.score([[1.0, 2.0, 1.0], [2.0, -2.0, 2.0]])
        >>> found.is_anomaly.tolist()
        [False, True]
    """

    def __init__(
        self,
        *,
        contamination: float = 0.0,
        threshold: str | float = "p99",
        held_out: float | None = None,
        hidden_units: Sequence[int] = (256, 256),
        levels: Sequence[float] = (0.2, 0.4, 0.8),
        memory: int = 5000,
        neighbors: int = 1,
        steps: int = 2000,
        seed: int = 0,
    ) -> None:
        if not 0 <= contamination < 0.5:
            raise ValueError(
                f"contamination must lie in [0, 0.5). Received: contamination={contamination}"
            )
        if held_out is not None and not 0 < held_out < 1:
            raise ValueError(f"held_out must lie in (0, 1). Received: held_out={held_out}")
        if not steps >= 100:
            raise ValueError(f"steps must be at least 100. Received: steps={steps}")
        threshold_rule(threshold)
        check_count("neighbors", neighbors)
        self.contamination = contamination
        self.threshold = threshold
        self.held_out = held_out
        self.hidden_units = tuple(hidden_units)
        self.levels = tuple(levels)
        self.memory = memory
        self.neighbors = neighbors
        self.steps = int(steps)
        self.seed = seed
        self._model: Autoencoder | None = None

    @property
    def model(self) -> "Autoencoder":
        """The calibrated model."""
        if self._model is None:
            raise ValueError("the detector must be fitted first. Received: no rows. Try fit(x)")
        return self._model

    def fit(
        self, x: Any, *, columns: Sequence[str] | None = None, verbose: int | str = "auto"
    ) -> "Detector":
        """Learns what rows are like.

        Args:
            x: Array or table of numbers, (rows, columns), at least 10 rows. Of more than a million,
                that many are drawn.
            columns: Names of the columns, or None for those of a table.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch; "auto" for 1.

        Returns:
            The detector.

        Raises:
            ValueError: Fewer than 10 rows, or cells that are NaN or infinite.
            TypeError: Cells that are not real numbers, or rows that are not in memory.
        """
        if not is_array(x):
            raise TypeError(f"x must be an array of rows in memory. Received: a {type(x).__name__}")
        names = columns or names_of(x)
        rows, _ = bounded_rows(x, columns=names, wide=True)
        if rows.ndim != 2:
            raise ValueError(f"x must have shape (rows, columns). Received: shape {rows.shape}")
        if len(rows) < 10:
            raise ValueError(f"x must have at least 10 rows. Received: {len(rows)} rows")
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(rows))
        count = self._held_out_rows(len(rows))
        apart = np.sort(order[:count])
        most = min(TRAINING_ROWS, TRAINING_VALUES // rows.shape[1])
        train = np.sort(order[count:][:most])
        model = self._new_model(rows[train], names)
        self._train(model, rows[train], verbose)
        parts = self._learn(model, rows[train], self._neighbors_to_trim_by(len(train)))
        self.kept = np.ones(len(rows), bool)
        if self.contamination:
            scores = own_scores(model, model._checked_rows(rows, "x"), parts)
            self.kept = scores <= np.quantile(scores, 1 - self.contamination)
            train, apart = train[self.kept[train]], apart[self.kept[apart]]
            # The first scaler: of the rows that are left, rare values would get tiny ranges.
            model = self._new_model(rows[train], names, model.scaler)
            self._train(model, rows[train], verbose)
            parts = self._learn(model, rows[train], self.neighbors)
        calibrate(model, rows[apart], self.threshold, parts=parts)
        self._remember(model, rows[apart])
        self._model = model
        return self

    def score(self, x: Any, *, batch_size: int = 4096, verbose: int | str = 0) -> Scores:
        """Scores rows; see `kerasae.anomaly.score`.

        Args:
            x: Rows in the units of those of `fit`, or a dataset of batches of rows.
            batch_size: Rows a step.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            `Scores`, with one entry a row.
        """
        return score(self.model, x, batch_size, verbose)

    def training_scores(self, x: Any) -> np.ndarray:
        """Scores of the rows of `fit`, none of which is compared with itself.

        Args:
            x: The rows that `fit` was given.

        Returns:
            float32 array of shape (rows,).
        """
        parts = self.model.anomaly.parts
        assert parts is not None  # after fit
        return own_scores(self.model, self.model._checked_rows(x, "x"), parts)

    def explain(self, x: Any, *, batch_size: int = 4096, verbose: int | str = 0) -> Explanation:
        """What each column adds to the scores of rows; see `kerasae.anomaly.explain`.

        Args:
            x: Rows in the units of those of `fit`, or a dataset of batches of rows.
            batch_size: Rows a step.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            `Explanation`.
        """
        return explain(self.model, x, batch_size=batch_size, verbose=verbose)

    def _held_out_rows(self, count):
        if self.held_out is not None:
            return min(max(1, round(self.held_out * count)), count - 5)
        return min(HELD_OUT_ROWS, max(count // 10, min(count // 5, 1000)))

    def _new_model(self, rows, names, scaler=None):
        # Models hold a calibration, for which this package is imported.
        from kerasae.models import residual_denoiser  # noqa: PLC0415

        if scaler is None:
            mean, variance = (
                measure(rows, axis=0, dtype="float64") for measure in (np.mean, np.var)
            )
            scaler = keras.layers.Normalization(mean=mean, variance=variance, dtype="float32")
        model = residual_denoiser(
            rows.shape[1],
            self.hidden_units,
            stddev=(min(self.levels), 2 * max(self.levels)),
            seed=self.seed,
            scaler=scaler,
            columns=names,
            name="detector",
        )
        order = keras.random.SeedGenerator(self.seed)
        model._order_generator.state.assign(order.state)
        return model

    def _train(self, model, rows, verbose):
        from kerasae.models import FusedAdam  # noqa: PLC0415

        # A pass over few rows is over at once, and the loop starts anew each time.
        most = max(1, REPEATED_VALUES // rows.size)
        repeats = min(most, math.ceil(self.steps * BATCH_SIZE / len(rows)))
        repeated = np.tile(rows, (repeats, 1)) if repeats > 1 else rows
        if len(repeated) > self.steps * BATCH_SIZE:
            rng = np.random.default_rng(self.seed)
            repeated = rows[np.sort(rng.permutation(len(rows))[: self.steps * BATCH_SIZE])]
        per_epoch = math.ceil(len(repeated) / BATCH_SIZE)
        epochs = math.ceil(self.steps / per_epoch)
        warmup = min(50, self.steps // 4)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, epochs * per_epoch - warmup, warmup_target=0.001, warmup_steps=warmup
        )
        model.compile(FusedAdam(rate, **ADAM))
        model.fit(repeated, epochs=epochs, batch_size=BATCH_SIZE, verbose=verbose)
        # Whoever trains it further does not begin at the end of a schedule.
        model.compile(FusedAdam(0.001, **ADAM))
        model.optimizer.build(model.trainable_variables)

    def _neighbors_to_trim_by(self, rows):
        """More than anomalies of one kind in the memory, which would hide each other."""
        many = math.ceil(self.contamination * min(self.memory, rows))
        return max(self.neighbors, min(50, many))

    def _learn(self, model, rows, neighbors):
        return learn_parts(
            model,
            rows,
            levels=self.levels,
            memory=self.memory,
            neighbors=neighbors,
            seed=self.seed,
        )

    def _remember(self, model, rows):
        """Adds held-out rows to a memory that has space, once they have given their scores.

        Other rows are a little nearer to a memory of more rows: p-values err on the safe side.
        """
        parts = model.anomaly.parts
        free = self.memory - len(parts.memory)
        if free > 0:
            more = scaled_rows(model, model._checked_rows(rows[:free], "x"))
            memory = np.concatenate([parts.memory, more])
            model.anomaly.set_parts(parts._replace(memory=memory))
