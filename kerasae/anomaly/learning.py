"""What a detector learns of its training rows, beside the weights of its model."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from kerasae.anomaly.parts import ScoreParts, nearest_rows, residual_norms
from kerasae.layers.base import autoencoder_layers
from kerasae.layers.corruption import GaussianCorruption
from kerasae.layers.scaling import scale
from kerasae.validation import check_count

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# Rows that root mean squares are taken from: more would not change them.
MEASURED_ROWS, MEASURED_VALUES = 20_000, 2**26
# Rows that are looked at before the next ones.
PIECE = 4096
# Values of the differences to their nearest that are held at once.
DIFFERENCES = 2**24


def learn_parts(
    model: "Autoencoder",
    x: Any,
    *,
    levels: Sequence[float] = (0.2, 0.4, 0.8),
    memory: int = 5000,
    neighbors: int | Iterable[int] = (1, 5),
    seed: int | None = None,
    batch_size: int = 256,
) -> ScoreParts:
    """Measures the residuals of training rows and keeps some of them, for `calibrate`.

    Args:
        model: A trained `Autoencoder` of any family.
        x: The rows it was trained on, at least 2, shape (rows, *row_shape).
        levels: Levels of noise to look at a row with; a model that takes none has one residual.
        memory: How many rows to keep at most, at least 2, drawn at random.
        neighbors: How many of the nearest kept rows count, at least 1. Of several such numbers, the
            mean distances to so many are averaged, each over its own mean.
        seed: Integer, or None for a random one, of the draws.
        batch_size: Rows a step.

    Returns:
        `ScoreParts`.

    Raises:
        ValueError: A single row, counts that are too low, a level that is not above 0, or rows that
            do not fit the model.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> parts = learn_parts(model, x[:1000], memory=100, seed=0)
        >>> cutoff = kerasae.anomaly.calibrate(model, x[1000:], parts=parts)
        >>> parts.memory.shape
        (100, 64)
    """
    memory, counts = check_parts(levels, memory, neighbors)
    rows = model._checked_rows(x, "x")
    if len(rows) < 2:
        raise ValueError("x must have at least 2 rows to be compared. Received: 1 row")
    order = np.random.default_rng(seed).permutation(len(rows))
    looked_at = np.asarray(levels if _takes_levels(model) else [np.nan], "float32")
    measured = min(MEASURED_ROWS, MEASURED_VALUES // (len(looked_at) * rows[0].size))
    _, residuals = scaled_and_residuals(
        model, rows[np.sort(order[: max(2, measured)])], looked_at, batch_size
    )
    scales, residual_scale = _residual_scales(residuals)
    kept = scaled_rows(model, rows[np.sort(order[:memory])], batch_size)
    counts = tuple(min(count, len(kept) - 1) for count in counts)
    distances = distances_to(kept, kept, max(counts) + 1)[:, 1:]
    return ScoreParts(looked_at, scales, residual_scale, kept, _weights(distances, counts))


def check_parts(
    levels: Sequence[float], memory: int, neighbors: int | Iterable[int]
) -> tuple[int, tuple[int, ...]]:
    """Refuses settings of the parts that cannot be, before anything is trained.

    Args:
        levels: As in `learn_parts`, like those that follow.
        memory: How many rows to keep at most.
        neighbors: One number, or several.

    Returns:
        The memory, and the numbers of neighbors.

    Raises:
        ValueError: No levels, or one that is not above 0; a memory of less than 2 rows; numbers of
            neighbors that are not whole and at least 1.
    """
    check_count("memory", memory)
    if memory < 2:
        raise ValueError(f"memory must be at least 2 rows. Received: memory={memory}")
    if isinstance(levels, str) or not len(levels) or min(levels) <= 0:
        raise ValueError(f"levels must be above 0. Received: levels={levels!r}. Try (0.2, 0.8)")
    if isinstance(neighbors, Iterable) and not isinstance(neighbors, str):
        counts = tuple(neighbors)
    else:
        counts = (neighbors,)
    if not counts:
        raise ValueError("neighbors must be a number, or several. Received: none. Try (1, 5)")
    for count in counts:
        check_count("neighbors", count)
    return int(memory), tuple(map(int, counts))


def _weights(distances, counts):
    """What the distance to the i-th nearest counts in the mean over the counts, (most,)."""
    weights = np.zeros(max(counts), "float32")
    for count in counts:
        scale = max(float(distances[:, :count].mean(dtype="float64")), 1e-6)
        weights[:count] += 1 / (scale * count * len(counts))
    return weights


def _takes_levels(model):
    layers = autoencoder_layers(model.encoder, model.decoder)
    return any(isinstance(one, GaussianCorruption) and one.append_level for one in layers)


def _residual_scales(residuals):
    """Scales of the residuals, (L, columns), and the mean of the norms that they give."""
    squares = np.square(residuals, dtype="float64")
    # A column that never has a residual would make the first one infinitely odd.
    typical = np.sqrt(squares.mean(axis=0)) + 1e-3 * np.sqrt(squares.mean(axis=(0, 2)))[:, None]
    scales = np.maximum(np.sqrt(typical), 1e-6).astype("float32")
    norms, _ = residual_norms(residuals, scales)
    return scales, max(float(ops.convert_to_numpy(norms).mean(dtype="float64")), 1e-6)


def scaled_and_residuals(
    model: "Autoencoder", rows: np.ndarray, levels: np.ndarray, batch_size: int = 256
) -> tuple[np.ndarray, np.ndarray]:
    """Rows, scaled and flat, (rows, columns), and their residuals at levels, (rows, L, columns).

    It is compiled once for all that is learnt and calibrated.
    """
    found = model._streams.run(
        f"residuals {levels.tolist()}",
        lambda x: dict(zip(("scaled", "residuals"), model._residuals(x, levels), strict=True)),
        rows,
        batch_size=batch_size,
    )
    scaled = found["scaled"].reshape(len(rows), -1)
    return scaled, found["residuals"].reshape(len(rows), len(levels), -1)


def scaled_rows(model: "Autoencoder", rows: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """Rows as a memory holds them: scaled, flat, float32."""
    scaled = model._streams.run(
        "scaled", lambda x: scale(model.scaler, x), rows, batch_size=batch_size
    )
    return scaled.reshape(len(rows), -1)


def distances_to(memory: np.ndarray, scaled: np.ndarray, neighbors: int) -> np.ndarray:
    """Distances of scaled rows to the nearest of a memory, in order, (rows, neighbors)."""
    most = DIFFERENCES // (neighbors * memory.shape[1])
    pieces = _pieces(scaled, min(PIECE, max(16, most)))
    pieces = [nearest_rows(piece, memory, neighbors)[0] for piece in pieces]
    return np.concatenate([ops.convert_to_numpy(piece) for piece in pieces])


def scores_of_rows(
    model: "Autoencoder", rows: Any, parts: ScoreParts, own: bool = False, batch_size: int = 256
) -> np.ndarray:
    """Scores of rows, in pieces that bound the memory it takes.

    Args:
        model: The model.
        rows: Rows, as `_checked_rows` gives them.
        parts: What was learnt of training rows.
        own: Whether rows may be in the memory, and are not compared with themselves.
        batch_size: Rows a step.

    Returns:
        Array of shape (rows,).
    """
    scores = []
    for piece in _pieces(rows):
        scaled, residuals = scaled_and_residuals(model, piece, parts.levels, batch_size)
        distances = distances_to(parts.memory, scaled, len(parts.weights) + own)
        if own:
            distances = _without_own(distances, parts.weights)
        norms, _ = residual_norms(residuals, parts.scales)
        within, between = parts.divided(norms, distances)
        scores.append(ops.convert_to_numpy(within + between))
    return np.concatenate(scores)


def _without_own(distances, weights):
    # A copy in the memory is the row itself, or another that counts as little.
    own = distances[:, :1] * weights.sum() <= 1e-6
    return np.where(own, distances[:, 1:], distances[:, :-1])


def _pieces(rows, most=PIECE):
    """Rows in pieces of similar size, none of them short."""
    return np.array_split(rows, -(-len(rows) // most))


def own_distances(
    model: "Autoencoder", rows: np.ndarray, compared: int, share: float
) -> np.ndarray:
    """Mean distances of rows to the nearest share of the first of them, and at least to 5.

    Args:
        model: A model whose scaler is adapted.
        rows: Rows in random order.
        compared: How many of the first they are compared with, at least 2.
        share: How many of these, in (0, 1).

    Returns:
        Array of shape (rows,).
    """
    rows = model._checked_rows(rows, "x")
    memory = scaled_rows(model, rows[:compared])
    center = memory.mean(axis=0)
    memory -= center
    count = min(max(5, math.ceil(share * len(memory))), len(memory) - 1)
    means = []
    for start in range(0, len(rows), PIECE):
        scaled = scaled_rows(model, rows[start : start + PIECE], PIECE) - center
        with np.errstate(all="ignore"):  # of rows so far away that their squares are infinite
            squares = np.square(memory).sum(axis=1) - 2 * scaled @ memory.T
            squares += np.square(scaled).sum(axis=1)[:, None]
        if start < len(memory):  # no row meets itself
            np.fill_diagonal(squares[:, start:], np.inf)
        # Digits that products lose are few in a mean over so many.
        nearest = np.partition(squares, count - 1, axis=1)[:, :count]
        means.append(np.sqrt(np.maximum(nearest, 0)).mean(axis=1))
    return np.nan_to_num(np.concatenate(means), nan=np.inf)
