"""The two parts of a detector's score: what is odd within a row, and how far it is from others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops


class ScoreParts(NamedTuple):
    r"""What a detector knows of its training rows, beside the weights of its model.

    The score of a row x, scaled, is the sum of two parts, each of which is 1 for the mean training
    row. With the residuals $r_l$ of the model at L levels of noise, and their root mean squares
    $\sigma_{lj}$ in column j on training rows,

    $$n = \frac{1}{\bar n} \prod_{l=1}^L \left(\sum_j \frac{r_{lj}^2}{\sigma_{lj}}\right)^{1/2L}
    \qquad s = \sum_{i=1}^k w_i \lVert x - m_i \rVert$$

    with the k nearest $m_i$ of the rows in memory. Both are sums over columns: of the shares of
    $r_{lj}^2 / \sigma_{lj}$ in each level's norm, and of those of $(x_j - m_{ij})^2$ in each
    distance. So the score is the sum of the contributions of the columns. A column that follows
    from the others counts more than its residuals, and less than if each were divided by its own
    $\sigma_{lj}$.

    Attributes:
        levels: Levels of noise, (L,); NaN alone for a model that takes none.
        scales: What residuals are divided by, the square roots of their root mean squares on
            training rows, (L, columns).
        residual_scale: Mean of the first part before it is divided by it.
        memory: Scaled training rows, (rows, columns). They are data of the user's: whoever has the
            model has them.
        weights: What the distance to the i-th nearest counts, (k,): the second part of the rows of
            the memory, each among the others, is 1 in the mean.
    """

    levels: np.ndarray
    scales: np.ndarray
    residual_scale: float
    memory: np.ndarray
    weights: np.ndarray

    def score(self, residuals: Any, rows: Any) -> Any:
        """The score of each row, (batch,).

        Args:
            residuals: Reconstruction less row, at each level, scaled, (batch, L, *row_shape).
            rows: The rows, scaled, (batch, *row_shape).
        """
        within, between = self.both(residuals, rows)
        return within + between

    def both(self, residuals: Any, rows: Any) -> tuple[Any, Any]:
        """The two parts n and s of the score of each row, (batch,) both.

        Args:
            residuals: As in `score`.
            rows: As in `score`.
        """
        norms, _ = residual_norms(residuals, self.scales)
        distances, _ = nearest_rows(rows, self.memory, len(self.weights))
        return self.divided(norms, distances)

    def divided(self, norms: Any, distances: Any) -> tuple[Any, Any]:
        """The two parts of the score of each row, over their means on training rows, (batch,) both.

        Args:
            norms: Geometric means over the levels of the norms of residuals, (batch,).
            distances: To the nearest rows of the memory, in order, (batch, k).
        """
        return norms / self.residual_scale, ops.sum(distances * self.weights, axis=1)

    def contributions(self, residuals: Any, rows: Any) -> Any:
        """What each column adds to the score, of the shape of the rows.

        Args:
            residuals: As in `score`.
            rows: As in `score`.
        """
        norms, shares = residual_norms(residuals, self.scales)
        distances, away = nearest_rows(rows, self.memory, len(self.weights))
        # Shares of a distance of 0 are 0.
        of_distance = ops.square(away) * (self.weights / ops.maximum(distances, TINY))[..., None]
        within = norms[:, None] * ops.mean(shares, axis=1) / self.residual_scale
        total = within + ops.sum(of_distance, axis=1)
        return ops.reshape(total, ops.shape(rows))

    def save_to(self, store: Any) -> None:
        """Writes the numbers under their names, behind `part_`."""
        for name, value in self._asdict().items():
            store[f"part_{name}"] = np.asarray(value)

    @classmethod
    def load_from(cls, saved: Mapping[str, np.ndarray]) -> "ScoreParts | None":
        """Reads what `save_to` wrote, or None where nothing was.

        Raises:
            ValueError: Shapes that do not fit, or numbers that are not finite and above 0.
            KeyError: A part is missing.
        """
        if not any(name.startswith("part_") for name in saved):
            return None
        levels, scales, memory, weights = (
            np.asarray(saved[f"part_{name}"], "float32")
            for name in ("levels", "scales", "memory", "weights")
        )
        residual = float(saved["part_residual_scale"])
        fits = (
            levels.ndim == weights.ndim == 1
            and scales.ndim == memory.ndim == 2
            and scales.shape == (len(levels), memory.shape[1])
            and 1 <= len(weights) <= len(memory)
        )
        positive = np.array([*scales.ravel(), *weights.ravel(), residual])
        if not (fits and np.isfinite(memory).all() and (positive > 0).all()):
            raise ValueError(
                f"parts of shapes {levels.shape}, {scales.shape}, {memory.shape}, {weights.shape}"
            )
        return cls(levels, scales, residual, memory, weights)


# Below any residual that float32 has of rows near 1, and still a number when it is squared.
TINY = 1e-18
# Rows of the memory that are looked through at once, and of those again.
BLOCK, SMALL_BLOCK = 64, 8


def residual_norms(residuals: Any, scales: np.ndarray) -> tuple[Any, Any]:
    """Geometric mean over the levels of each row's norm, and the columns' shares in its squares.

    Args:
        residuals: At each level, (batch, L, *row_shape).
        scales: What they are divided by, (L, columns).

    Returns:
        Tensors of shape (batch,) and (batch, L, columns).
    """
    flat = ops.reshape(ops.cast(residuals, "float32"), (-1, *scales.shape)) / scales
    # As multiples of the largest: the squares of far rows would overflow.
    largest = ops.maximum(ops.max(ops.abs(flat), axis=-1, keepdims=True), TINY)
    squares = ops.square(flat / largest)
    sums = ops.maximum(ops.sum(squares, axis=-1, keepdims=True), TINY)
    logs = ops.log(largest) + ops.log(sums) / 2
    return ops.exp(ops.mean(logs[..., 0], axis=1)), squares / sums


def nearest_rows(rows: Any, memory: np.ndarray, neighbors: int) -> tuple[Any, Any]:
    """Distances to the nearest rows of a memory, in order, and the differences.

    Args:
        rows: (batch, *row_shape).
        memory: (rows, columns).
        neighbors: How many of the nearest.

    Returns:
        Tensors of shape (batch, neighbors) and (batch, neighbors, columns).
    """
    flat = ops.reshape(ops.cast(rows, "float32"), (-1, memory.shape[1]))
    center = memory.mean(axis=0)
    kept = memory - center
    # Rows are kept in blocks, of which the last is filled up with rows that are infinitely far.
    filled = ((0, -len(memory) % BLOCK), (0, 0))
    halves = np.pad(np.square(kept).sum(axis=1) / 2, filled[0], constant_values=1e30)
    columns = np.vstack([np.pad(kept, filled).T, -halves])
    # Of float32 products, which find the nearest but have lost the digits of a small distance.
    nearness = ops.matmul(ops.pad(flat - center, ((0, 0), (0, 1)), constant_values=1.0), columns)
    # Where a row is not finite, its nearest may be of those that fill the last block.
    nearest = ops.minimum(_highest(nearness, neighbors), len(memory) - 1)
    away = flat[:, None] - ops.take(ops.convert_to_tensor(memory), nearest, axis=0)
    largest = ops.maximum(ops.max(ops.abs(away), axis=-1, keepdims=True), TINY)
    sums = ops.sum(ops.square(away / largest), axis=-1)
    return largest[..., 0] * ops.sqrt(sums), away


def _highest(values, count, block=BLOCK):
    """Positions of the highest values of each row, (batch, count), the highest first.

    They lie in the blocks that have the highest maxima, and there in the small blocks that have. A
    maximum is found many times as fast as its position.
    """
    blocks = ops.reshape(values, (-1, values.shape[-1] // block, block))
    # Not argmax: Keras writes it with operators that ONNX does not have.
    _, first = ops.top_k(ops.max(blocks, axis=-1), min(count, blocks.shape[1]))
    inside = ops.reshape(_taken(blocks, first), (-1, first.shape[-1] * block))
    if block > SMALL_BLOCK:
        found = _highest(inside, count, SMALL_BLOCK)
    else:
        _, found = ops.top_k(inside, count)
    return _taken(first, found // block) * block + found % block


def _taken(values, positions):
    """`values[i, positions[i]]` of each row i, which `take_along_axis` takes far longer for."""
    rows, columns = ops.shape(values)[0], values.shape[1]
    flat = ops.reshape(values, (-1, *values.shape[2:]))
    return ops.take(flat, positions + columns * ops.arange(rows)[:, None], axis=0)
