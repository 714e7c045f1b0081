"""Training again without the rows that are reconstructed worst."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from kerasae.validation import is_array, names_of

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


class Trimmed(NamedTuple):
    """What `trim_and_refit` did.

    Attributes:
        model: The new model, trained on the rows that were kept.
        kept: bool, (rows,): which rows those were.
        errors: float32, (rows,): the errors of all rows under the old model.
        cutoff: The error up to which rows were kept.
    """

    model: "Autoencoder"
    kept: np.ndarray
    errors: np.ndarray
    cutoff: float


def trim_and_refit(
    model: "Autoencoder",
    x: Any,
    quantile: float = 0.75,
    *,
    epochs: int = 1,
    batch_size: int | None = None,
    validation_data: Any = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    verbose: int | str = "auto",
) -> Trimmed:
    """Trains a fresh model on the rows that a trained one reconstructs best.

    A model that is trained on anomalies learns them as normal rows. Most of them are among the rows
    with the largest errors, which the second model is not trained on. It keeps the scaler of the
    first: adapted to the rows that are left, it would blow up columns that hardly vary in these.
    What trimming brings is measured in benchmarks/README.md, by the share of anomalies.

    Args:
        model: A trained, compiled `Autoencoder`; it stays as it is.
        x: The rows it was trained on, shape (rows, *row_shape).
        quantile: Share of the rows to keep, in (0, 1): those with the smallest errors.
        epochs: Epochs of the new model, at least 1.
        batch_size: Rows a step, at least 1; None for 32, as in `fit`.
        validation_data: Rows, or a tuple (rows, targets), that `fit` evaluates after each epoch.
        callbacks: Callbacks of `fit`.
        verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch; "auto" for 1.

    Returns:
        `Trimmed`: the new model, of the same architecture and with the same scaler, compiled in the
        same way; which rows were kept; all errors; the cutoff.

    Raises:
        ValueError: `quantile` lies outside (0, 1), `epochs` or `batch_size` is not a whole number
            of at least 1, or the rows do not fit the model.
        TypeError: The rows are not an array.

    Reference: Boehmke and Greenwell (2019), Hands-On Machine Learning with R, section 19.5; the
    idea of trimming, Rousseeuw (1984), Least median of squares regression.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> trimmed = trim_and_refit(model, x, verbose=0)
        >>> round(float(trimmed.kept.mean()), 2)
        0.75
    """
    if not 0 < quantile < 1:
        raise ValueError(f"quantile must lie in (0, 1). Received: quantile={quantile}")
    if not is_array(x):
        raise TypeError(f"x must be an array of rows in memory. Received: a {type(x).__name__}")
    names = names_of(x)
    x = model._checked_rows(x, "x", trains=True)
    errors = model.reconstruction_error(x)
    cutoff = float(np.quantile(errors, quantile))
    kept = errors <= cutoff
    fresh = _untrained_copy(model)
    if names is not None and fresh.columns is None:
        fresh.columns = tuple(names)
    fresh.fit(
        x[kept],
        epochs=epochs,
        batch_size=batch_size,
        validation_data=validation_data,
        callbacks=callbacks,
        verbose=verbose,
    )
    return Trimmed(fresh, kept, errors, cutoff)


def _untrained_copy(model):
    """A model of the same parts and the same scaler, compiled alike, its weights new."""
    with warnings.catch_warnings():
        # The copy's scaler has seen no rows yet, and seems to hold constant columns.
        warnings.simplefilter("ignore", UserWarning)
        copy = type(model).from_config(model.get_config())
    if hasattr(copy.scaler, "adapt"):
        numbers: dict[str, Any] = {}
        model.scaler.save_own_variables(numbers)
        copy.scaler.load_own_variables(numbers)
    copy.compile_from_config(model.get_compile_config())
    return copy
