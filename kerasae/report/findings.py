"""What a report is about: a sample of rows, and what a model makes of them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from kerasae.layers.base import walk
from kerasae.layers.scaling import scale
from kerasae.models import Autoencoder

# Rows that a report looks at, drawn by a fixed seed, and fewer where they are so wide that they
# would have more values than this: it takes seconds whatever the data.
MOST_ROWS, MOST_VALUES = 2000, 20_000_000


class Findings(NamedTuple):
    """A sample of rows, and what a model makes of them.

    Attributes:
        rows: The rows, float32, (rows, *row_shape), in the user's units.
        total: How many rows the sample was drawn from.
        numbers: Number of each row among these.
        labels: One label a row as text, or None.
        names: Names of the columns, one for each value of a row.
        image_shape: Shape of the image that a row holds, or None.
        codings: (rows, codings).
        reconstructions: (rows, *row_shape), in the user's units.
        errors: Error of each value, (rows, columns), on the scaled values.
        scores: Anomaly score of each row, or its reconstruction error.
        p_values: p-value of each row where the model is calibrated, or None.
        pca: Mean error of each column of PCA with as many components, or None.
    """

    rows: np.ndarray
    total: int
    numbers: np.ndarray
    labels: np.ndarray | None
    names: list[str]
    image_shape: tuple[int, ...] | None
    codings: np.ndarray
    reconstructions: np.ndarray
    errors: np.ndarray
    scores: np.ndarray
    p_values: np.ndarray | None
    pca: np.ndarray | None

    @property
    def sampled(self) -> str:
        """What the rows are, in words."""
        if len(self.rows) == self.total:
            return f"all {self.total:,} rows that were kept for testing or given"
        return f"a sample of {len(self.rows):,} of {self.total:,} rows, drawn by a fixed seed"

    @property
    def worst(self) -> np.ndarray:
        """Positions of the rows in the sample, the highest score first."""
        return np.argsort(-self.scores, kind="stable")


def find(
    model: Autoencoder,
    x: Any,
    labels: Any = None,
    image_shape: Sequence[int] | None = None,
    pca: np.ndarray | None = None,
) -> Findings:
    """Looks at a sample of rows.

    Args:
        model: An `Autoencoder`.
        x: Rows in the user's units.
        labels: One label a row, or None.
        image_shape: Shape of the image that a row holds; None for that of the model's rows, if they
            are images.
        pca: Mean error of each column of PCA with as many components, (columns,), or None.

    Returns:
        `Findings`.
    """
    rows = np.asarray(model._checked_rows(x, "x"))
    total, numbers = len(rows), np.arange(len(rows))
    widest = max(math.prod(model.row_shape), math.prod(model.encoder.output_shape[1:]))
    most = max(1, min(MOST_ROWS, MOST_VALUES // widest))
    if total > most:
        numbers = np.sort(np.random.default_rng(0).choice(total, most, replace=False))
        rows = rows[numbers]
    outputs = _outputs(model, rows)
    errors = outputs["errors"].reshape(len(rows), -1)
    if image_shape is None and len(model.row_shape) == 3:
        image_shape = _drawn_shape(model.row_shape)
    return Findings(
        rows=rows.astype("float32"),
        total=total,
        numbers=numbers,
        labels=None if labels is None else np.asarray(labels)[numbers].astype(str),
        names=column_names(model, math.prod(model.row_shape), image_shape),
        image_shape=None if image_shape is None else tuple(map(int, image_shape)),
        codings=outputs["codings"].reshape(len(rows), -1),
        reconstructions=outputs["reconstructions"],
        errors=errors,
        scores=outputs.get("anomaly_score", errors.mean(axis=1)),
        p_values=outputs.get("p_value"),
        pca=pca,
    )


def _outputs(model, rows):
    """All that is looked at, in one compiled pass."""
    score = model._endpoints.get("anomaly_score", lambda _: {})

    def function(x):
        scores = score(x)
        return {
            "codings": model._codings(x),
            "errors": model._errors(x),
            "reconstructions": model(x),
            **{name: scores[name] for name in ("anomaly_score", "p_value") if name in scores},
        }

    try:
        return model._streams.run("report", function, rows, batch_size=256)
    finally:
        model._streams.forget("report")  # it holds the scores of this calibration


def _drawn_shape(shape):
    """The shape of an image as `plots` takes it: without channels where there is one."""
    shape = tuple(int(size) for size in shape)
    return shape[:2] if shape[2:] == (1,) else shape


def column_names(
    model: Autoencoder, count: int, image_shape: Sequence[int] | None = None
) -> list[str]:
    """A name for each value of a row: its column's, its pixel's, its step's, or its number's."""
    if model.columns is not None and len(model.columns) == count:
        return [str(name) for name in model.columns]
    if image_shape is not None:
        places = np.ndindex(*image_shape)
        return [f"pixel {', '.join(map(str, place[:2]))}" for place in places]
    if len(model.row_shape) == 2:
        steps, channels = model.row_shape
        names = list(map(str, model.columns or range(channels)))
        return [f"{names[i]} at step {step}" for step in range(steps) for i in range(channels)]
    return [f"column {i}" for i in range(count)]


def scaled(model: Autoencoder, x: Any) -> np.ndarray:
    """Rows on the scale of the loss, where columns of different units can share an axis."""
    return np.asarray(ops.convert_to_numpy(scale(model.scaler, x)))


def target_activation(model: Autoencoder) -> float | None:
    """The target rho of the model's sparsity penalty, or None."""
    found = [getattr(layer, "rho", None) for layer in walk(model.encoder)]
    return next((float(rho) for rho in found if isinstance(rho, int | float)), None)
