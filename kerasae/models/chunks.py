"""Rows as the training loop takes them: in chunks on the device, the next one made in a thread."""

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from kerasae.datasets.reading import read_ahead
from kerasae.datasets.row_source import RowSource

# Bytes of rows in memory that are put on an accelerator at once, whose memory the model needs, too.
CHUNK_BYTES = 2**31
# Bytes of a chunk of a source: rows are shuffled within it, and up to four of them are in memory.
SOURCE_BYTES = 2**26
# The share of it in the first chunk, which training waits for; each has twice the last one's.
FIRST_SHARE = 1 / 8
# Bytes that a thread copies at a time.
COPY_BYTES = 2**23

# Over rows, targets and weights, of which some may be None.
each: Callable[..., Any] = functools.partial(keras.tree.map_structure, none_is_leaf=False)


class Chunk(NamedTuple):
    """Rows on the device. All chunks of an epoch have tensors of one shape, for one program.

    Attributes:
        parts: Rows, targets and sample weights, tensors with equal first dimensions or None; the
            targets are None where they are the rows.
        order: int32 tensor: the indices of the rows in the order of this epoch.
        rows: How many of them are used, the first in this order.
        batch_size: Rows a step.
        rest: Rows of the last step of the epoch, 0 where it is a whole batch.
        target_is_input: Whether the targets are the rows.
    """

    parts: tuple
    order: Any
    rows: int
    batch_size: int
    rest: int
    target_is_input: bool


class Chunks(Protocol):
    """What the loop runs over."""

    batch_size: int

    @property
    def num_batches(self) -> int | None:
        """Steps of an epoch, None where that is not known yet."""

    def chunks(self, seed: Any = None) -> Iterator[Chunk]:
        """The chunks of one epoch, in the order that follows from a seed."""

    def prepare(self, seed: Any) -> None:
        """Does what can be done for an epoch before it begins."""


