"""Robust decomposition: rows split into what an autoencoder can learn and what is sparse."""

import math
from typing import NamedTuple

import numpy as np

from kerasae.layers.scaling import scale, unscale
from kerasae.validation import check_count, is_array, unknown


class RobustDecomposition(NamedTuple):
    """What `robust_decomposition` split rows into.

    Attributes:
        low_dimensional: L, float32, (rows, *row_shape), in the user's units: the rows without S. It
            is `x` itself where S is 0. What the model makes of it, `model.reconstruct(L)`, lies on
            what the model learned.
        sparse: S, float32, same shape and units: exactly 0 where nothing was split off.
        scores: float32, (rows,): root mean square of each row of S in scaled units; 0 for rows
            that were left whole.
        history: Dict of lists, one value a round: `loss` of the last epoch; `share` of the entries
            that were split off; `residual` and `change`, the two that `tolerance` stops.
    """

    low_dimensional: np.ndarray
    sparse: np.ndarray
    scores: np.ndarray
    history: dict


def soft_threshold(s, lam):
    r"""Shrinks each entry towards 0 by lam: the proximal operator of the l1 norm.

    $$\mathrm{sign}(s) \max(|s| - \lambda, 0) =
    \arg\min_z \frac{1}{2} \lVert z - s \rVert^2 + \lambda \lVert z \rVert_1$$

    Args:
        s: Array of any shape.
        lam: Threshold, at least 0, in the units of `s`.

    Returns:
        An array of the same shape.

    Reference: Donoho (1995), De-noising by soft-thresholding.

    Example:
        >>> soft_threshold(np.array([-3.0, 0.5, 2.0]), 1.0).tolist()
        [-2.0, 0.0, 1.0]
    """
    s = np.asarray(s)
    return np.sign(s) * np.maximum(np.abs(s) - lam, 0)


def group_threshold(s, lam, axis):
    r"""Shrinks the norm of each group by lam: the proximal operator of the l2,1 norm.

    $$s_g \max(1 - \lambda / \lVert s_g \rVert_2, 0) =
    \arg\min_z \frac{1}{2} \lVert z - s_g \rVert^2 + \lambda \lVert z \rVert_2$$

    Args:
        s: Array of any shape.
        lam: Threshold of a group's norm, at least 0, in the units of `s`.
        axis: Axis, or tuple of axes, along which the entries of one group lie: 1 where each row is
            a group, 0 where each column is.

    Returns:
        An array of the same shape.

    Reference: Yuan and Lin (2006), Model selection and estimation in regression with grouped
    variables.

    Example:
        >>> group_threshold(np.array([[3.0, 4.0], [0.3, 0.4]]), 1.0, axis=1).round(1).tolist()
        [[2.4, 3.2], [0.0, 0.0]]
    """
    s = np.asarray(s)
    norms = np.sqrt(np.sum(np.square(s), axis=axis, keepdims=True))
    return s * np.maximum(1 - lam / np.maximum(norms, np.finfo(s.dtype).tiny), 0)


def _rows(s, penalty):
    axes = tuple(range(1, s.ndim))
    return group_threshold(s, penalty * math.sqrt(math.prod(s.shape[1:])), axes)


def _columns(s, penalty):
    return group_threshold(s, penalty * math.sqrt(len(s)), 0)


NORMS = {"l1": soft_threshold, "rows": _rows, "columns": _columns}


