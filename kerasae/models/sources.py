"""What is done with rows in pieces: they are checked as they come, and outputs come as they do."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import numpy as np

from kerasae.datasets.row_source import RowSource
from kerasae.models.chunks import read_ahead

F = TypeVar("F", bound=Callable[..., Any])

__all__ = ["CheckedSource", "RowSource", "by_piece"]


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


def by_piece(function: F) -> F:
    """Makes a function of a model and rows take a `RowSource`, too.

    Of a source it gives an iterator of its outputs for each piece, the next one being read in a
    thread meanwhile; nothing of a piece is kept.

    Args:
        function: Function whose first arguments are the model and `x`.

    Returns:
        The function.
    """

    @functools.wraps(function)
    def taking_sources(model: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(x, RowSource):
            return function(model, x, *args, **kwargs)
        return _outputs(lambda piece: function(model, piece, *args, **kwargs), x)

    return cast(F, taking_sources)


def _outputs(function, source):
    first = 0
    for piece in read_ahead(source):
        try:
            output = function(piece)
        except (TypeError, ValueError) as error:
            if not first:
                raise
            raise type(error)(f"{error} (rows from {first:,} on)") from error
        yield output
        first += len(piece)
