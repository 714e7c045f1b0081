"""Reconstructions by principal components, which models are compared with."""

from collections.abc import Callable

import numpy as np

# Rows or columns up to which all components are computed; beyond it, the first ones alone.
EXACT = 1000


def principal(x: np.ndarray, components: int) -> Callable[[np.ndarray], np.ndarray]:
    """Fits a principal component analysis.

    Args:
        x: Rows to fit on, shape (rows, columns).
        components: How many components are kept, at least 1 and at most the rows or the columns.

    Returns:
        A function from rows, shape (rows, columns), to their reconstructions.

    Reference: Pearson (1901), On lines and planes of closest fit to systems of points in space.

    Example:
        >>> x = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])
        >>> principal(x, 1)(np.array([[3.0, 6.0]])).round(6).tolist()
        [[3.0, 6.0]]
    """
    if min(x.shape) > EXACT:
        from sklearn.decomposition import PCA  # noqa: PLC0415

        pca = PCA(components, random_state=0).fit(x)
        return lambda rows: pca.inverse_transform(pca.transform(rows))
    # Importing scikit-learn takes longer than this.
    mean = x.mean(axis=0, dtype="float64")
    centred = x - mean
    if len(x) >= x.shape[1]:
        axes = np.linalg.eigh(centred.T @ centred)[1][:, -components:]
    else:
        axes = np.linalg.qr(centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, -components:])[0]
    return lambda rows: mean + (rows - mean) @ axes @ axes.T
