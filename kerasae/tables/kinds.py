"""What each column of a table is, found from its cells."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasae.tables.columns import PERIODS, WIDE, Column, days, numbers_of
from kerasae.tables.texts import form_of
from kerasae.validation import identifier_columns

# A text column with a smaller share of texts that are not numbers is one of numbers, spoilt.
MOSTLY_NUMBERS = 0.2
# Rows from which the number of different texts says something.
ENOUGH_ROWS = 20


def identifiers(cells: Mapping[str, Any]) -> dict[str, str]:
    """Why columns number their rows rather than describe them, by name.

    Args:
        cells: Arrays of Arrow by name.

    Returns:
        A reason by name.
    """
    import pyarrow as pa  # noqa: PLC0415

    plain = {}
    for name, values in cells.items():
        if values is None:
            continue
        values = _flat(values)  # noqa: PLW2901
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        whole = pa.types.is_integer(kind)
        if whole or pa.types.is_floating(kind):
            plain[name] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        elif _is_text(values.type) and form_of(values) is None:
            plain[name] = np.array(values.to_pylist(), object)
    return identifier_columns(plain)


def column_of(
    name: str, cells: Any, *, categorical: bool = False, kept: bool = False, max_levels: int = 100
) -> Column | str:
    """Finds what the cells of a column are.

    Args:
        name: Name of the column.
        cells: Array of Arrow, or None for mixed types.
        categorical: Whether its numbers are levels.
        kept: Whether texts are levels however many they are.
        max_levels: The most levels.

    Returns:
        A `Column`, or why it is left out.
    """
    import pyarrow as pa  # noqa: PLC0415

    values = None if cells is None else _flat(cells)
    if values is None or values.null_count == len(values):
        return "of mixed types" if values is None else "without any value"
    if str(values.type) == "string_view":
        values = values.cast(pa.string())
    types = pa.types
    if _is_text(values.type) and not categorical and (found := form_of(values)) is not None:
        return (_number if found[0] == "number" else _datetime)(name, values, found[1])
    is_dictionary = types.is_dictionary(values.type)
    kind = values.type.value_type if is_dictionary else values.type
    if is_dictionary or _is_text(kind) or categorical:
        return _category(name, values, max_levels, kept)
    makers = {
        _boolean: (types.is_boolean,),
        _datetime: (types.is_timestamp, types.is_date),
        _number: (
            *(types.is_integer, types.is_floating, types.is_decimal),
            *(types.is_duration, types.is_time),
        ),
    }
    for make, tests in makers.items():
        if any(test(kind) for test in tests):
            return make(name, values)
    return f"of type {kind}, which cannot be learnt"


def _boolean(name, values):
    return Column(name, "boolean", "bool", (False, True), missing=values.null_count)


def _flat(cells):
    return cells.combine_chunks() if hasattr(cells, "combine_chunks") else cells


def _is_text(kind):
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _number(name, values, form=""):
    import pyarrow as pa  # noqa: PLC0415

    # What texts become is given back as a number.
    plain = Column(name, "number", "double" if form else str(values.type), form=form)
    numbers = numbers_of(values, plain, "x")
    present = numbers[np.isfinite(numbers)]
    if not len(present):
        return "without any value"
    low, high = float(present.min()), float(present.max())
    spread = float(present.std()) or (high - low)
    middle = float(present.mean())
    origin = 0.0
    if spread and abs(middle) > WIDE * spread:
        whole = not (form or pa.types.is_floating(values.type))
        origin = float(np.round(middle)) if whole else middle
    missing = int(np.isnan(numbers).sum())
    return dataclasses.replace(plain, origin=origin, missing=missing, low=low, high=high)


def _datetime(name, values, form=""):
    plain = Column(name, "datetime", "string" if form else str(values.type), form=form)
    found = days(values, plain, "x")
    present = found[~np.isnan(found)]
    low, high = float(present.min()), float(present.max())
    steps = (present % 1 > 0).any()
    periods = tuple(
        period
        for period, times in PERIODS.items()
        if high - low >= times * period and (period > 1 or steps)
    )
    origin = float(np.floor((low + high) / 2))
    missing = int(np.isnan(found).sum())
    return dataclasses.replace(
        plain, origin=origin, periods=periods, missing=missing, low=low, high=high
    )


def _category(name, values, max_levels, kept):
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    order = None
    if pa.types.is_dictionary(values.type):
        order, values = values.dictionary.to_pylist(), values.dictionary_decode()
    text = _is_text(values.type)
    if pa.types.is_floating(values.type) and _whole(values):
        values = values.cast(pa.int64())
    counts = compute.value_counts(values.drop_null())
    pairs = [(one["values"].as_py(), one["counts"].as_py()) for one in counts]
    pairs = [(level, count) for level, count in pairs if level != ""]
    rows = sum(count for _, count in pairs)
    if not pairs:
        return "without any value"
    if text and order is None and not kept:
        _check_numbers(name, values, pairs)
    pairs.sort(key=lambda pair: (-pair[1], str(pair[0])))
    of_kept = sum(count for _, count in pairs[:max_levels])
    if text and order is None and not kept and _is_free(len(pairs), rows, of_kept):
        return f"free text: {len(pairs)} different values in {rows} cells"
    often = {level for level, _ in pairs[:max_levels]}
    return Column(
        name,
        "category",
        "string" if text else str(values.type),
        tuple(level for level in order if level in often) if order else tuple(sorted(often)),
        missing=len(values) - rows,
        rare=max(0, len(pairs) - max_levels),
    )


def _check_numbers(name, values, pairs):
    """Refuses a column of numbers that a few texts, misspelt numbers perhaps, make one of texts."""
    from pyarrow import compute  # noqa: PLC0415

    texts = [(level, count) for level, count in pairs if not _reads_as_number(level)]
    of_texts, cells = (sum(count for _, count in some) for some in (texts, pairs))
    if 0 < of_texts < MOSTLY_NUMBERS * cells:
        first = min((compute.index(values, level).as_py(), level) for level, _ in texts[:100])
        raise TypeError(
            f"column '{name}' must hold real numbers. Received: {first[1]!r} in row "
            f"{first[0]}, and numbers in {cells - of_texts} of {cells} cells. Try mending the "
            f"cell, or categorical=['{name}'] (--categorical)"
        )


def _reads_as_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_free(levels, rows, of_kept):
    """Whether texts are so different that levels would say little of them."""
    return rows >= ENOUGH_ROWS and (levels > rows / 2 or of_kept < rows / 2)


def _whole(values):
    numbers = values.drop_null().to_numpy(zero_copy_only=False)
    return not (numbers[np.isfinite(numbers)] % 1).any()
