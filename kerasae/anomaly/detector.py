"""Anomalies of a table in one call."""

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasae.anomaly.explanation import Explanation, explain
from kerasae.anomaly.given_rows import given_rows
from kerasae.anomaly.learning import (
    check_parts,
    learn_parts,
    own_distances,
    scaled_rows,
    scores_of_rows,
)
from kerasae.anomaly.scores import Scores, calibrate, score, threshold_rule
from kerasae.validation import check_count

if TYPE_CHECKING:
    from kerasae.models import Autoencoder
    from kerasae.tables import Schema

# More rows, or more values, are drawn from: training sees fewer.
TRAINING_ROWS, TRAINING_VALUES = 1_000_000, 2**28
# Rows that thresholds and p-values are taken from, at most.
HELD_OUT_ROWS = 10_000
# Rows that all are compared with to see which are left out, at most.
COMPARED_ROWS = 1000
# Rows that a model keeps. Of contaminated rows a share is as good a measure as single neighbors.
MEMORY, CONTAMINATED_MEMORY = 5000, 500
# The nearest ranks best, and five bear with some anomalies among the training rows.
NEIGHBORS = 1, 5
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
        contamination: Share of the training rows that may be anomalies, in [0, 0.5): those that are
            furthest from the others are left out, by the mean distance to as many rows as there may
            be anomalies, which are near each other where they are of one kind.
        threshold: What flags a row, as in `calibrate`: "p99", "3sd", or a tail probability.
        held_out: Share of the rows that thresholds and p-values are taken from, in (0, 1); by
            default a fifth, and less of more than 5,000 rows.
        hidden_units: Widths of the denoiser's layers.
        levels: Levels of noise to look at a row with, above 0; the model is trained from the lowest
            to twice the highest.
        memory: How many training rows to keep in the model, at most, at least 2; by default 5000,
            or 500 with a contamination. They are data of yours: whoever has the model has them.
        neighbors: How many of the nearest kept rows count, at least 1, or several such numbers, of
            which the mean distances are averaged. By default 1 and 5: an anomaly among the training
            rows would make others like it normal if the nearest counted alone. With a contamination
            a twentieth of those kept and at least 5, as anomalies may be near each other.
        steps: Steps of training, at least 100.
        seed: Integer: the same rows give the same scores.

    Attributes:
        model: The calibrated `Autoencoder`, after `fit`. It is saved and exported as any other:
            `model.save`, `kerasae.export_saved_model(model, ...)`, its scores and explanations
            included.
        kept: bool, (rows,): which rows were not left out as anomalies, after `fit`. Of more than a
            million rows those that were not drawn count as kept.

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
        memory: int | None = None,
        neighbors: int | Iterable[int] | None = None,
        steps: int = 2000,
        seed: int = 0,
    ) -> None:
        if not (_is_number(contamination) and 0 <= contamination < 0.5):
            raise ValueError(
                f"contamination must lie in [0, 0.5). Received: contamination={contamination!r}"
            )
        if held_out is not None and not (_is_number(held_out) and 0 < held_out < 1):
            raise ValueError(f"held_out must lie in (0, 1). Received: held_out={held_out!r}")
        if isinstance(hidden_units, str) or not isinstance(hidden_units, Iterable):
            raise ValueError(
                "hidden_units must be widths of layers. "
                f"Received: hidden_units={hidden_units!r}. Try (256, 256)"
            )
        for units in hidden_units:
            check_count("hidden_units", units)
        check_count("steps", steps)
        if steps < 100:
            raise ValueError(f"steps must be at least 100. Received: steps={steps}")
        threshold_rule(threshold)
        usual = CONTAMINATED_MEMORY if contamination else MEMORY
        self.memory, counts = check_parts(
            levels,
            usual if memory is None else memory,
            NEIGHBORS if neighbors is None else neighbors,
        )
        self.neighbors = None if neighbors is None else counts
        self.contamination = contamination
        self.threshold = threshold
        self.held_out = held_out
        self.hidden_units = tuple(hidden_units)
        self.levels = tuple(levels)
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
        self,
        x: Any,
        *,
        columns: Sequence[str] | None = None,
        schema: "Schema | None" = None,
        verbose: int | str = "auto",
    ) -> "Detector":
        """Learns what rows are like.

        Args:
            x: Array of numbers, (rows, columns), or a table of columns of any type, with missing
                cells (NaN) or without; at least 10 rows. Of more than a million, that many are
                drawn.
            columns: Names of the columns, or None for those of a table, all of them.
            schema: The `kerasae.tables.Schema` of a table or of its codes, where the one that is
                read from it is not wanted.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch; "auto" for 1.

        Returns:
            The detector.

        Raises:
            ValueError: Fewer than 10 rows, infinite cells, or a column of NaN alone.
            TypeError: Cells of an array that are not real numbers, or rows that are not in memory.
        """
        rows, names, schema = given_rows(x, columns, schema)
        order = np.random.default_rng(self.seed).permutation(len(rows))
        most = min(TRAINING_ROWS, TRAINING_VALUES // rows.shape[1])
        # Of all rows, even where some are left out: of the others, rare values get tiny ranges.
        model = self._new_model(rows[np.sort(order[:most])], names, schema)
        self.kept = np.ones(len(rows), bool)
        if self.contamination:
            # Of many rows most are not trained on, and looking at all would take minutes.
            order = order[: most + self._held_out_rows(len(order))]
            distances = own_distances(model, rows[order], COMPARED_ROWS, self.contamination)
            kept = distances <= np.quantile(distances, 1 - self.contamination)
            self.kept[order] = kept
            order = order[kept]
        count = self._held_out_rows(len(order))
        apart, train = np.sort(order[:count]), np.sort(order[count:][:most])
        self._train(model, rows[train], verbose)
        parts = learn_parts(
            model,
            rows[train],
            levels=self.levels,
            memory=self.memory,
            neighbors=self.neighbors or self._usual_neighbors(len(train)),
            seed=self.seed,
        )
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
        return scores_of_rows(self.model, self.model._checked_rows(x, "x"), parts, own=True)

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

    def _usual_neighbors(self, rows):
        return max(5, math.ceil(min(rows, self.memory) / 20)) if self.contamination else NEIGHBORS

    def _held_out_rows(self, count):
        if self.held_out is not None:
            return min(max(1, round(self.held_out * count)), count - 5)
        return min(HELD_OUT_ROWS, max(count // 10, min(count // 5, 1000)))

    def _new_model(self, rows, names, schema):
        # Models hold a calibration, for which this package is imported.
        from kerasae.models import residual_denoiser  # noqa: PLC0415
        from kerasae.tables import StandardTableEncoder  # noqa: PLC0415

        scaler: Any
        if schema is not None:
            scaler = StandardTableEncoder(schema)
            scaler.adapt(rows)
        else:
            mean, variance = (
                measure(rows, axis=0, dtype="float64") for measure in (np.mean, np.var)
            )
            scaler = keras.layers.Normalization(mean=mean, variance=variance, dtype="float32")
        model = residual_denoiser(
            rows.shape[1] if schema is None else scaler.width,
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


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)
