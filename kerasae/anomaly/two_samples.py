"""Tests of whether two samples come from one distribution, and corrections for many tests."""

import numpy as np

from kerasae.validation import unknown

CORRECTIONS = ("holm", "benjamini-yekutieli")
# Rows of each sample that kernels are taken of, at most: their number grows with the square.
KERNEL_ROWS = 1000


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""The two-sample test of Kolmogorov and Smirnov for each column.

    $$D = \max_t |F_a(t) - F_b(t)|$$

    with the empirical distribution functions of the two samples.

    Args:
        a: Array of shape (rows, columns).
        b: Array of shape (other rows, columns).

    Returns:
        Statistics and p-values, (columns,). Of values with ties the p-values err on the safe side.

    Reference: Hodges (1958), The significance probability of the Smirnov two-sample test.

    Example:
        >>> statistic, p = kolmogorov_smirnov(np.arange(20.0)[:, None], np.arange(9.0, 29)[:, None])
        >>> round(float(statistic[0]), 2), round(float(p[0]), 3)
        (0.45, 0.034)
    """
    from scipy.stats import ks_2samp  # noqa: PLC0415

    # Exact p-values of many rows take long, and are the same.
    method = "exact" if len(a) * len(b) <= 4_000_000 else "asymp"
    found = [ks_2samp(one, other, method=method) for one, other in zip(a.T, b.T, strict=True)]
    statistics = np.array([one.statistic for one in found], "float64")
    return statistics, np.array([one.pvalue for one in found], "float64")


def adjusted(p_values: np.ndarray, correction: str = "holm") -> np.ndarray:
    r"""p-values that were corrected for there being many of them.

    "holm" keeps the probability of a single false discovery, "benjamini-yekutieli" the expected
    share of false ones among the discoveries, both for tests that depend on each other in any way.
    Of the m sorted p-values,

    $$\text{Holm: } \max_{j \le i} \min(1, (m - j + 1) p_{(j)}) \qquad
    \text{B.-Y.: } \min_{j \ge i} \min\left(1, \frac{m}{j} p_{(j)} \sum_{k=1}^m \frac1k\right)$$

    Args:
        p_values: Array of shape (tests,).
        correction: One of the two.

    Returns:
        Array of shape (tests,): a test is significant where its value is at most alpha.

    Raises:
        ValueError: The correction is unknown.

    Reference: Holm (1979), A simple sequentially rejective multiple test procedure; Benjamini and
    Yekutieli (2001), The control of the false discovery rate in multiple testing under dependency.

    Example:
        >>> adjusted(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    if correction not in CORRECTIONS:
        raise ValueError(unknown("correction", correction, CORRECTIONS))
    p, count = np.asarray(p_values, "float64"), len(p_values)
    order, ranks = np.argsort(p), np.arange(1, count + 1)
    if correction == "holm":
        found = np.maximum.accumulate((count - ranks + 1) * p[order])
    else:
        factor = count * (1 / ranks).sum()
        found = np.minimum.accumulate((factor / ranks * p[order])[::-1])[::-1]
    whole = np.empty(count)
    whole[order] = np.minimum(found, 1)
    return whole


def maximum_mean_discrepancy(
    a: np.ndarray, b: np.ndarray, permutations: int = 999, seed: int = 0
) -> tuple[float, float]:
    r"""How far two samples are from each other in all columns together, and its p-value.

    $$\widehat{\mathrm{MMD}}^2 = \frac{1}{m(m-1)} \sum_{i \ne j} k(a_i, a_j) +
    \frac{1}{n(n-1)} \sum_{i \ne j} k(b_i, b_j) - \frac{2}{mn} \sum_{i,j} k(a_i, b_j)$$

    with the kernel $k(x, y) = \exp(-\lVert x - y \rVert^2 / 2 \sigma^2)$, whose width is the median
    distance between two rows of both samples. The p-value is the share of permutations of the
    rows that give as much.

    Args:
        a: Array of shape (rows, columns), at least 2 rows; of more than 1,000 as many are drawn.
        b: The other sample, likewise.
        permutations: How many, at least 1.
        seed: Integer, of the draws.

    Returns:
        The unbiased estimate, 0 on average where the distributions are one, and the p-value, at
        least 1 / (permutations + 1).

    Reference: Gretton, Borgwardt, Rasch, Schölkopf and Smola (2012), A kernel two-sample test,
    section 8 for the median.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> maximum_mean_discrepancy(rng.normal(size=(99, 2)), rng.normal(1, 1, (99, 2)))[1]
        0.001
    """
    rng = np.random.default_rng(seed)
    a, b = (one[rng.permutation(len(one))[:KERNEL_ROWS]].astype("float64") for one in (a, b))
    kernel, m = _kernel(np.concatenate([a, b])), len(a)
    # One column for each permutation, the first for the samples as they are: 1 for rows of a.
    inside = np.zeros((len(kernel), permutations + 1), "float32")
    inside[:m, 0] = 1
    for column in range(1, permutations + 1):
        inside[rng.permutation(len(kernel))[:m], column] = 1
    within = np.einsum("ij,ij->j", inside, kernel @ inside, dtype="float64")
    rows = kernel.sum(axis=1, dtype="float64") @ inside
    n, across = len(b), rows - within
    beyond = kernel.sum(dtype="float64") - rows - across
    found = (within - m) / (m * (m - 1)) + (beyond - n) / (n * (n - 1)) - 2 * across / (m * n)
    # What differs by rounding alone is as much.
    as_much = np.count_nonzero(found[1:] >= found[0] - 1e-7)
    return float(found[0]), float(1 + as_much) / (permutations + 1)


def _kernel(rows):
    """The kernel between all pairs of rows, float32, with 1 on the diagonal."""
    rows = rows - rows.mean(axis=0)
    largest = np.abs(rows).max()
    rows /= largest if largest > 0 else 1  # squares of large values would overflow
    norms = np.square(rows).sum(axis=1)
    squares = np.maximum(norms[:, None] + norms - 2 * rows @ rows.T, 0)
    median = np.median(squares[np.triu_indices(len(rows), 1)])
    width = median if median > 0 else squares.mean() or 1.0
    kernel = np.exp(squares / (-2 * width)).astype("float32")
    np.fill_diagonal(kernel, 1)
    return kernel
