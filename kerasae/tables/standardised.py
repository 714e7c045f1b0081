"""Tables as rows that distances and squared errors can be taken of, every column alike."""

from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.tables.encoder import TableEncoder

# The least that a column may vary for all its values to be divided by it.
LEAST_VARIANCE = 0.01


@keras.saving.register_keras_serializable("kerasae")
class StandardTableEncoder(TableEncoder):
    r"""A `TableEncoder` whose columns have mean 0 and variance 1, categories too.

    The levels of a category, which are 1 and 0, become with their shares p_l

    $$z_l = \frac{x_l - p_l}{\sqrt{1 - \sum_l p_l^2}}$$

    of which the variances add up to 1. So do those of the values of a date-time. A column that
    hardly varies is divided by 0.1. Models are trained with the mean squared error of these values.
    It is the scaler of a `kerasae.anomaly.Detector` of tables.

    Args: those of `TableEncoder`.

    Shapes: codes (batch, columns) of `Schema.codes`; the output is (batch, width), float32.

    Example:
        >>> from kerasae.tables import Schema
        >>> table = {"size": [1.0, 2.0, 3.0], "colour": ["red", "blue", "red"]}
        >>> layer = StandardTableEncoder(Schema.infer(table))
        >>> layer.adapt(table)
        >>> z = np.asarray(layer(layer.codes(table)))
        >>> np.asarray(layer.by_column(z**2)).mean(axis=0).round(4).tolist()
        [1.0, 1.0]
    """

    STATE = (*TableEncoder.STATE, "offset", "factor")

    def build(self, input_shape=None):
        """Makes the statistics, for `adapt` to fill."""
        super().build(input_shape)
        self.offset, self.factor = np.full((2, self.width), np.nan, "float32")

    def adapt(self, data: Any) -> None:
        """Measures the columns.

        Args:
            data: Table or codes to train on.

        Raises:
            ValueError: What `Schema.codes` refuses.
        """
        super().adapt(data)
        codes = self.schema.codes(data, "data")
        self.offset, variance = self._moments(codes)
        of_column = np.bincount(self.layout.column_of, variance * self._own(), len(self.schema))
        # An indicator is a column of its own.
        total = np.where(self._own(), of_column[self.layout.column_of], variance)
        constant = total[: len(self.layout.values)] == 0
        total = np.maximum(total, LEAST_VARIANCE)
        total[: len(constant)][constant] = 1  # as TableEncoder has it: a later drift keeps its size
        self.factor = np.sqrt(total).astype("float32")

    def _moments(self, codes):
        """Mean and variance of each encoded value over the cells that are there."""
        count, total, squares = 0.0, 0.0, 0.0
        for start in range(0, len(codes), 4096):
            piece = codes[start : start + 4096]
            there = ops.convert_to_numpy(self.observed(piece)).astype("float64")
            values = ops.convert_to_numpy(super().call(piece)).astype("float64")
            count = count + there.sum(axis=0)
            total = total + values.sum(axis=0)
            squares = squares + np.square(values).sum(axis=0)
        mean = total / np.maximum(count, 1)
        return mean.astype("float32"), np.maximum(squares / np.maximum(count, 1) - mean**2, 0)

    def _own(self):
        """Which encoded values are not indicators."""
        return np.arange(self.width) < self.width - len(self.layout.indicators)

    def observed(self, codes: Any) -> Any:
        """1 for the encoded values of cells that are there, and for indicators, (batch, width)."""
        there = 1.0 - ops.cast(ops.isnan(ops.cast(codes, "float32")), "float32")
        values = ops.take(there, self.layout.column_of, axis=1)
        return ops.maximum(values, (~self._own()).astype("float32"))

    def call(self, inputs):
        return (super().call(inputs) - self.offset) / self.factor * self.observed(inputs)

    def inverse(self, outputs: Any) -> Any:
        """Codes of scaled values: the numbers, and the position of the level that is furthest up.

        Args:
            outputs: Tensor of shape (batch, width).

        Returns:
            float32 tensor of shape (batch, columns).
        """
        return super().inverse(ops.cast(outputs, "float32") * self.factor + self.offset)

    def by_column(self, values: Any) -> Any:
        """Sums of what belongs to each column.

        Args:
            values: One for each encoded value, (..., width).

        Returns:
            float32 tensor of shape (..., columns).
        """
        columns = np.arange(len(self.schema))
        member = (self.layout.column_of[:, None] == columns).astype("float32")
        return ops.matmul(values, member)

    def loss(self) -> Any:
        """The loss of models that have this layer as their scaler."""
        return keras.losses.MeanSquaredError()

    def metric(self) -> Any:
        """The metric to compare such models by."""
        return keras.metrics.MeanSquaredError(name="mse")

    def target(self, codes: Any) -> Any:
        """What the loss compares with: the scaled values."""
        return self(codes)

    def as_logits(self, mean: np.ndarray) -> np.ndarray:
        """The output that predicts a mean: itself."""
        return mean

    def errors(self, codes: Any, output: Any) -> Any:
        """The squared error of each cell, (batch, columns), 0 where it is missing."""
        return self.by_column(ops.square((output - self(codes)) * self.observed(codes)))
