"""Reading ahead: the next piece is read in a thread while something is done with the last one."""

import contextlib
import functools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from kerasae.datasets.row_source import RowSource

F = TypeVar("F", bound=Callable[..., Any])


def read_ahead(items: Iterable[Any]) -> Iterator[Any]:
    """The items of an iterable, of which the next one is made in a thread.

    An error in the thread is raised here.
    """
    made: queue.Queue = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def make():
        try:
            for item in items:
                made.put((item, None))
                if stopped.is_set():
                    return
            made.put((None, StopIteration()))
        except BaseException as error:
            made.put((None, error))

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        with contextlib.suppress(queue.Empty):
            made.get_nowait()  # the thread waits for room, or is about to put its last item
        thread.join(5)  # a source that hangs does not hold up the end


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