def robust_decomposition(
    model, x, *, penalty, norm="l1", rounds=10, tolerance=1e-4, verbose=0, **fit_arguments
):
    r"""Trains an autoencoder on rows whose anomalies are split off as it learns.

    $$\min_{\theta, S} \lVert L - g(f(L)) \rVert + \lambda \lVert S \rVert
    \quad \text{with} \quad s(x) = L + S$$

    over the scaled rows s(x), by turns: the model is trained on L = s(x) - S with the stock `fit`,
    then S becomes s(x) - g(f(L)) after thresholding. What the model cannot reconstruct so goes to S
    and no longer teaches it anything.

    `penalty` is in scaled units and means the same for tables of any size: with norm "l1" it is
    the error from which on an entry is split off, lambda itself; with "rows" the root mean square
    error of a row, lambda = penalty sqrt(columns); with "columns" that of a column, lambda =
    penalty sqrt(rows). S is smaller by as much than what it was cut from, the rest stays in L.

    What holds: x = `low_dimensional` + `sparse` in the user's units, up to the rounding of float32;
    where `sparse` is 0 the two are equal to the bit.

    Args:
        model: A compiled `Autoencoder`; it is trained in place, further than it was.
        x: Rows in the user's units, shape (rows, *row_shape), in memory.
        penalty: Above 0, in scaled units; larger ones split off less. Errors of a model trained on
            similar rows tell its size: `model.reconstruction_error` is the square of a row's.
        norm: "l1" for single entries, "rows" for whole rows that are anomalies, "columns" for
            features that are corrupted throughout.
        rounds: Turns at most, at least 1.
        tolerance: The turns stop where s(x) - g(f(L)) - S, the `residual`, or what g(f(L)) + S
            moved by in a turn, the `change`, is smaller than this, as a share of the norm of s(x).
        verbose: 1 for a line a round, 2 for those of `fit` too.
        **fit_arguments: Arguments of `fit` in each round: `epochs`, `batch_size` for example.

    Returns:
        `RobustDecomposition`.

    Raises:
        ValueError: A penalty or tolerance that cannot be, an unknown norm, rows that do not fit the
            model, or weights that became NaN or infinite.
        TypeError: The rows are no array.

    Reference: Zhou and Paffenroth (2017), Anomaly detection with robust deep autoencoders.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x[:200] / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> split = robust_decomposition(model, x, penalty=0.5, rounds=2)
        >>> bool(np.allclose(split.low_dimensional + split.sparse, x, atol=1e-6))
        True
    """
    _check(penalty, norm, rounds, tolerance)
    if not is_array(x):
        raise TypeError(f"x must be rows in memory, an array. Received: {type(x).__name__}")
    x = model._checked_rows(x, "x").astype("float32")
    scaled = _over_rows(model, "scaled", scale, x)
    size = max(float(np.linalg.norm(scaled)), 1e-12)
    low, sparse, before = x, np.zeros_like(scaled), None
    history = {"loss": [], "share": [], "residual": [], "change": []}
    for turn in range(1, rounds + 1):
        loss = model.fit(low, verbose=max(0, verbose - 1), **fit_arguments).history["loss"][-1]
        learned = _over_rows(model, "scaled", scale, model.reconstruct(low))
        sparse = NORMS[norm](scaled - learned, penalty).astype("float32")
        low = np.where(sparse == 0, x, _over_rows(model, "unscaled", unscale, scaled - sparse))
        both = learned + sparse
        residual = float(np.linalg.norm(scaled - both)) / size
        change = math.inf if before is None else float(np.linalg.norm(both - before)) / size
        before = both
        figures = (loss, float(np.mean(sparse != 0)), residual, change)
        for values, value in zip(history.values(), figures, strict=True):
            values.append(value)
        if verbose:
            print(
                f"round {turn} of {rounds}: loss {loss:.5f}, {figures[1]:.2%} of the entries split "
                f"off, residual {residual:.2g}, change {change:.2g}"
            )
        if min(residual, change) < tolerance:
            break
    scores = np.sqrt(np.mean(np.square(sparse).reshape(len(x), -1), axis=1))
    return RobustDecomposition(low, x - low, scores, history)


def _over_rows(model, name, function, rows):
    return model._streams.run(name, lambda rows: function(model.scaler, rows), rows)


def _check(penalty, norm, rounds, tolerance):
    if not 0 < penalty < math.inf:
        raise ValueError(f"penalty must be finite and above 0. Received: penalty={penalty}")
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be finite and at least 0. Received: {tolerance}")
    if norm not in NORMS:
        raise ValueError(unknown("norm", norm, list(NORMS)))
    check_count("rounds", rounds)
