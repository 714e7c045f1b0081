"""Rows in pieces that are checked as they come."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from kerasae.datasets.row_source import RowSource

__all__ = ["CheckedSource", "RowSource"]


class CheckedSource(RowSource):
    """A source whose pieces are checked as they are read.

    Args:
        source: The source.
        check: Function of a piece that gives it as a tuple of checked arrays.
    """

    def __init__(self, source: RowSource, check: Any) -> None:
        self.source, self.check = source, check
        self.rows, self.columns = source.rows, source.columns

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[tuple[Any, ...]]:
        """The pieces, as tuples of arrays."""
        for piece in self.source.pieces(rng):
            yield self.check(piece)