class Rows:
    """Rows in memory.

    Rows that fit on the device are one chunk that stays there. Others come in chunks of whole
    batches, the next one being gathered and moved in a thread while the device works.

    Args:
        x: Array of shape (rows, ...).
        y: Targets, an array with as many rows, or None. Where they are `x` itself, or there are
            none but sample weights, they take no second copy.
        sample_weight: Array with as many rows, or None.
        batch_size: Rows a step; the last step has what is left.
        shuffle: As in `fit`.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool | str = False,
    ) -> None:
        self.batch_size, self.shuffle = min(batch_size, len(x)), shuffle
        self.target_is_input = y is x
        if sample_weight is not None:
            sample_weight = np.asarray(sample_weight, keras.config.floatx())
        self.parts = (x, None if y is x else y, sample_weight)
        size = sum(part.nbytes for part in self.parts if part is not None)
        self._pieces = 1 if on_processor() else max(1, math.ceil(size / CHUNK_BYTES))
        self._resident = each(on_device, self.parts) if self._pieces == 1 else None
        self._drawn: tuple[Any, Any] = (), None  # what an order follows from, and the order

    def __len__(self) -> int:
        return len(self.parts[0])

    @property
    def num_batches(self) -> int:
        """Steps of an epoch."""
        return math.ceil(len(self) / self.batch_size)

    def order(self, seed: Any) -> np.ndarray:
        """The indices of the rows in the order that follows from a seed."""
        return _order(len(self), np.random.default_rng(seed), self.shuffle, self.batch_size)

    def prepare(self, seed: Any) -> None:
        """Draws the order of an epoch and puts it on the device, unless that is done already."""
        key = tuple(seed) if self.shuffle else None
        if self._drawn[0] != key:
            order = self.order(seed)
            self._drawn = key, order if self._resident is None else on_device(order)

    def chunks(self, seed: Any = None) -> Iterator[Chunk]:
        """The chunks of one epoch."""
        self.prepare(seed)
        order = self._drawn[1]
        if self._resident is not None:
            return iter([self._chunk(self._resident, order, len(self))])
        by = math.ceil(self.num_batches / self._pieces) * self.batch_size
        pieces = (order[first : first + by] for first in range(0, len(self), by))
        return read_ahead(self._gathered(piece, by) for piece in pieces)

    def _gathered(self, order, rows):
        index = np.resize(order, rows)  # the last chunk is filled up, with rows that are not used
        parts = each(lambda part: on_device(part[index]), self.parts)
        return self._chunk(parts, on_device(np.arange(rows, dtype="int32")), len(order))

    def _chunk(self, parts, order, rows):
        rest = len(self) % self.batch_size
        return Chunk(parts, order, rows, self.batch_size, rest, self.target_is_input)


class SourceRows:
    """Rows of a `RowSource`, read anew in every epoch, more than memory holds.

    Pieces of the source are copied together into chunks of one size. To shuffle, the source mixes
    the order of its pieces, and the rows within a chunk are mixed, both by the seed of the epoch.

    Args:
        source: The source, whose pieces are checked.
        batch_size: Rows a step; the last step has what is left.
        shuffle: As in `fit`.
    """

    def __init__(
        self, source: RowSource, *, batch_size: int = 32, shuffle: bool | str = False
    ) -> None:
        self.source, self.batch_size, self.shuffle = source, batch_size, shuffle
        self.rows = source.rows

    @property
    def num_batches(self) -> int | None:
        """Steps of an epoch, None before the first where the source does not say."""
        return None if self.rows is None else math.ceil(self.rows / self.batch_size)

    def prepare(self, seed: Any) -> None:
        """Nothing: the first chunk is read when it is asked for, the next ones in a thread."""

    def chunks(self, seed: Any = None) -> Iterator[Chunk]:
        """The chunks of one epoch."""
        return read_ahead(self._chunks(seed))

    def _chunks(self, seed):
        rng = np.random.default_rng(seed)
        buffers, filled, seen, share = None, 0, 0, FIRST_SHARE
        for piece in self.source.pieces(rng if self.shuffle is True else None):
            parts = piece if isinstance(piece, tuple) else (piece,)
            first = 0
            while first < len(parts[0]):
                if buffers is None:
                    buffers = self._buffers(parts)
                    most = math.ceil(share * len(buffers[0]) / self.batch_size) * self.batch_size
                    share = min(1, 2 * share)
                count = min(most - filled, len(parts[0]) - first)
                for buffer, part in zip(buffers, parts, strict=True):
                    _fill(buffer[filled : filled + count], part[first : first + count])
                first, filled, seen = first + count, filled + count, seen + count
                if filled == most:
                    yield self._chunk(buffers, filled, rng, last=False)
                    buffers, filled = None, 0
        if not seen:
            raise ValueError("x must have at least one row. Received: a source without rows")
        self.rows = seen
        if filled:
            yield self._chunk(buffers, filled, rng, last=True)

    def _buffers(self, parts):
        """Room for a chunk: whole batches, no more than the source has."""
        each_row = sum(part[:1].nbytes for part in parts)
        batches = max(1, SOURCE_BYTES // (each_row * self.batch_size))
        batches = min(batches, self.num_batches or batches)
        return [aligned((batches * self.batch_size, *part.shape[1:]), part.dtype) for part in parts]

    def _chunk(self, buffers, rows, rng, *, last):
        order = np.arange(len(buffers[0]), dtype="int32")
        order[:rows] = _order(rows, rng, self.shuffle, self.batch_size)
        parts = tuple(map(as_tensor, buffers))
        known = rows if last else self.rows or 0
        return Chunk(
            (*parts, None, None)[:3],
            on_device(order),
            rows,
            self.batch_size,
            known % self.batch_size,
            False,
        )


def _order(rows, rng, shuffle, batch_size):
    order = np.arange(rows, dtype="int32")
    if shuffle:
        by = batch_size if shuffle == "batch" else max(rows, 1)
        for first in range(0, rows, by):
            rng.shuffle(order[first : first + by])
    return order


def _fill(buffer, part):
    if not np.can_cast(part.dtype, buffer.dtype, "same_kind"):
        raise TypeError(
            "pieces of a source must have one type. "
            f"Received: {part.dtype} after {buffer.dtype}. Try float32"
        )
    buffer[...] = part


def on_device(rows: np.ndarray) -> Any:
    """A tensor with a copy of an array's rows."""
    if not on_processor():
        return as_tensor(rows)
    copy = aligned(rows.shape, rows.dtype)
    by = max(1, len(rows) * COPY_BYTES // max(rows.nbytes, 1))
    if by >= len(rows):
        copy[...] = rows
        return as_tensor(copy)
    slices = [slice(first, first + by) for first in range(0, len(rows), by)]
    # In threads: a new process waits for the system to find the memory, a virtual machine longest.
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda part: copy.__setitem__(part, rows[part]), slices))
    return as_tensor(copy)


def aligned(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array without values, at a multiple of 64 bytes.

    There the backends' products want their rows. What lies elsewhere they copy twice.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    buffer = np.empty(size + 64, "uint8")
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size].view(dtype).reshape(shape)


def as_tensor(rows: np.ndarray) -> Any:
    """A tensor of an array that nobody changes any more: on a processor, of the same memory."""
    shares = _shares_memory(rows.dtype)
    if keras.backend.backend() == "jax":
        import jax

        # Bound to the device, like what compiled steps return.
        return (
            jax.dlpack.from_dlpack(rows) if shares else jax.device_put(rows, jax.local_devices()[0])
        )
    if not shares:
        return keras.ops.convert_to_tensor(rows)
    import tensorflow as tf

    return tf.experimental.dlpack.from_dlpack(rows.__dlpack__())


def _shares_memory(dtype):
    return dtype in ("float32", "uint8") and on_processor()


def on_processor() -> bool:
    """Whether all devices are processors, whose memory the rows are in."""
    return all(device.startswith("cpu") for device in keras.distribution.list_devices())
