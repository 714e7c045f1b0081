"""What is measured of rows in one pass over a source: moments, extremes, and a sample."""

from collections.abc import Callable
from typing import Any

import numpy as np

from kerasae.datasets.files.arrow import joined_tables
from kerasae.datasets.opened import as_piece, hashed, rows_where
from kerasae.datasets.row_source import RowSource

# A sample has at most so many rows, and so many bytes.
SAMPLE_ROWS, SAMPLE_BYTES = 200_000, 2**27
SAMPLE_SEED = 1


class Moments:
    """Mean, variance, extremes and number of the cells of each column that are not NaN.

    Arrays are added one by one. The numbers are those of all rows together: exact but for rounding
    in float64.

    Attributes:
        count: Number of cells, (columns,).
        mean: float64, (columns,); 0 where there is no cell.
        low: The lowest cells, infinity where there is none.
        high: The highest ones.

    Reference: Chan, Golub and LeVeque (1979), Updating formulae and a pairwise algorithm for
    computing sample variances.

    Example:
        >>> moments = Moments()
        >>> for part in np.array_split(np.arange(10.0)[:, None], 3):
        ...     moments.add(part)
        >>> moments.mean.item(), moments.variance.item(), moments.high.item()
        (4.5, 8.25, 9.0)
    """

    def __init__(self) -> None:
        self.count: Any = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0
        self.low: Any = np.inf
        self.high: Any = -np.inf

    def add(self, x: np.ndarray) -> None:
        """Adds rows.

        Args:
            x: Array of shape (rows, ..., columns) with at least one row.
        """
        x = x.reshape(-1, x.shape[-1])
        missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(1, bool)
        if missing.any():
            new = len(x) - missing.sum(axis=0)
            total = np.nansum(x, axis=0, dtype="float64")
            low = np.where(missing, np.inf, x).min(axis=0)
            high = np.where(missing, -np.inf, x).max(axis=0)
        else:
            new, total = np.full(x.shape[1], len(x)), x.sum(axis=0, dtype="float64")
            low, high = x.min(axis=0), x.max(axis=0)
        mean = total / np.maximum(new, 1)
        off = np.subtract(x, mean, dtype="float64")
        squares = np.nansum(np.square(off, out=off), axis=0)
        count = self.count + new
        step = mean - self.mean
        self.squares = self.squares + squares + step**2 * self.count * new / np.maximum(count, 1)
        self.mean = self.mean + step * new / np.maximum(count, 1)
        self.low, self.high = np.minimum(self.low, low), np.maximum(self.high, high)
        self.count = count

    @property
    def variance(self) -> np.ndarray:
        """Variance of each column, float64, (columns,)."""
        return self.squares / np.maximum(self.count, 1)


class Sample:
    """Rows drawn at random from all that are added, each with the same chance.

    A row is drawn by a hash of its number, so that the same rows are drawn in whatever order they
    come, and a sample of fewer rows is part of one of more.

    Args:
        rows: How many rows are drawn at most.
        size: How many bytes they take at most, as far as the first of them says.
        seed: The same seed draws the same rows.
    """

    def __init__(
        self, rows: int = SAMPLE_ROWS, size: int = SAMPLE_BYTES, seed: int = SAMPLE_SEED
    ) -> None:
        self.rows, self.size, self.seed = rows, size, seed
        self._pieces: list[Any] = []
        self._numbers: list[np.ndarray] = []
        self._limit = 1.0

    def add(self, numbers: np.ndarray, piece: Any) -> None:
        """Adds rows.

        Args:
            numbers: uint64 array, the numbers of the rows.
            piece: The rows, an array or a table of pyarrow.
        """
        if not self._pieces:
            self.rows = max(2, min(self.rows, self.size * len(piece) // max(1, piece.nbytes)))
        chosen = hashed(numbers, self.seed) < self._limit
        if not chosen.any():
            return
        self._pieces.append(rows_where(piece, chosen))
        self._numbers.append(numbers[chosen])
        if sum(map(len, self._pieces)) > 2 * self.rows:
            self._prune()

    def _prune(self):
        keys = [hashed(numbers, self.seed) for numbers in self._numbers]
        every = np.concatenate(keys)
        if len(every) <= self.rows:
            return
        self._limit = float(np.partition(every, self.rows)[self.rows])
        for i, key in enumerate(keys):
            kept = key < self._limit
            self._numbers[i] = self._numbers[i][kept]
            self._pieces[i] = rows_where(self._pieces[i], kept)

    def result(self) -> tuple[np.ndarray, Any]:
        """The numbers of the rows that were drawn, in rising order, and the rows; called once.

        Raises:
            ValueError: No rows were added.
        """
        if not self._pieces:
            raise ValueError("x must have at least one row. Received: a source without rows")
        self._prune()
        numbers = np.concatenate(self._numbers)
        order = np.argsort(numbers)
        of_arrays = isinstance(self._pieces[0], np.ndarray)
        joined = np.concatenate(self._pieces) if of_arrays else joined_tables(self._pieces)
        self._pieces.clear()
        return numbers[order], joined[order] if of_arrays else joined.take(order)


def sample(
    source: RowSource,
    rows: int = SAMPLE_ROWS,
    *,
    size: int = SAMPLE_BYTES,
    seed: int = SAMPLE_SEED,
    seen: Callable[[int], object] | None = None,
) -> Any:
    """Draws rows of a source at random in one pass, each with the same chance.

    Args:
        source: The source.
        rows: How many rows are drawn at most.
        size: How many bytes they take at most, as far as the first of them says.
        seed: The same seed draws the same rows.
        seen: Function that is called with the number of rows of each piece, or None.

    Returns:
        The rows in their order, an array or a table of pyarrow.

    Raises:
        ValueError: The source has no rows.

    Reference: Li (1994), Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n))), for
    samples from streams.

    Example:
        >>> import kerasae
        >>> source = kerasae.datasets.open(np.arange(1000.0)[:, None])
        >>> sample(source, 3).ravel().tolist()
        [35.0, 305.0, 723.0]
    """
    drawn = Sample(rows, size, seed)
    for numbers, piece in source.numbered():
        drawn.add(numbers, as_piece(piece))
        if seen is not None:
            seen(len(piece))
    return drawn.result()[1]
