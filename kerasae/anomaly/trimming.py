"""Training anew without the rows that are reconstructed worst."""

import warnings
from typing import NamedTuple

import keras
import numpy as np


class Trimmed(NamedTuple):
    """What `trim_and_refit` did.

    Attributes:
        model: The new model, trained on the rows that were kept.
        kept: bool, (rows,): which rows those were.
        errors: float32, (rows,): the errors of all rows under the old model.
        cutoff: The error up to which rows were kept.
    """

    model: keras.Model
    kept: np.ndarray
    errors: np.ndarray
    cutoff: float


def trim_and_refit(model, x, quantile=0.75, **fit_arguments):
    """Trains a fresh model on the rows that a trained one reconstructs best.

    Rows that are anomalies themselves spoil what a model takes for normal. They are reconstructed
    worst, so that a second model, trained without the upper tail of the errors, is free of most.

    Args:
        model: A trained, compiled `Autoencoder`; it stays as it is.
        x: The rows it was trained on, shape (rows, *row_shape).
        quantile: Share of the rows to keep, in (0, 1): those with the smallest errors.
        **fit_arguments: Arguments of `fit` for the new model, epochs and batch_size for example.

    Returns:
        `Trimmed`: the new model, of the same architecture, compiled in the same way, its scaler
        adapted to the rows that were kept; which rows those were; all errors; the cutoff.

    Raises:
        ValueError: `quantile` lies outside (0, 1), or the rows do not fit the model.

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
    x = model._checked_rows(x, "x")
    errors = model.reconstruction_error(x)
    cutoff = float(np.quantile(errors, quantile))
    kept = errors <= cutoff
    fresh = _untrained_copy(model, x[kept])
    fresh.fit(x[kept], **fit_arguments)
    return Trimmed(fresh, kept, errors, cutoff)


def _untrained_copy(model, x):
    """A model of the same parts, compiled alike, its scaler adapted to x and its weights drawn."""
    with warnings.catch_warnings():
        # The copy's scaler has seen no rows yet, and seems to hold constant columns.
        warnings.simplefilter("ignore", UserWarning)
        copy = type(model).from_config(model.get_config())
    if hasattr(copy.scaler, "adapt"):
        copy.scaler.adapt(x)
    copy.compile_from_config(model.get_compile_config())
    return copy
