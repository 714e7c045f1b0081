"""Losses of rows whose columns are of mixed types."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.models.losses import Likelihood
from kerasae.tables.layout import CATEGORY, Layout, split_target


@keras.saving.register_keras_serializable("kerasae")
class TableLoss(keras.losses.Loss):
    r"""The error of a row of mixed columns, in which every column counts alike.

    $$L = \frac{\sum_j m_j w_j e_j}{\sum_j m_j}$$

    with m_j = 0 for cells that are missing, e_j the squared error of a number, on its scaled value,
    or the cross-entropy of a category, and w_j such that a model which knows nothing of a row has
    the error 1 in each column.

    Args:
        layout: A `Layout`, or the dict that describes it.
        name: Name of the loss.

    Shapes: targets of `TableEncoder.target`, (batch, width + columns), and outputs (batch, width).
    """

    def __init__(self, layout: Layout | dict[str, Any], name: str = "table_loss") -> None:
        super().__init__(name=name, reduction="sum_over_batch_size")
        self.layout = layout if isinstance(layout, Layout) else Layout(**layout)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return row_errors(self.layout, y_true, ops.cast(y_pred, "float32"))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"layout": self.layout.get_config(), "name": self.name}


def row_errors(layout: Layout, target: Any, output: Any) -> Any:
    """The weighted mean error of each row over the cells that it has, (batch,)."""
    encoded, weights = split_target(layout, target)
    observed = ops.sum(ops.cast(weights > 0, "float32"), axis=1)
    total = ops.sum(weights * layout.column_errors(encoded, output), axis=1)
    return total / ops.maximum(observed, 1)


@keras.saving.register_keras_serializable("kerasae")
class TableLikelihood(Likelihood):
    r"""Negative log-likelihood of a row: normal numbers, and categories with probabilities.

    $$- \log p(x | \hat x) = \sum_j m_j \begin{cases}
    (x_j - \hat x_j)^2 / (2 \mathtt{stddev}^2) + \log (2 \pi \mathtt{stddev}^2) / 2
    & \text{numbers} \\ - \log \hat p_j(x_j) & \text{categories} \end{cases}$$

    over the cells that are not missing. A date-time counts as one number.

    Args:
        layout: A `Layout`, or the dict that describes it.
        stddev: Standard deviation of the scaled numbers, above 0.
        name: Name of the loss.

    Raises:
        ValueError: `stddev` is not above 0.

    Shapes: as in `TableLoss`; the loss of a row is in nats, and can be negative.

    Reference: Nazabal et al. (2020), Handling incomplete heterogeneous data using VAEs.
    """

    def __init__(
        self,
        layout: Layout | dict[str, Any],
        stddev: float = 0.5,
        name: str = "table_likelihood",
    ) -> None:
        if not 0 < stddev < math.inf:
            raise ValueError(f"stddev must be finite and above 0. Received: stddev={stddev}")
        super().__init__(name)
        self.layout = layout if isinstance(layout, Layout) else Layout(**layout)
        self.stddev = stddev

    def terms(self, y_true: Any, y_pred: Any) -> Any:
        """The term of each column, 0 where its cell is missing."""
        encoded, weights = split_target(self.layout, y_true)
        numbers = [kind != CATEGORY for kind, _ in self.layout.columns]
        factor = np.where(numbers, 0.5 / self.stddev**2, 1).astype("float32")
        constant = 0.5 * math.log(2 * math.pi * self.stddev**2)
        errors = factor * self.layout.column_errors(encoded, y_pred)
        terms = errors + np.where(numbers, constant, 0).astype("float32")
        return terms * ops.cast(weights > 0, "float32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"layout": self.layout.get_config(), "stddev": self.stddev, "name": self.name}


@keras.saving.register_keras_serializable("kerasae")
class TableError(keras.metrics.MeanMetricWrapper):
    """The mean of `TableLoss` without penalties, as a metric: what `mse` is for plain rows.

    Args:
        layout: A `Layout`, or the dict that describes it.
        name: Name of the metric.
    """

    def __init__(self, layout: Layout | dict[str, Any], name: str = "table_error") -> None:
        self.layout = layout if isinstance(layout, Layout) else Layout(**layout)
        super().__init__(self._errors, name=name, dtype="float32")
        self._direction = "down"

    def _errors(self, y_true, y_pred):
        return row_errors(self.layout, y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"layout": self.layout.get_config(), "name": self.name}
