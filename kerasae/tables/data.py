"""Data of any kind, rows of numbers or tables of mixed columns, for the command and sweeps."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.datasets import Data, load
from kerasae.datasets.data import draw_test
from kerasae.datasets.files import TABLES, read_table, suffix_of
from kerasae.tables.frames import arrow_columns, as_frame
from kerasae.tables.schema import Schema
from kerasae.validation import is_table, unknown


def load_data(
    source: Any,
    *,
    schema: Schema | None = None,
    columns: Sequence[str] | None = None,
    drop: Sequence[str] = (),
    ids: Sequence[str] = (),
    categorical: Sequence[str] = (),
    keep: Sequence[str] = (),
    label: str | None = None,
    test_fraction: float = 0.2,
    **options: Any,
) -> Data:
    """Loads rows of numbers as `kerasae.datasets.load` does, and tables of mixed columns as codes.

    A file is a table of mixed columns where a column holds something else than numbers, or a cell
    is missing; or where it is to be read by a schema, or an argument says which columns it has.

    Args:
        source: Name or path, as `kerasae.datasets.load` takes it, an array, or a table.
        schema: Schema of a model, or None to infer one.
        columns: As in `Schema.infer`.
        drop: As in `Schema.infer`.
        ids: As in `Schema.infer`.
        categorical: As in `Schema.infer`.
        keep: As in `Schema.infer`.
        label: Column that holds labels, or None.
        test_fraction: As in `load`.
        **options: Other arguments of `load`.

    Returns:
        `Data`, with a `schema` where `x` holds codes.

    Raises:
        ValueError: What `load` or `Schema.infer` refuses.
    """
    asked: dict[str, Any] = {"columns": columns, "drop": drop, "ids": ids}
    asked["categorical"] = categorical
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    plain = {"label": label, "test_fraction": test_fraction, "keep": keep, **options}
    if not (is_table(source) if path is None else suffix_of(path) in TABLES):
        for name, value in asked.items():
            if value:
                raise ValueError(
                    f"{name} must go with a table. Received: {name}={list(value)} ({source})"
                )
        return _array(source, test_fraction) if path is None else load(source, **plain)
    table = as_frame(source) if path is None else read_table(path)
    where = "x" if path is None else path
    y = None
    if label is not None:
        table, y = _without_label(table, label, where)
    if schema is None and path is not None and not any(asked.values()) and is_plain(table, where):
        return load(source, **plain)
    schema = schema or Schema.infer(table, **asked, keep=keep, where=where)
    x = schema.codes(table, where)
    carried = arrow_columns(table, None, where)
    return Data(
        x,
        draw_test(len(x), test_fraction),
        y,
        list(schema.names),
        schema=schema,
        ids={name: carried[name] for name in schema.ids if name in carried},
    )


def _array(x, test_fraction):
    x = np.asarray(x)
    return Data(x.reshape(len(x), -1), draw_test(len(x), test_fraction))


def _without_label(table, label, where):
    cells = arrow_columns(table, None, where)
    if label not in cells:
        raise ValueError(unknown("label", label, list(cells)) + f" ({where})")
    values = cells[label]
    y = None if values is None else label_values(values, label)
    if hasattr(table, "drop_columns"):
        return table.drop_columns([label]), y
    return table.drop(columns=[label]) if hasattr(table, "iloc") else table.drop(label), y


def is_plain(table: Any, where: Any = "x") -> bool:
    """Whether a table holds numbers alone, none of them missing."""
    from pyarrow import compute, types  # noqa: PLC0415

    for values in arrow_columns(as_frame(table), where=where).values():
        if values is None or values.null_count:
            return False
        kind = values.type
        if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
            return False
        if types.is_floating(kind) and compute.any(compute.is_nan(values)).as_py():
            return False
    return True


def label_values(values: Any, label: str) -> np.ndarray:
    """The labels of a column of pyarrow, one a row.

    Raises:
        ValueError: They are lists or structures.
    """
    from pyarrow import types  # noqa: PLC0415

    if types.is_nested(values.type):
        raise ValueError(f"label must have one value a row. Received: {values.type} ({label})")
    return np.array(values.to_pylist())


def marks_anomalies(counts: Mapping[Any, int], label: str) -> bool:
    """Whether labels are 0 for normal rows and 1 for anomalies.

    Args:
        counts: How many rows have each label; the label is None where it is missing.
        label: Name of the column, for the message.

    Raises:
        ValueError: There are no other labels than 0 and 1, but some are missing, or none is 0.
    """
    known = set(counts) - {None}
    if not known <= {0, 1} or 1 not in known:
        return False
    if None in counts:
        raise ValueError(
            "label must be 0 or 1 in every row. "
            f"Received: {counts[None]} missing cells ({label}). Try leaving these rows out"
        )
    if 0 not in known:
        raise ValueError(
            f"label must leave rows to train on, with the label 0. Received: none ({label})"
        )
    return True
