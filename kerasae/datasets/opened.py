"""Rows of parts that are read one by one, such as the row groups of files."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from kerasae.datasets.files.arrow import arrow_table
from kerasae.datasets.files.parts import Part
from kerasae.datasets.row_source import RowSource
from kerasae.validation import check_count, column_order, names_of

# How many parts are read in turns where rows are shuffled.
MIXED = 4


class OpenedRows(RowSource):
    """Rows of parts, each of which is read without the others: row groups of files for example.

    `fit` shuffles it: the order of the parts is mixed, four of them are read in turns, and the
    rows within a chunk, of about 8 MB first and then up to 64, are mixed. That is not
    a uniform order of all rows: rows of a part stay within some chunks of each other. Where a file
    is sorted, small row groups mix better than large ones. Parts of a .csv are whole files.

    Args:
        parts: The parts, in order.
        columns: Names of the columns, in the order in which they are read, or None.
        predicate: Expression of pyarrow for the rows that are read, or None.
        held: Share, seed, and whether the rows are those held out, or None for all rows.
        path: Path that the parts were opened from, or None.

    Attributes:
        parts: The parts.
        rows: How many rows there are, None before they were read once where no file says.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        columns: Sequence[str] | None = None,
        predicate: Any = None,
        held: tuple[float, int, bool] | None = None,
        path: str | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.columns = None if columns is None else tuple(columns)
        self.predicate, self.held, self.path = predicate, held, path
        ends = [(part.first, part.rows) for part in self.parts]
        if predicate is None and all(rows is not None for _, rows in ends):
            self.rows = sum(rows for _, rows in ends)  # type: ignore[misc]
            if held is not None:
                out = _held_rows(tuple(ends), *held[:2])
                self.rows = out if held[2] else self.rows - out

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The rows, as tables of pyarrow or arrays; see `RowSource.pieces`."""
        return (piece for _, piece in self._numbered(rng))

    def numbered(self) -> Iterator[tuple[np.ndarray, Any]]:
        """The pieces in their order, each with the numbers of its rows among all of the files."""
        return self._numbered(None)

    def _numbered(self, rng):
        seen = 0
        parts = list(self.parts)
        if rng is not None:
            parts = [parts[i] for i in rng.permutation(len(parts))]
        readers = iter([self._read(part) for part in parts])
        mixed = readers if rng is None else map(_slices, readers)
        for numbers, piece in _in_turns(mixed, 1 if rng is None else MIXED):
            seen += len(piece)
            yield numbers, piece
        self.rows = seen

    def _read(self, part):
        first = part.first
        for piece in part.read(self.columns, self.predicate):
            numbers = np.arange(first, first + len(piece), dtype="uint64")
            first += len(piece)
            if self.held is not None:
                share, seed, wanted = self.held
                chosen = held_out(numbers, share, seed) == wanted
                if not chosen.any():
                    continue
                numbers, piece = numbers[chosen], rows_where(piece, chosen)  # noqa: PLW2901
            yield numbers, piece

    def select(self, columns: Sequence[str]) -> "OpenedRows":
        """The same rows with some of the columns; cells of others are not read.

        Args:
            columns: Names of the columns, in the order in which they are to come.

        Raises:
            ValueError: There is no such column.
        """
        if self.columns is None:
            raise ValueError("columns must go with a table. Received: rows without names")
        column_order([name for name in self.columns if name in set(columns)], columns)
        return OpenedRows(self.parts, columns, self.predicate, self.held, self.path)

    def split(self, share: float, seed: int = 0) -> tuple["OpenedRows", "OpenedRows"]:
        """Two sources: the rows to train on, and those held out.

        A row is held out where a hash of its number among all rows of the files says so: the same
        rows in every pass, on every machine, whatever else is read.

        Args:
            share: Share of the rows that are held out, in (0, 1), on average.
            seed: The same seed holds out the same rows.

        Raises:
            ValueError: `share` lies outside (0, 1), or rows are held out already.
        """
        if not 0 < share < 1:
            raise ValueError(f"share must lie in (0, 1). Received: share={share}")
        if self.held is not None:
            raise ValueError("a source must be split once. Received: a part of a split one")
        train, held = (
            OpenedRows(self.parts, self.columns, self.predicate, (share, seed, wanted), self.path)
            for wanted in (False, True)
        )
        return train, held

    def shard(self, index: int, count: int) -> "OpenedRows":
        """Every `count`-th part from the one with this index on, for one of several workers."""
        check_count("count", count)
        parts = self.parts[index::count]
        return OpenedRows(parts, self.columns, self.predicate, self.held, self.path)

    def __repr__(self) -> str:
        rows = "unknown number of" if self.rows is None else f"{self.rows:,}"
        columns = "" if self.columns is None else f", {len(self.columns)} columns"
        return f"OpenedRows({rows} rows{columns}, {len(self.parts)} parts)"


def as_piece(x: Any) -> Any:
    """Rows as an array of NumPy or a table of pyarrow, which rows can be taken of."""
    if isinstance(x, Mapping) or names_of(x) is not None:
        return x if hasattr(x, "combine_chunks") else arrow_table(x)
    return np.asanyarray(x)


def rows_where(piece: Any, chosen: np.ndarray) -> Any:
    """The rows of an array, or of a table of pyarrow, for which a boolean array is true."""
    if isinstance(piece, np.ndarray):
        return piece[chosen]
    return piece.take(np.flatnonzero(chosen))


def _slices(items):
    """Pieces in slices, so that those of several parts come after each other soon."""
    for numbers, piece in items:
        by = -(-len(piece) // MIXED)
        for first in range(0, len(piece), by):
            chosen = slice(first, first + by)
            yield numbers[chosen], piece[chosen]


def _in_turns(readers, at_once):
    """Items of some iterators in turns, each of which is followed by the next at its end."""
    active: list[Iterator[Any]] = []
    while True:
        while len(active) < at_once and (one := next(readers, None)) is not None:
            active.append(one)
        if not active:
            return
        for one in tuple(active):
            item = next(one, None)
            if item is None:
                active.remove(one)
            else:
                yield item


def hashed(numbers: np.ndarray, seed: int = 0) -> np.ndarray:
    """A number in [0, 1) for each row, which looks drawn at random and follows from its number.

    Args:
        numbers: uint64 array of the numbers of rows.
        seed: The same seed gives the same numbers.

    Returns:
        float64 array.

    Reference: Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators.
    """
    with np.errstate(over="ignore"):
        z = numbers.astype("uint64") + np.uint64((seed * 0x9E3779B97F4A7C15 + 1) % 2**64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)) * 2.0**-53


@functools.lru_cache(maxsize=8)
def _held_rows(ends, share, seed):
    """How many rows of parts, each given by its first row and their number, are held out."""
    step = 2**22
    starts = ((first + i, first + rows) for first, rows in ends for i in range(0, rows, step))
    return sum(
        int(held_out(np.arange(i, min(i + step, end), dtype="uint64"), share, seed).sum())
        for i, end in starts
    )


def held_out(numbers: np.ndarray, share: float, seed: int = 0) -> np.ndarray:
    """Whether rows are held out, by a hash of their numbers; see `OpenedRows.split`."""
    return hashed(numbers, seed) < share
