"""Data larger than memory for the command: a sample that stands for it, and the source of all."""

import collections
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kerasae import datasets
from kerasae.datasets import Data, OpenedRows
from kerasae.datasets.files.table import labels_of, rows_of_table
from kerasae.datasets.opened import held_out, rows_where
from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import Sample
from kerasae.models.sources import CheckedSource
from kerasae.tables.data import is_plain, label_values, marks_anomalies
from kerasae.tables.frames import arrow_columns
from kerasae.tables.schema import Schema
from kerasae.tables.survey import survey
from kerasae.validation import as_rows, left_out, unknown

Seen = Callable[[int], object]


def open_data(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    ids: Sequence[str] = (),
    categorical: Sequence[str] = (),
    keep: Sequence[str] = (),
    label: str | None = None,
    test_fraction: float = 0.2,
    seen: Seen | None = None,
) -> Data:
    """Opens rows of numbers or a table of mixed columns, of which memory holds a sample.

    It is `load_data` for what memory does not hold, with one pass over all rows, and one over their
    labels. The rows for testing are those that a hash of their numbers holds out; those of the
    sample are in `x`.

    Args:
        path: What `kerasae.datasets.open` takes as a path.
        columns: As in `Schema.infer`.
        drop: As in `Schema.infer`.
        ids: As in `Schema.infer`.
        categorical: As in `Schema.infer`.
        keep: As in `load_data`.
        label: Column that holds labels, or None; where they are 0 and 1, `source` is without 1.
        test_fraction: Share of the rows kept for testing, in [0, 1).
        seen: Function that is called with the number of rows of each piece, or None.

    Returns:
        `Data` with a `source`.

    Raises:
        ValueError: What `kerasae.datasets.open` or `Schema.infer` refuses.
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(
            f"test_fraction must lie in [0, 1). Received: test_fraction={test_fraction}"
        )
    source = datasets.open(path)
    asked: dict[str, Any] = {
        "columns": columns,
        "drop": drop,
        "ids": ids,
        "categorical": categorical,
    }
    if source.columns is None:
        for name, value in {**asked, "keep": keep, "label": label}.items():
            if value:
                raise ValueError(f"{name} must go with a table. Received: {name}={value} ({path})")
        return _of_arrays(source, test_fraction, seen)
    if label is not None and label not in source.columns:
        raise ValueError(unknown("label", label, source.columns, f"{path}, --label"))
    found = survey(source, seen)
    is_test = held_out(found.numbers, test_fraction)
    y = None if label is None else label_values(found.table[label], label)
    found = found._replace(table=found.table.drop_columns(labels_of(label)))
    names = found.table.column_names
    train = normal_rows(source, label, test_fraction)
    gaps = any(found.missing[name] for name in names)
    if not any(asked.values()) and not gaps and is_plain(found.table):
        x, names = _numbers(found, keep, path)
        return Data(x, is_test, y, names, source=train.select(names))
    schema = Schema.infer(found, **asked, keep=keep, where=path)
    carried = arrow_columns(found.table)
    return Data(
        schema.codes(found.table, path),
        is_test,
        y,
        list(schema.names),
        schema=schema,
        ids={name: carried[name] for name in schema.ids},
        source=train.select(schema.names),
    )


def _numbers(found, keep, path):
    """The rows of a sample of plain numbers, and the names of the columns that describe them."""
    indices = {name: why for name, why in found.indices.items() if name not in keep}
    if indices:
        warnings.warn(
            left_out(indices, path, f"keep={list(indices)} (--keep)"), UserWarning, stacklevel=3
        )
    table = found.table.drop_columns(list(indices))
    parts = rows_of_table(table, path, None, None, keep)
    return as_rows(parts["x"], columns=parts["columns"], where=path), parts["columns"]


def _of_arrays(source, test_fraction, seen):
    drawn, count = Sample(), 0
    for numbers, piece in source.numbered():
        drawn.add(numbers, piece)
        count += len(piece)
        if seen is not None:
            seen(len(piece))
    numbers, x = drawn.result()
    shape = x.shape[1:] if x.ndim in (3, 4) else None
    shape = shape[:2] if shape and shape[2:] == (1,) else shape
    train = _train(source, test_fraction)
    return Data(
        as_rows(x).reshape(len(x), -1),
        held_out(numbers, test_fraction),
        image_shape=shape,
        source=train if x.ndim == 2 else ShapedRows(train),
    )


class ShapedRows(CheckedSource):
    """Arrays of a source in another shape, flat or that of images.

    Args:
        source: The source.
        shape: Shape of a row.
    """

    def __init__(self, source: RowSource, shape: Sequence[int] = (-1,)) -> None:
        super().__init__(source, lambda piece: (_first(piece).reshape(len(_first(piece)), *shape),))


class CountedRows(RowSource):
    """A source of which it is said how many rows were read.

    Args:
        source: The source.
        seen: Function that is called with the number of rows of each piece.
    """

    def __init__(self, source: RowSource, seen: Seen) -> None:
        self.source, self.seen = source, seen
        self.rows, self.columns = source.rows, source.columns

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The pieces, each of which is counted when the next is asked for."""
        for piece in self.source.pieces(rng):
            yield piece
            self.seen(len(_first(piece)))

    def numbered(self) -> Iterator[tuple[np.ndarray, Any]]:
        """The pieces with the numbers of their rows."""
        for numbers, piece in self.source.numbered():
            yield numbers, piece
            self.seen(len(numbers))


