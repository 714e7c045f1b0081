"""Robust decomposition: rows split into what an autoencoder can learn and what is sparse."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from kerasae.layers.scaling import scale, unscale
from kerasae.models import Autoencoder
from kerasae.validation import check_count, is_array, names_of, unknown


class RobustDecomposition(NamedTuple):
    """What `robust_decomposition` split rows into.

    Attributes:
        low_dimensional: L, float32, (rows, *row_shape), in the user's units: the rows without S. It
            is equal to `x` where S is 0. `model.reconstruct(L)` is what the model learned of it.
        sparse: S, float32, same shape and units: exactly 0 where nothing was split off.
        scores: float32, (rows,): root mean square of each row of S in scaled units; 0 for rows
            that were left whole.
        history: Dict of lists, one value a round: `loss` of the last epoch; `share` of the entries
            that were split off; `residual` and `change`, which `tolerance` is compared with.
    """

    low_dimensional: np.ndarray
    sparse: np.ndarray
    scores: np.ndarray
    history: dict[str, list[float]]


def soft_threshold(s: np.ndarray, lam: float) -> np.ndarray:
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


def group_threshold(s: np.ndarray, lam: float, axis: int | tuple[int, ...]) -> np.ndarray:
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
    model: Autoencoder,
    x: Any,
    *,
    penalty: float,
    norm: str = "l1",
    rounds: int = 10,
    tolerance: float = 1e-4,
    epochs: int = 1,
    batch_size: int | None = None,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    verbose: int | str = 0,
) -> RobustDecomposition:
    r"""Trains an autoencoder on rows whose anomalies are split off as it learns.

    $$\min_{\theta, S} \lVert L - g(f(L)) \rVert + \lambda \lVert S \rVert
    \quad \text{with} \quad s(x) = L + S$$

    over the scaled rows s(x), in rounds of two steps: `fit` trains the model on L = s(x) - S, then
    S becomes s(x) - g(f(L)) after thresholding. So what the model cannot reconstruct goes to S, and
    the model is no longer trained on it.

    `penalty` is in scaled units and means the same for tables of any size. With norm "l1" an entry
    is split off where its error is above the penalty, lambda = penalty; with "rows" a row where its
    root mean square error is, lambda = penalty sqrt(columns); with "columns" a column, lambda =
    penalty sqrt(rows). S is the error shrunk by the penalty, which stays in L.

    x = `low_dimensional` + `sparse` in the user's units, up to the rounding of float32; where
    `sparse` is 0, `low_dimensional` is equal to x to the bit.

    Args:
        model: A compiled `Autoencoder`; it is trained in place, further than it was.
        x: Rows in the user's units, shape (rows, *row_shape), in memory.
        penalty: Above 0, in scaled units; larger ones split off less. The errors of a model trained
            on similar rows show its size: `model.reconstruction_error` is the square of a row's.
        norm: "l1" for single entries, "rows" for whole rows that are anomalies, "columns" for
            features that are corrupted throughout.
        rounds: Rounds at most, at least 1.
        tolerance: Training stops after a round where the `residual`, the norm of
            s(x) - g(f(L)) - S, or the `change`, the norm of what g(f(L)) + S changed by, is smaller
            than this share of the norm of s(x).
        epochs: Epochs of each round, at least 1.
        batch_size: Rows a step, at least 1; None for 32, as in `fit`.
        validation_data: Rows, or a tuple (rows, targets), that `fit` evaluates after each epoch.
        callbacks: Callbacks of `fit`, in each round.
        verbose: 0 for silence; 1, or "auto", for a line a round; 2 for those of `fit` too.

    Returns:
        `RobustDecomposition`.

    Raises:
        ValueError: A number out of its range, an unknown norm, rows that do not fit the model, or
            weights that became NaN or infinite.
        TypeError: The rows are not an array.

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
        raise TypeError(f"x must be an array of rows in memory. Received: a {type(x).__name__}")
    names = names_of(x)
    x = model._checked_rows(x, "x", trains=True)
    model._check_float32(x)
    x = x.astype("float32")
    if names is not None and model.columns is None:
        model.columns = tuple(names)  # as `fit` would; validation rows may come in another order
    scaled = _over_rows(model, "scaled", scale, x)
    size = max(float(np.linalg.norm(scaled)), 1e-12)
    lines = 1 if isinstance(verbose, str) else verbose
    fit_arguments = {
        "epochs": epochs,
        "batch_size": batch_size,
        "validation_data": validation_data,
        "callbacks": callbacks,
        "verbose": max(0, lines - 1),
    }
    low, sparse, before = x, np.zeros_like(scaled), None
    history: dict[str, list[float]] = {"loss": [], "share": [], "residual": [], "change": []}
    for number in range(1, int(rounds) + 1):
        loss = model.fit(low, **fit_arguments).history["loss"][-1]
        learned = _over_rows(model, "scaled", scale, model.reconstruct(low))
        sparse = NORMS[norm](scaled - learned, penalty).astype("float32")
        low = np.where(sparse == 0, x, _over_rows(model, "unscaled", unscale, scaled - sparse))
        both = learned + sparse
        residual = float(np.linalg.norm(scaled - both)) / size
        change = math.inf if before is None else float(np.linalg.norm(both - before)) / size
        before = both
        share = float(np.mean(sparse != 0))
        for values, value in zip(history.values(), (loss, share, residual, change), strict=True):
            values.append(value)
        if lines:
            print(
                f"round {number} of {rounds}: loss {loss:.5f}, {share:.2%} of the entries split "
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
        raise ValueError(
            f"tolerance must be finite and at least 0. Received: tolerance={tolerance}"
        )
    if norm not in NORMS:
        raise ValueError(unknown("norm", norm, list(NORMS)))
    check_count("rounds", rounds)
