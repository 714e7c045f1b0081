"""Where each column of a table lies in an encoded row, and the error of each column."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

NUMBER, CATEGORY = "number", "category"


class Layout:
    """Which encoded values belong to which column.

    An encoded row holds, in this order: one value for each number and date-time; sine and cosine
    for each period of the date-times; the levels of the categories, those of equal width side by
    side; and the indicators of missing cells.

    Args:
        columns: For each column its kind, "number" or "category", and a count: the number of
            periods of a date-time (0 for other numbers), or of the levels of a category, one for
            unseen levels included.
        indicators: Positions of the columns that have an indicator.

    Attributes:
        values: Positions of the columns that are numbers.
        groups: Pairs of a number of levels and the positions of the categories that have it.
        column_of: int array of shape (width,): the position of the column of each encoded value.
        width: Length of an encoded row.

    Example:
        >>> layout = Layout([("number", 0), ("category", 3), ("number", 1)])
        >>> layout.column_of.tolist()
        [0, 2, 2, 2, 1, 1, 1]
    """

    def __init__(self, columns: Sequence[tuple[str, int]], indicators: Sequence[int] = ()) -> None:
        self.columns = [(str(kind), int(count)) for kind, count in columns]
        self.indicators = [int(i) for i in indicators]
        numbered = list(enumerate(self.columns))
        self.values = [i for i, (kind, _) in numbered if kind == NUMBER]
        periods = [i for i, (kind, n) in numbered if kind == NUMBER for _ in range(n)]
        levels = sorted((n, i) for i, (kind, n) in numbered if kind == CATEGORY)
        self.groups = [
            (width, [i for _, i in pairs])
            for width, pairs in itertools.groupby(levels, lambda pair: pair[0])
        ]
        of_levels = [i for width, members in self.groups for i in members for _ in range(width)]
        self.period_columns = periods
        parts: list[Any] = [self.values, np.tile(periods, 2), of_levels, self.indicators]
        self.column_of = np.concatenate([np.asarray(part, "int32") for part in parts])
        self.width = len(self.column_of)
        edges = np.cumsum([0, *(np.size(part) for part in parts)])
        self._starts = dict(zip(("values", "periods", "levels", "indicators"), edges, strict=False))
        made = [*self.values, *(i for _, members in self.groups for i in members)]
        self._order = np.argsort(made).astype("int32")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"columns": [list(pair) for pair in self.columns], "indicators": self.indicators}

    def in_order(self, parts: Sequence[Any]) -> Any:
        """Joins a tensor of the numbers and one of each group of categories, in column order."""
        return ops.take(ops.concatenate(list(parts), axis=1), self._order, axis=1)

    def numbers(self, encoded: Any) -> Any:
        """The values of numbers and date-times, (batch, numbers)."""
        return encoded[:, : len(self.values)]

    def categories(self, encoded: Any) -> list[Any]:
        """The levels of each group of categories, tensors of shape (batch, categories, levels)."""
        start, found = int(self._starts["levels"]), []
        for width, members in self.groups:
            end = start + width * len(members)
            found.append(ops.reshape(encoded[:, start:end], (-1, len(members), width)))
            start = end
        return found

    def column_errors(self, target: Any, output: Any) -> Any:
        """The error of each column: squared for numbers, cross-entropy in nats for categories.

        Args:
            target: Encoded rows, (batch, width).
            output: Reconstructions, (batch, width), logits for the levels of categories.

        Returns:
            float32 tensor of shape (batch, columns). A date-time's is the mean over its value and
            its periods.
        """
        count, first = len(self.values), int(self._starts["levels"])
        squares = ops.square(target[:, :first] - output[:, :first])
        parts = [squares[:, :count]]
        if self.period_columns:
            # Sine and cosine of a period count as one: their variances add up to at most 1.
            share = np.zeros((first, count), "float32")
            for i, column in enumerate([*self.values, *np.tile(self.period_columns, 2)]):
                share[i, self.values.index(column)] = 1 / (1 + self.columns[column][1])
            parts = [ops.matmul(squares, share)]
        for levels, logits in zip(self.categories(target), self.categories(output), strict=True):
            parts.append(-ops.sum(levels * ops.log_softmax(logits, axis=-1), axis=-1))
        return self.in_order(parts)


def split_target(layout: Layout, target: Any) -> tuple[Any, Any]:
    """Encoded rows and the weight of each cell, 0 where it is missing, of `TableEncoder.target`."""
    return target[:, : layout.width], target[:, layout.width :]


def entropy(shares: np.ndarray) -> float:
    """The entropy of shares that add up to 1, in nats."""
    present = np.asarray(shares, "float64")
    present = present[present > 0]
    return float(-(present * np.log(present)).sum()) if len(present) else math.nan
