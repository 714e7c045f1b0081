"""Requests that arrive together run as one batch."""

import collections
import itertools
import logging
import threading
import time
import typing
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from kerasae.serving.requests import RefusedError

Arrays = dict[str, np.ndarray]
log = logging.getLogger("kerasae.serving")


class Waiting(typing.NamedTuple):
    """A request in the queue; requests of equal keys may run together."""

    signature: str
    key: object
    inputs: Mapping[str, np.ndarray]
    rows: int
    future: Future
    arrived: float
    expires: float


class Batcher:
    """Runs requests in one thread, those of the same signature and row shape together.

    Args:
        run: Function of a signature's name and a dict of arrays that returns a dict of arrays.
        queue: Requests that may wait; further ones are refused.
        batch_rows: Rows that run together at most; a larger request runs alone.
        batch_wait: Seconds that a request waits for others.

    Example:
        >>> batcher = Batcher(lambda signature, inputs: {"y": inputs["x"] + 1})
        >>> future = batcher.submit("serving_default", {"x": np.zeros(2)}, True, 1.0)
        >>> future.result()["y"].tolist()
        [1.0, 1.0]
        >>> batcher.close()
    """

    def __init__(
        self,
        run: Callable[[str, Mapping[str, np.ndarray]], Arrays],
        queue: int = 256,
        batch_rows: int = 128,
        batch_wait: float = 0.002,
    ) -> None:
        self.run = run
        self.queue = queue
        self.batch_rows = batch_rows
        self.batch_wait = batch_wait
        self._waiting: collections.deque[Any] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(
        self, signature: str, inputs: Mapping[str, np.ndarray], batched: bool, seconds: float
    ) -> "Future[Arrays]":
        """Queues a request.

        Args:
            signature: Name of the signature.
            inputs: Arrays by name.
            batched: Whether the inputs' leading dimension counts rows that may run with others.
            seconds: Time after which the outputs are of no use.

        Returns:
            A `concurrent.futures.Future` of the outputs, arrays by name.

        Raises:
            RefusedError: The queue is full, or the batcher is closed.
        """
        rows = {len(array) for array in inputs.values()} if batched else set()
        shapes = tuple((name, array.shape[1:]) for name, array in sorted(inputs.items()))
        # Inputs of different lengths are the model's to judge, alone.
        key = (signature, shapes) if len(rows) == 1 else object()
        now = time.monotonic()
        one = Waiting(signature, key, inputs, max(rows, default=1), Future(), now, now + seconds)
        with self._changed:
            if self._closed:
                raise RefusedError("UNAVAILABLE", "the server is stopping")
            if len(self._waiting) >= self.queue:
                live = (one for one in self._waiting if not one.future.cancelled())
                self._waiting = collections.deque(live)
            if len(self._waiting) >= self.queue:
                raise RefusedError("RESOURCE_EXHAUSTED", f"{self.queue} requests wait already")
            self._waiting.append(one)
            self._changed.notify()
        return one.future

    def close(self) -> None:
        """Lets the queued requests end, then ends the thread; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, seconds: float | None = None) -> None:
        """Waits for the thread of a closed batcher."""
        self._thread.join(seconds)

    def _work(self):
        while batch := self._next():
            live = [one for one in batch if one.future.set_running_or_notify_cancel()]
            late = [one for one in live if one.expires < time.monotonic()]
            for one in late:
                one.future.set_exception(RefusedError("DEADLINE_EXCEEDED", "waited too long"))
            self._run([one for one in live if one not in late])
            # Nothing of a request outlives its response while the thread waits.
            del batch, live, late

    def _next(self):
        """The requests to run next; none where the batcher is closed and empty."""
        with self._changed:
            while not self._waiting:
                if self._closed:
                    return []
                self._changed.wait()
            batch = [self._waiting.popleft()]
            until = batch[0].arrived + self.batch_wait
            free = self.batch_rows - batch[0].rows
            while True:
                free = self._take(batch, free)
                seconds = until - time.monotonic()
                if free <= 0 or seconds <= 0 or self._closed:
                    return batch
                self._changed.wait(seconds)

    def _take(self, batch, free):
        """Moves the waiting requests that fit into the batch; returns the rows that are free."""
        for one in list(self._waiting) if free > 0 else ():
            if one.key == batch[0].key:
                if one.rows > free:
                    return 0
                self._waiting.remove(one)
                batch.append(one)
                free -= one.rows
        return free

    def _run(self, batch):
        if len(batch) > 1 and self._together(batch):
            return
        for one in batch:
            try:
                one.future.set_result(self.run(one.signature, one.inputs))
            except RefusedError as error:
                one.future.set_exception(error)
            except Exception as error:
                log.exception("a request failed")
                one.future.set_exception(
                    RefusedError("INTERNAL", f"{type(error).__name__}: {error}")
                )

    def _together(self, batch):
        """Whether the batch could run as one; if not, each request has to show its own error."""
        ends = list(itertools.accumulate(one.rows for one in batch))
        try:
            inputs = {
                name: np.concatenate([one.inputs[name] for one in batch])
                for name in batch[0].inputs
            }
            outputs = self.run(batch[0].signature, inputs)
        except Exception:
            return False
        if any(array.shape[:1] != (ends[-1],) for array in outputs.values()):
            return False
        parts = {name: np.split(array, ends[:-1]) for name, array in outputs.items()}
        for i, one in enumerate(batch):
            one.future.set_result({name: part[i] for name, part in parts.items()})
        return True
