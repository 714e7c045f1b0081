"""The compiled loop over processes: each has its rows, all have the same weights."""

import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasae.datasets.opened import OpenedRows
from kerasae.datasets.row_source import RowSource
from kerasae.models.chunks import Chunk, Chunks, Rows, SourceRows, each
from kerasae.models.jax_programs import JaxPrograms, loop_of, one_step
from kerasae.models.training import evaluate_rows, fit_rows

# Steps of one execution, the same for all processes, which wait for each other in each step.
STEPS = 1000
PROCESSES = "processes"


class Share(RowSource):
    """Every so many-th part of a source, with as many rows as the others have that way.

    Args:
        source: The source, of known length.
        index: Number of this share.
        count: How many there are.
    """

    def __init__(self, source: OpenedRows, index: int, count: int) -> None:
        self.source = source.shard(index, count)
        self.rows = min(source.shard(i, count).rows or 0 for i in range(count))
        self.columns = source.columns

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The pieces, up to that number of rows: in another order, others are left out."""
        left = self.rows or 0
        for piece in self.source.pieces(rng):
            if left:
                yield piece[:left]
            left -= min(left, len(piece))
            if not left:
                return


def share_of(x: np.ndarray, share: int, index: int, count: int) -> np.ndarray:
    """The rows of one process: of each batch its part, and of the last, short one as well.

    Args:
        x: All rows.
        share: Rows of a whole batch that a process takes.
        index: Number of the process.
        count: How many processes there are.

    Returns:
        A copy of as many rows for each process; fewer than `count` rows are left out.
    """
    whole = len(x) // (share * count)
    end = whole * share * count
    rest = (len(x) - end) // count
    batches = x[:end].reshape(whole, count, share, *x.shape[1:])[:, index]
    last = x[end + rest * index : end + rest * (index + 1)]
    return np.concatenate([batches.reshape(-1, *x.shape[1:]), last])


def rows_of_process(
    model: Any, x: Any, index: int, count: int, *, batch_size: int, shuffle: bool = True
) -> Chunks:
    """The rows that one of several processes trains on.

    Args:
        model: The model, which checks the rows of a source.
        x: Checked rows, an array, of whose batches each process takes a part; or what
            `kerasae.datasets.open` gives of Parquet, whose row groups are shared.
        index: Number of the process.
        count: How many there are.
        batch_size: Rows a step, of all processes together; a multiple of `count`.
        shuffle: Whether the process mixes its rows before each epoch.

    Returns:
        Rows for `fit_shared`.
    """
    share = batch_size // count
    if not isinstance(x, OpenedRows):
        return Rows(share_of(x, share, index, count), batch_size=share, shuffle=shuffle)
    rows = model._checked_rows(Share(x, index, count), "x", trains=True)
    return SourceRows(rows, batch_size=share, shuffle=shuffle)


class SharedRows:
    """Chunks of rows, each process holding those of its own.

    The parts of a chunk are arrays (processes, rows, ...), spread over the processes by the first
    axis, in the order in which they are trained on.

    Args:
        rows: The rows of this process; all processes have as many, in chunks of one size.
    """

    def __init__(self, rows: Chunks) -> None:
        self.rows, self.batch_size = rows, rows.batch_size

    @property
    def num_batches(self) -> int | None:
        """Steps of an epoch."""
        return self.rows.num_batches

    def prepare(self, seed: Any) -> None:
        """Does what can be done for an epoch before it begins."""
        self.rows.prepare(seed)

    def chunks(self, seed: Any = None) -> Iterator[Chunk]:
        """The chunks of one epoch, of all processes together."""
        for chunk in self.rows.chunks(seed):
            order = np.asarray(chunk.order)[: chunk.rows]
            share = functools.partial(_spread, order=order)
            yield chunk._replace(parts=each(share, chunk.parts))


def _spread(part, order):
    import jax  # noqa: PLC0415

    part = np.asarray(part)
    rows = np.empty((1, *part.shape), part.dtype)  # of one shape, though not all are used
    np.take(part, order, axis=0, out=rows[0, : len(order)])
    spread = _sharding(PROCESSES)
    return jax.make_array_from_process_local_data(spread, rows, (jax.process_count(), *part.shape))


def _sharding(*axes):
    """How arrays lie over the processes: by these axes, or in each as a whole."""
    import jax  # noqa: PLC0415

    devices = [jax.local_devices(i)[0] for i in range(jax.process_count())]
    mesh = jax.sharding.Mesh(np.array(devices), (PROCESSES,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*axes))


class SharedPrograms(JaxPrograms):
    """Programs whose steps take the rows of all processes, and give each the same weights.

    Between programs a process holds the state as if it were alone, so that callbacks, backups and
    metrics work as they do in one process.
    """

    def steps(self, kind: str, chunk: Chunk) -> int:
        """As many in each process, however long they took it."""
        return STEPS

    def _make(self, kind, chunk, where):
        return self._program(_over_processes, kind, chunk, chunk.batch_size, chunk.rest)


def _over_processes(step, batch_of, size, rest_size):
    import jax  # noqa: PLC0415

    everywhere = _sharding()

    def take(parts, row, size):
        def rows_of(part):
            rows = jax.lax.dynamic_slice_in_dim(part, row, size, 1)
            return rows.reshape(-1, *part.shape[2:])

        return each(rows_of, parts)

    loop = loop_of(one_step(step, take, batch_of), size, rest_size, 1, everywhere)

    def whole(array):
        array = jax.device_put(array, jax.local_devices()[0])
        return jax.make_array_from_single_device_arrays(array.shape, everywhere, [array])

    def program(state, chunk, first, end, rest):
        blocks = (end - first) // size
        found = loop(jax.tree.map(whole, state), chunk.parts, first, blocks, rest)
        state, logs = jax.tree.map(lambda array: array.addressable_data(0), found)
        return logs, state

    return program


def fit_shared(
    model: Any,
    rows: Chunks,
    known: Chunks | None,
    *,
    epochs: int,
    callbacks: list[keras.callbacks.Callback],
) -> keras.callbacks.History:
    """Trains a compiled model in this process and in all others, which call this at once.

    Args:
        model: The model, the same in all processes.
        rows: The rows of this process.
        known: Those of this process to validate on, or None.
        epochs: Passes over the rows.
        callbacks: Callbacks that do in all processes the same.

    Returns:
        The history.
    """
    model._programs = SharedPrograms(model)
    model._build_metrics((np.zeros((1, *model.row_shape), "float32"), None, None))

    def validate(callbacks):
        logs = evaluate_rows(model, SharedRows(known), verbose=0, callbacks=callbacks)
        return model._of_evaluation(logs)

    return fit_rows(
        model,
        SharedRows(rows),
        epochs=epochs,
        initial_epoch=0,
        verbose=0,
        callbacks=callbacks,
        validate=None if known is None else validate,
        validation_freq=1,
    )
