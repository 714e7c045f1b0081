"""Copies of rows as weights, so that both train the same model."""

import numpy as np


def as_weights(x: np.ndarray, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows without copies, in order, and the weights of their copies.

    A training of one step an epoch depends on neither the order of the rows nor on whether a row
    comes twice or has the weight 2; done in one way, the results are the same to the last bit.

    Args:
        x: Rows of numbers, shape (rows, ...), which may be NaN.
        weight: Weight of each row, above 0, or None.

    Returns:
        (rows, weights with mean 1), the weights None where all are equal.

    Example:
        >>> rows, weight = as_weights(np.array([[3.0], [1.0], [3.0]]), None)
        >>> rows.tolist(), weight.round(2).tolist()
        ([[1.0], [3.0]], [0.67, 1.33])
    """
    flat = np.where(np.isnan(x), -np.inf, x).reshape(len(x), -1)
    _, first, which = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    total = np.bincount(which.ravel(), weight)
    same = (total == total[0]).all()
    return x[first], None if same else total / total.mean()
