"""Rows that come in pieces, from files for example, instead of an array in memory."""

import abc
from collections.abc import Iterator
from typing import Any

import numpy as np


class RowSource(abc.ABC):
    """Rows in pieces, which `fit` and `evaluate` take in place of an array.

    A subclass reads them. `fit` asks for all pieces once an epoch, checks them, copies them
    together into chunks of about 64 MB and trains on one chunk while the next is read in a thread.
    Only a few chunks and the piece at hand are in memory.

    Attributes:
        rows: How many rows there are, None if only reading them tells.
        columns: Names of the columns, or None. Pieces that are tables are matched by name.

    Example:
        >>> import kerasae
        >>> class Lines(RowSource):
        ...     rows = 30
        ...
        ...     def pieces(self, rng=None):
        ...         starts = np.arange(0, 30, 10)
        ...         for start in starts if rng is None else rng.permutation(starts):
        ...             yield np.linspace(start, start + 9, 10)[:, None] * np.ones(8)
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> history = model.fit(Lines(), epochs=2, verbose=0)
        >>> len(history.history["loss"])
        2
    """

    rows: int | None = None
    columns: tuple[str, ...] | None = None

    @abc.abstractmethod
    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """Reads all rows once; it is called in a thread.

        Args:
            rng: What to mix the order of the pieces by; None for the source's own order. The same
                generator must give the same order.

        Yields:
            Rows, an array or table of shape (some, *row_shape), or a tuple of rows, targets and
            sample weights. All pieces have one type of numbers.
        """


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
