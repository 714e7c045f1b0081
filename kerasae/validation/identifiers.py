"""Columns of a file that number its rows rather than describe them."""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np

# What pandas and R write for the index of a table, and what it becomes when it is read back.
WRITTEN_INDEX = re.compile(r"|__index_level_\d+__")
READ_INDEX = re.compile(r"unnamed: 0([._]\d+)*|level_\d+|row_nr", re.IGNORECASE)
# How an identifier is called, as the last part of a name, or as its first.
LAST = {"id", "ids", "uid", "uuid", "guid", "pk", "rowid", "rownum"}
FIRST = {"id", "uid", "uuid", "guid", "rowid"}
# Names of quantities as well ("heat index", "atomic number"): those of identifiers that count up.
MAYBE = {"key", "index", "idx", "row", "nr", "no", "num", "number", "serial"}
OF_WHOM = {
    *("account", "case", "client", "customer", "device", "employee", "event", "item", "machine"),
    *("order", "patient", "person", "product", "record", "row", "sample", "sensor", "session"),
    *("student", "transaction", "user"),
}
# Numbers with a sign, a unit or a currency, and dates: texts that want encoding, and name no row.
QUANTITY = re.compile(
    r"\W*(?!0\d)\d[\d.,'\s]*(e[+-]?\d+)?\s*\W*[^\W\d]{0,3}\W*|\d{1,4}([-/.])\d\d?\2\d{1,4}\b.*",
    re.IGNORECASE,
)
# A share of different values from which a column identifies its rows.
NEAR_UNIQUE = 0.95
# Rows from which this says something under any name.
ENOUGH_ROWS = 20


def identifier_columns(
    table: Mapping[str, Any], index: Collection[str] = (), keep: Collection[str] = ()
) -> dict[str, str]:
    """Finds the columns of a table that a model should not learn: row indices and identifiers.

    A row index is a column that a library wrote for the index of a table (no name, `Unnamed: 0`,
    `__index_level_0__`, or what the file's own notes call an index), or one that counts the rows
    from 0 or 1. An identifier is a column of whole numbers with the name of one (`id`,
    `customer_id`, `orderId`, `index`), or one of text or UUIDs, whose values are nearly all
    different. Real numbers are measurements, however different they are, and so are texts that
    are mostly numbers, quantities with a unit, or dates.

    Args:
        table: The cells of each column by its name, arrays or what `np.asarray` takes.
        index: Names that the file's own notes call an index, as pandas writes them into Parquet.
        keep: Names of columns to keep whatever they are.

    Returns:
        Why each such column is left out, by name.

    Example:
        >>> table = {"": [0, 1, 2], "id": [7, 9, 4], "height": [1.7, 1.8, 1.9]}
        >>> identifier_columns(table)
        {'': 'a row index', 'id': 'an identifier: 3 different values in 3 rows'}
    """
    found = {}
    for name, cells in table.items():
        if name in keep:
            continue
        reason = "a row index" if name in index else _reason(name, np.asarray(cells))
        if reason:
            found[name] = reason
    return found


def left_out(found: Mapping[str, str], where: Any, hint: str) -> str:
    """The warning about columns that `identifier_columns` found.

    Args:
        found: What it returned.
        where: The file, or what else the message calls the table.
        hint: How such a column can be kept.

    Returns:
        One sentence.

    Example:
        >>> left_out({"id": "an identifier"}, "t.csv", "keep=['id']")
        "1 column is left out (t.csv): 'id', an identifier. Try keep=['id'] to keep it"
    """
    shown = [f"'{name}', {reason}" for name, reason in list(found.items())[:5]]
    more = "; ..." if len(found) > 5 else ""
    count = "1 column is" if len(found) == 1 else f"{len(found)} columns are"
    return f"{count} left out ({where}): {'; '.join(shown)}{more}. Try {hint} to keep it"


def warn_of_identifiers(names: Sequence[str], rows: np.ndarray) -> None:
    """Warns of columns that a model is about to learn and had better not.

    Args:
        names: Names of the columns.
        rows: Array of shape (rows, columns), or of as many pixels a row.
    """
    found = identifier_columns(dict(zip(names, rows.reshape(len(rows), -1).T, strict=True)))
    if found:
        shown = ", ".join(f"'{name}', {reason}" for name, reason in list(found.items())[:5])
        warnings.warn(
            f"the model learns columns that number its rows rather than describe them: {shown}",
            UserWarning,
            stacklevel=4,
        )


def _reason(name, cells):
    """Why a column is left out, or None."""
    if WRITTEN_INDEX.fullmatch(name):
        return "a row index"
    if cells.dtype.kind in "iuf":
        present = cells[np.isfinite(cells)]
        fractions = cells.dtype.kind == "f" and (
            (present[:100] % 1).any() or (present % 1).any()  # most columns show them at once
        )
        if not len(present) or fractions:
            return None
        named = _names_identifier(name, present)
        counts = _may_count_rows(present)
        different = len(np.unique(present)) if named or counts else 0
        if READ_INDEX.fullmatch(name) or (counts and different == len(present)):
            return "a row index"
    else:
        present = [cell for cell in cells.tolist() if isinstance(cell, str | bytes | UUID)]
        if present and READ_INDEX.fullmatch(name):
            return "a row index"
        named = len(present) >= ENOUGH_ROWS and not _are_quantities(present)
        different = len(set(present)) if named else 0
    if named and len(present) > 1 and different >= NEAR_UNIQUE * len(present):
        return f"an identifier: {different} different values in {len(cells)} rows"
    return None


def _may_count_rows(numbers):
    low, high = numbers.min(), numbers.max()
    return len(numbers) >= ENOUGH_ROWS and low in (0, 1) and high - low == len(numbers) - 1


def _are_quantities(texts):
    few = texts[:: max(1, len(texts) // 1000)]
    return sum(bool(QUANTITY.fullmatch(str(text).strip())) for text in few) > len(few) / 2


def _names_identifier(name, numbers):
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    words = [part.lower() for part in parts]
    return bool(words) and (
        words[-1] in LAST
        or (words[-1] in MAYBE and (words in (["index"], ["idx"]) or (np.diff(numbers) > 0).all()))
        or words[0] in FIRST
        or (words[-1].endswith("id") and words[-1][:-2] in OF_WHOM)
    )
