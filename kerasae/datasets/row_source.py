"""Rows that come in pieces, from files for example, instead of an array in memory."""

import abc
from collections.abc import Iterator
from typing import Any

import numpy as np


class RowSource(abc.ABC):
    """Rows in pieces, which `fit` and all that looks at rows take in place of an array.

    A subclass reads them; `kerasae.datasets.open` makes one for files. `fit` asks for all pieces
    once an epoch, checks them, copies them together into chunks of about 64 MB and trains on one
    chunk while the next is read in a thread. Only a few chunks and the piece at hand are in memory.

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
        >>> len(history.history["loss"]), [part.shape for part in model.encode(Lines())]
        (2, [(10, 2), (10, 2), (10, 2)])
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

    def numbered(self) -> Iterator[tuple[np.ndarray, Any]]:
        """The pieces in the source's own order, each with the numbers of its rows.

        Yields:
            uint64 array of shape (some,), and the rows.
        """
        first = 0
        for piece in self:
            yield np.arange(first, first + len(piece), dtype="uint64"), piece
            first += len(piece)

    def __iter__(self) -> Iterator[Any]:
        """The rows of all pieces in the source's own order, without targets and weights."""
        for piece in self.pieces():
            yield piece[0] if isinstance(piece, tuple) else piece
