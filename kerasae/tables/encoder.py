"""The preprocessing of a table inside the model: codes to encoded values, and back."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import Moments, Sample
from kerasae.layers.base import LayerOptions
from kerasae.tables.layout import CATEGORY, Layout, entropy
from kerasae.tables.losses import TableError, TableLikelihood, TableLoss
from kerasae.tables.schema import Schema
from kerasae.validation import FLOAT32_MAX, LARGEST, unknown

SCALINGS = ("standard", "range", "robust", "normal")
KNOTS = 33
# A category whose cells are nearly all alike must not outweigh the others.
LEAST_ENTROPY = 0.1


@keras.saving.register_keras_serializable("kerasae")
class TableEncoder(keras.layers.Layer):
    r"""Codes of a table as values that a network takes, and back: a model's `scaler` for tables.

    Numbers are scaled by the statistics that `adapt` measures, levels become one-hot, and a
    date-time of d days becomes its scaled trend and the position in each of its periods p,
    $\sin(2 \pi d / p)$ and $\cos(2 \pi d / p)$. A missing cell is 0 in all of its values, which for
    a number is its mean, and is left out of the loss.

    | numbers | $z = $ | for |
    |---|---|---|
    | "standard" | (x - mean) / standard deviation | anomalies, and by default |
    | "range" | (x - mean) / (max - min) | bounded values |
    | "robust" | (x - median) / (0.741 times the interquartile range) | outliers in training |
    | "normal" | normal scores: piecewise linear between quantiles | skewed values |

    Args:
        schema: The `Schema` of the tables, or the dict that describes it.
        numbers: How numbers are scaled, one of the above.
        indicators: Whether each column with missing cells has a value more, 1 where it is missing.
        bound: Largest magnitude of a scaled number that the loss wants back, or None. It is set
            where the corruption bounds what the model sees: one cell a hundred times too large must
            not be all that a training is about. Errors of rows are of the numbers as they are.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: codes (batch, columns) of `Schema.codes`; the output is (batch, width), float32.

    Raises:
        ValueError: `numbers` is unknown.

    Reference: Gorishniy et al. (2022), On embeddings for numerical features in tabular deep
    learning, for normal scores.

    Example:
        >>> table = {"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", "red"]}
        >>> layer = TableEncoder(Schema.infer(table))
        >>> layer.adapt(table)
        >>> print(np.asarray(layer(layer.codes(table))).round(2))
        [[-1.22  0.    1.    0.  ]
         [ 0.    1.    0.    0.  ]
         [ 1.22  0.    1.    0.  ]]
    """

    def __init__(
        self,
        schema: Schema | Mapping[str, Any],
        numbers: str = "standard",
        indicators: bool = True,
        bound: float | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        if numbers not in SCALINGS:
            raise ValueError(unknown("numbers", numbers, SCALINGS))
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self.schema = schema if isinstance(schema, Schema) else Schema.from_config(schema)
        self.numbers, self.indicators, self.bound = numbers, indicators, bound
        marked = [i for i, one in enumerate(self.schema) if one.missing and indicators]
        self.layout = Layout([one.coded_as for one in self.schema], marked)
        self._periods = [
            (i, period, column.origin % period)
            for i, column in enumerate(self.schema)
            for period in column.periods
        ]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self.schema.names

    @property
    def row_shape(self) -> tuple[int]:
        """Shape of a row of codes."""
        return (len(self.schema),)

    @property
    def width(self) -> int:
        """Number of encoded values of a row."""
        return self.layout.width

    def loss(self) -> TableLoss:
        """The loss of models that have this layer as their scaler."""
        return TableLoss(self.layout)

    def likelihood(self, stddev: float) -> TableLikelihood:
        """The loss of variational models that have this layer as their scaler.

        Args:
            stddev: Standard deviation of the scaled numbers, above 0.
        """
        return TableLikelihood(self.layout, stddev)

    def metric(self) -> TableError:
        """The metric to compare such models by."""
        return TableError(self.layout)

    def codes(self, x: Any, where: Any = "x") -> np.ndarray:
        """Codes of a table, or of an array of codes, whose scaled numbers are not too large.

        Args:
            x: What `Schema.codes` takes.
            where: What the messages call it.

        Returns:
            float32 array of shape (rows, columns).

        Raises:
            ValueError: What `Schema.codes` refuses, or magnitudes of 1e15 and more once scaled.
            TypeError: Cells of another kind than the column's.
        """
        codes = self.schema.codes(x, where)
        if self.built and self.layout.values:
            part = np.abs(codes[:, self.layout.values] - self.mean) / self.spread
            if (beyond := part > LARGEST).any():
                row, i = np.argwhere(beyond)[0]
                name = self.schema.names[self.layout.values[i]]
                raise ValueError(
                    f"{where} must be in magnitude under {LARGEST:.0e} once scaled. Received: "
                    f"{codes[row, self.layout.values[i]]:g} in row {row}, column '{name}'. "
                    "Try a missing cell instead"
                )
        return codes

    def build(self, input_shape=None):
        """Makes the statistics, for `adapt` to fill."""
        # Arrays, not variables: on JAX, metrics are computed where variables cannot be read.
        count, columns = len(self.layout.values), len(self.schema)
        self.mean = np.full(count, np.nan, "float32")
        self.spread = np.full(count, np.nan, "float32")
        knots = KNOTS if self.numbers == "normal" else 0
        self.quantiles, self.scores = np.full((2, count, knots), np.nan, "float32")
        self.cell_weights = np.full(columns, np.nan, "float32")
        self.built = True

    STATE: tuple[str, ...] = ("mean", "spread", "quantiles", "scores", "cell_weights")

    def save_own_variables(self, store):
        for name in self.STATE:
            store[name] = getattr(self, name)

    def load_own_variables(self, store):
        for name in self.STATE:
            setattr(self, name, np.array(store[name]))

    def adapt(self, data: Any) -> None:
        """Measures the numbers of each column, and how often each level occurs, in one pass.

        Args:
            data: Table or codes to train on, or a `RowSource` of such pieces. Its quantiles are
                those of a sample of 200,000 rows, all else is that of all rows.

        Raises:
            ValueError: What `Schema.codes` refuses.
        """
        whole = not isinstance(data, RowSource)
        pieces = [(np.empty(0, "uint64"), data)] if whole else data.numbered()
        moments, drawn = Moments(), Sample()
        counts = [np.zeros(width, "int64") for _, width in self.layout.columns]
        codes: np.ndarray | None = None
        for numbers, piece in pieces:
            codes = self.schema.codes(piece, "data")
            moments.add(codes)
            for i, cells in enumerate(codes.T):
                if self.layout.columns[i][0] == CATEGORY:
                    present = cells[~np.isnan(cells)].astype("int64")
                    counts[i] += np.bincount(present, minlength=len(counts[i]))
            if not whole:
                drawn.add(numbers, codes)
        self.build()
        self._measure_numbers(moments, codes if whole else drawn.result()[1])
        self._measure_weights(moments, counts)

    def _measure_numbers(self, moments, codes):
        """Center, spread and quantiles of numbers, the last two of some rows at least."""
        for i, column in enumerate(self.layout.values):
            cells = codes[:, column].astype("float64")
            found = _center_and_spread(moments, column, cells, self.numbers)
            self.mean[i], self.spread[i] = found
            if self.numbers == "normal":
                line = _normal_scores(cells, *found)
                self.quantiles[i], self.scores[i] = line

    def _measure_weights(self, moments, counts):
        """Weights such that a model which knows nothing of a row has the error 1 in each column."""
        spread = dict(zip(self.layout.values, self.spread, strict=True))
        for i, (kind, _) in enumerate(self.layout.columns):
            if kind == CATEGORY:
                seen = counts[i].sum()
                typical = entropy(counts[i] / seen) if seen else 0.0
                self.cell_weights[i] = 1 / max(typical, LEAST_ENTROPY)
            else:
                variance = moments.variance[i] / float(spread[i]) ** 2
                # In the other scalings, a spread of 1 is what is usual, whatever the outliers.
                self.cell_weights[i] = 1 / variance if self.numbers == "range" and variance else 1.0

    def call(self, inputs):
        layout, codes = self.layout, ops.cast(inputs, "float32")
        missing = ops.isnan(codes)
        known = ops.where(missing, ops.zeros_like(codes), codes)
        observed = 1.0 - ops.cast(missing, "float32")
        parts = []
        if layout.values:
            mask = ops.take(observed, np.asarray(layout.values, "int32"), axis=1)
            numbers = ops.take(known, np.asarray(layout.values, "int32"), axis=1)
            parts.append(self._scaled(numbers) * mask)
        if self._periods:
            parts += self._cycles(known, observed)
        present = ops.where(missing, -ops.ones_like(codes), codes)  # a missing level is none
        for width, members in layout.groups:
            cells = ops.take(present, np.asarray(members, "int32"), axis=1)
            same = ops.equal(ops.expand_dims(cells, -1), np.arange(width, dtype="float32"))
            parts.append(ops.reshape(ops.cast(same, "float32"), (-1, width * len(members))))
        if layout.indicators:
            parts.append(1.0 - ops.take(observed, np.asarray(layout.indicators, "int32"), axis=1))
        return ops.concatenate(parts, axis=1)

    def _cycles(self, known, observed):
        columns, periods, phases = map(np.array, zip(*self._periods, strict=True))
        days = ops.take(known, columns.astype("int32"), axis=1)
        turns = (days + phases.astype("float32")) / periods.astype("float32")
        angle = (turns - ops.floor(turns)) * np.float32(2 * np.pi)
        mask = ops.take(observed, columns.astype("int32"), axis=1)
        return [ops.sin(angle) * mask, ops.cos(angle) * mask]

    def _scaled(self, numbers):
        if self.numbers == "normal":
            return _piecewise(numbers, self.quantiles, self.scores)
        return (numbers - self.mean) / self.spread

    def inverse(self, outputs: Any) -> Any:
        """Codes of encoded values: the numbers, and the position of the most likely level.

        Args:
            outputs: Tensor of shape (batch, width); levels as any that rise with their likelihood.

        Returns:
            float32 tensor of shape (batch, columns).
        """
        outputs = ops.cast(outputs, "float32")
        numbers, parts = self.layout.numbers(outputs), []
        if self.layout.values:
            if self.numbers == "normal":
                parts.append(_piecewise(numbers, self.scores, self.quantiles))
            else:
                parts.append(numbers * self.spread + self.mean)
        groups = zip(self.layout.groups, self.layout.categories(outputs), strict=True)
        for (_, members), levels in groups:
            # The last level of a category is that of the unseen ones.
            boolean = [self.schema.columns[i].kind == "boolean" for i in members]
            last = np.where(boolean, 0.0, -1e30).astype("float32")[:, None]
            unseen = np.zeros(levels.shape[1:], "float32")
            unseen[:, -1:] = last
            parts.append(_first_highest(levels + unseen))
        return self.layout.in_order(parts)

    def as_logits(self, mean: np.ndarray) -> np.ndarray:
        """The output that predicts the mean of encoded rows: logarithms for the shares of levels.

        Args:
            mean: Array of shape (width,).

        Returns:
            Array of the same shape.
        """
        levels = [i for _, members in self.layout.groups for i in members]
        of_levels = np.isin(self.layout.column_of, levels)
        of_levels[self.width - len(self.layout.indicators) :] = False
        return np.where(of_levels, np.log(np.maximum(mean, 1e-4)), mean)

    def target(self, codes: Any) -> Any:
        """What the loss compares with: the encoded values, and the weight of each cell.

        Args:
            codes: Tensor of shape (batch, columns).

        Returns:
            float32 tensor of shape (batch, width + columns); the weight of a missing cell is 0.
        """
        encoded, count = self(codes), len(self.layout.values)
        if self.bound is not None:
            numbers = ops.clip(encoded[:, :count], -self.bound, self.bound)
            encoded = ops.concatenate([numbers, encoded[:, count:]], axis=1)
        return ops.concatenate([encoded, self._weights(codes)], axis=1)

    def _weights(self, codes):
        """The weight of each cell, 0 where it is missing, (batch, columns)."""
        return (1.0 - ops.cast(ops.isnan(codes), "float32")) * self.cell_weights

    def errors(self, codes: Any, output: Any) -> Any:
        """The error of each cell, whose mean over the columns is the error of the row.

        Args:
            codes: Tensor of shape (batch, columns).
            output: What a decoder made of them, (batch, width).

        Returns:
            float32 tensor of shape (batch, columns): 1 is the error of a model that knows nothing
            of a row. Missing cells have 0, and the others of their row so much more.
        """
        encoded, weights = self(codes), self._weights(codes)
        observed = ops.sum(ops.cast(weights > 0, "float32"), axis=1, keepdims=True)
        share = float(len(self.schema)) / ops.maximum(observed, 1.0)
        return weights * self.layout.column_errors(encoded, output) * share

    def get_config(self) -> dict[str, Any]:
        """The schema and the settings."""
        own = {"schema": self.schema.get_config(), "numbers": self.numbers}
        config = {name: value for name, value in super().get_config().items() if name == "name"}
        return {**config, **own, "indicators": self.indicators, "bound": self.bound}


def _first_highest(levels):
    """The position of the highest of the last axis, in operators that ONNX and LiteRT have."""
    count = levels.shape[-1]
    position = np.arange(count, dtype="float32")
    highest = levels >= ops.max(levels, axis=-1, keepdims=True)
    return ops.min(ops.where(highest, position, np.float32(count)), axis=-1)


def _center_and_spread(moments, column, cells, how):
    present = cells[~np.isnan(cells)]
    if not len(present):
        return 0.0, 1.0
    center, deviation = moments.mean[column], np.sqrt(moments.variance[column])
    if how == "range":
        spread = float(moments.high[column]) - float(moments.low[column])
    elif how == "standard":
        spread = deviation
    else:
        low, center, high = np.quantile(present, [0.25, 0.5, 0.75])
        spread = 0.7413 * (high - low) or deviation
    tiny = max(np.finfo("float32").tiny, 1e-6 * abs(center))
    # A constant column is divided by 1: a later drift keeps its size.
    return center, spread if spread > tiny else 1.0


def _normal_scores(cells, center, spread):
    """Quantiles of a column and their normal scores; beyond them a line as steep as its spread."""
    present = cells[~np.isnan(cells)]
    shares = np.linspace(0, 1, KNOTS - 2)
    if len(present) < 2:
        line = np.linspace(-1, 1, KNOTS)
        return center + spread * line, line
    quantiles = np.quantile(present, shares)
    edge = 0.5 / max(len(present), KNOTS)
    scores = np.array([NormalDist().inv_cdf(share) for share in np.clip(shares, edge, 1 - edge)])
    knots, first = np.unique(quantiles.astype("float32"), return_inverse=True)
    mean = np.bincount(first, scores) / np.bincount(first)
    ends = [knots[0] - spread, *knots, knots[-1] + spread]
    values = [mean[0] - 1, *mean, mean[-1] + 1]
    # As many knots for each column: the last ones repeat the line's end.
    more = KNOTS - len(ends)
    ends += [ends[-1] + spread * (i + 1) for i in range(more)]
    values += [values[-1] + (i + 1) for i in range(more)]
    return np.array(ends), np.array(values)


def _piecewise(x, knots, values):
    """The piecewise linear function through knots, one a column, that goes on beyond its ends."""
    steps = np.diff(knots, axis=1)
    slopes = np.diff(values, axis=1) / np.maximum(steps, np.finfo("float32").tiny)
    low, high = knots[:, :-1].copy(), knots[:, 1:].copy()
    low[:, 0], high[:, -1] = -FLOAT32_MAX, FLOAT32_MAX
    inside = ops.minimum(ops.maximum(ops.expand_dims(x, -1), low), high) - knots[:, :-1]
    return ops.sum(inside * slopes.astype("float32"), axis=-1) + values[:, 0]