class NormalRows(RowSource):
    """Tables of a source without the rows that have the label 1.

    Args:
        source: The source.
        label: Column of labels.
        rows: How many rows there are.
        columns: Names of the columns that are read; by default all.
    """

    def __init__(
        self,
        source: OpenedRows,
        label: str,
        rows: int | None,
        columns: Sequence[str] | None = None,
    ) -> None:
        self.source, self.label, self.rows = source, label, rows
        self.columns = tuple(columns or source.columns or ())

    def select(self, columns: Sequence[str]) -> "NormalRows":
        """The same rows with some of the columns."""
        return NormalRows(self.source, self.label, self.rows, columns)

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The pieces, of which rows with the label 1 are taken out."""
        names = list(self.columns or ())
        for piece in self.source.select([*names, self.label]).pieces(rng):
            yield rows_where(piece, _is_normal(piece[self.label])).select(names)


def normal_rows(
    source: OpenedRows, label: str | None, test_fraction: float = 0
) -> OpenedRows | NormalRows:
    """The rows to train on, without those labelled 1 where the labels of all rows are 0 and 1.

    Args:
        source: Source of tables, of all rows.
        label: Column of labels, which are counted in a pass over it, or None.
        test_fraction: Share of the rows kept for testing, in [0, 1).

    Raises:
        ValueError: As `marks_anomalies`.
    """
    train = _train(source, test_fraction)
    if label is None:
        return train
    counts: dict[Any, int] = collections.Counter()
    normal = 0
    for numbers, piece in source.select([label]).numbered():
        for one in piece[label].value_counts().to_pylist():
            missing = one["values"] != one["values"]  # not a number
            counts[None if missing else one["values"]] += one["counts"]
        if len(counts) > 3:  # others than 0, 1 and missing ones: enough is known
            break
        normal += np.sum(_is_normal(piece[label]) & ~held_out(numbers, test_fraction))
    return NormalRows(train, label, int(normal)) if marks_anomalies(counts, label) else train


def _is_normal(labels):
    return np.asarray(labels.to_numpy() == 0)


def _first(piece):
    return piece[0] if isinstance(piece, tuple) else piece


def _train(source: OpenedRows, test_fraction: float) -> OpenedRows:
    return source.split(test_fraction)[0] if test_fraction else source
