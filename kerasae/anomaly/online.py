"""A model that is kept up with rows as they come."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.anomaly.scores import calibrate, threshold_rule
from kerasae.layers.rolling import follow_rows
from kerasae.validation import check_count, is_array, names_of

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


def partial_fit(
    model: "Autoencoder",
    x: Any,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    memory: int = 10_000,
    held_out: float = 0.2,
    window: int = 1000,
    threshold: str | float = "p99",
    normal: Any = None,
    verbose: int | str = 0,
) -> dict[str, list[float]]:
    """Goes on with a model on rows that have just come: scaler, weights and calibration.

    1. The scaler's mean and spread take the new rows in; older ones count less and less. Scalers of
       fixed numbers and of quantiles stay as they are.
    2. The weights take further steps of training, the optimizer goes on where it was.
    3. Each row is held out with a probability, and not trained on. The latest of these are the
       window, whose scores by the weights of now give the threshold and the p-values of
       `kerasae.anomaly.score`, and what `drift` compares with.

    All of it is in the model, and in its file: `model.save`, `load_model` and `partial_fit` go on
    as if nothing had happened. The rows of the window are data of yours: whoever has the model has
    them. `fit` and `calibrate` start anew.

    Args:
        model: A compiled `Autoencoder`, trained or new, whose scaler is adapted.
        x: New rows, array or table, (rows, *row_shape). What is odd among them is learnt, too:
            leave out what is known to be.
        epochs: Passes over them, at least 1.
        batch_size: Rows a step, at least 1.
        memory: Rows that all before count as in the scaler's statistics, at most: fewer follow
            faster. At least 1.
        held_out: Share of the rows that goes into the window instead, in [0, 1).
        window: Rows in it, at least 1.
        threshold: As in `calibrate`.
        normal: Normal rows that the model was not trained on, to begin the window with; or None.
        verbose: As in `fit`.

    Returns:
        Loss and metrics of each epoch by name; empty where all rows were held out.

    Raises:
        ValueError: Rows that do not fit the model, an argument that cannot be, or a model that is
            not compiled or whose scores have parts.
        TypeError: The rows are not in memory.

    Reference: Losing, Hammer and Wersing (2018), Incremental on-line learning: a review and
    comparison of state of the art algorithms; Gama et al. (2014), A survey on concept drift
    adaptation, for windows that slide.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> for rows in np.array_split(x, 3):
        ...     logs = partial_fit(model, rows)
        >>> bool(kerasae.anomaly.score(model, x).is_anomaly.mean() < 0.05)
        True
    """
    counts = {"epochs": epochs, "batch_size": batch_size, "memory": memory, "window": window}
    for name, count in counts.items():
        check_count(name, count)
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out must lie in [0, 1). Received: held_out={held_out}")
    threshold_rule(threshold)
    _check(model, x)
    if model.columns is None and (names := names_of(x)) is not None:
        model.columns = tuple(names)
    rows = model._checked_rows(x, "x", trains=True)
    kept, guard = model.anomaly.window, model.anomaly.guard
    if normal is not None:
        kept = model._checked_rows(normal, "normal")
    is_held = np.random.default_rng(model._next_order_seed()).random(len(rows)) < held_out
    held, train = rows[is_held], rows[~is_held]
    model._rolling = follow_rows(model.scaler, rows, model._rolling, memory=memory)
    logs: dict[str, list[float]] = {}
    if len(train):
        history = model.fit(train, epochs=epochs, batch_size=batch_size, verbose=verbose)
        logs = history.history
    kept = held if kept is None else np.concatenate([kept, held])
    if len(kept := kept[-window:]):
        calibrate(model, kept, threshold, guard)
        model.anomaly.window = kept
    return logs


def _check(model, x):
    if not is_array(x):
        raise TypeError(f"x must be rows in memory. Received: a {type(x).__name__}")
    if not model.compiled:
        raise ValueError(
            f"the model must be compiled. Received: {model.name}, not compiled. Try model.compile()"
        )
    if model.anomaly.parts is not None:
        raise ValueError(
            "the model must have scores without parts, which are learnt of all training rows. "
            f"Received: {model.name}. Try Detector().fit(recent_rows)"
        )
