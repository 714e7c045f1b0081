"""Checks of the arrays that are to be drawn."""

from typing import Any

import numpy as np


def same_rows(**arrays: Any) -> list[np.ndarray]:
    """Refuses arrays of rows that do not go together.

    Args:
        **arrays: Arrays of shape (rows, columns), or rows of images, by the name that the message
            calls them.

    Returns:
        The arrays as float64, each row flattened, in the order given.

    Raises:
        ValueError: Their shapes differ, there are no rows, or a value is not finite.
    """
    rows = {name: np.asarray(array) for name, array in arrays.items()}
    shapes = [array.shape for array in rows.values()]
    if (
        len({(*shape[:1], np.prod(shape[1:])) for shape in shapes}) > 1
        or len(shapes[0]) < 2
        or not np.prod(shapes[0])
    ):
        raise ValueError(
            f"{_joined(rows)} must be the same number of rows of the same shape. "
            f"Received: shapes {_joined(map(str, shapes))}"
        )
    return [finite(name, array).reshape(len(array), -1) for name, array in rows.items()]


def finite(name: str, values: Any, ndim: int | None = None) -> np.ndarray:
    """Refuses values that cannot be drawn.

    Args:
        name: What the message calls them.
        values: Array-like of numbers.
        ndim: How many axes it must have, or None for any.

    Returns:
        The values as a float64 array.

    Raises:
        ValueError: There are none, one is NaN or infinite, or the axes are not `ndim`.
    """
    values = np.asarray(values, "float64")
    if ndim not in (None, values.ndim) or not values.size:
        axes = {1: "one value a row", 2: "rows of columns"}.get(ndim or 0, "values")
        raise ValueError(f"{name} must be {axes}, at least one. Received: shape={values.shape}")
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{name} must be finite. Received: {bad} NaN or infinite values")
    return values


def one_a_row(name: str, values: Any, count: int) -> np.ndarray | None:
    """Refuses a list that has not one entry a row.

    Args:
        name: What the message calls it.
        values: Array-like, or None, which passes.
        count: How many rows there are.

    Returns:
        The values as a NumPy array, or None.

    Raises:
        ValueError: There are more or fewer than rows.
    """
    if values is None:
        return None
    values = np.asarray(values)
    if values.shape != (count,):
        raise ValueError(
            f"{name} must have one entry a row, {count}. Received: shape={values.shape}"
        )
    return values


def _joined(names):
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
