"""Cells as texts, as `kerasae.plots.row_columns.shown` makes one, for many at once."""

from typing import Any

import numpy as np

# The lowest power of ten: of others than powers up to the 22nd, float64 does not hold all digits.
# Texts of smaller numbers are made one by one.
LEAST = -15


def shown_cells(cells: np.ndarray) -> Any:
    """Texts of cells, an array of pyarrow.

    Args:
        cells: Array of objects, (rows,), of any types.

    Returns:
        Array of texts.

    Example:
        >>> shown_cells(np.array([1.23456, None, "red", 2.0, True, 1e-7], object)).to_pylist()
        ['1.235', 'missing', 'red', '2', 'True', '1e-07']
    """
    import pyarrow as pa

    kinds = [*map(type, cells)]
    if set(kinds) == {float}:
        return _numbers(cells.astype("float64"))
    texts = np.empty(len(cells), object)
    is_number = np.fromiter((kind is float for kind in kinds), bool, len(cells))
    if is_number.any():
        numbers = _numbers(cells[is_number].astype("float64"))
        texts[is_number] = numbers.to_numpy(zero_copy_only=False)
    texts[~is_number] = _each(cells[~is_number])
    return pa.array(texts, pa.string())


def _each(cells):
    """Texts of cells, one by one, equal ones once."""
    from kerasae.plots.row_columns import shown

    found = {}
    for cell in cells:
        if (type(cell), cell) not in found:
            found[type(cell), cell] = shown(cell)
    return [found[type(cell), cell] for cell in cells]


def _numbers(x):
    """Texts of numbers: four digits, as "%.4g" writes them, and whole numbers from 1e4 to 1e15."""
    import pyarrow as pa
    from pyarrow import compute

    size = np.abs(x)
    plain = (size >= 10.0 ** (LEAST + 1)) & (size < 1e4)
    tens = np.array([float(f"1e{power}") for power in range(4 - LEAST)])
    starts = np.array([float(f"1e{power}") for power in range(LEAST, 5)])
    power = LEAST - 1 + np.searchsorted(starts, np.where(plain, size, 1.0), side="right")
    exact = np.where(plain, x, 1.0) * tens[3 - power]
    digits = np.rint(exact)
    near = np.abs(np.abs(exact - digits) - 0.5) < 1e-9  # which way to round, all digits say
    over = np.abs(digits) == 1e4  # 9.9999 is 10
    digits, power = np.where(over, digits / 10, digits), power + over
    short = (power < -4) | (power > 3)
    value = np.where(short, digits / 1000, digits / tens[np.where(short, 0, 3 - power)])
    whole = (size >= 1e4) & (size < 1e15)
    value = np.where(whole, np.rint(x), np.where(size == 0, x, value))
    texts = pa.array(value).cast(pa.string())
    if whole.any():
        wholes = pa.array(np.where(whole, value, 0).astype("int64")).cast(pa.string())
        texts = compute.if_else(pa.array(whole), wholes, texts)
    if (short & plain).any():
        marks = pa.array([f"e{one:+03d}" for one in range(LEAST, 5)])
        marks = marks.take(pa.array(np.where(plain, power - LEAST, 0)))
        joined = compute.binary_join_element_wise(texts, marks, "")
        texts = compute.if_else(pa.array(short & plain), joined, texts)
    odd = near | ~(plain | whole | (size == 0))
    if not odd.any():
        return texts
    return compute.replace_with_mask(texts, pa.array(odd), pa.array(_each(x[odd].tolist())))
