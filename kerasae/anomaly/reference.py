"""What is kept of normal rows for `drift`: their errors by column and their codings."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

# Of wide rows fewer are kept, as the file of the model holds them.
REFERENCE_ROWS, REFERENCE_VALUES, LEAST_ROWS = 1000, 2**22, 100


class Reference(NamedTuple):
    """Errors and codings of rows, by the last axis: maps and windows are averaged over the others.

    Attributes:
        errors: float32, (rows, columns): squared errors on the scaled values; of images one column
            a channel.
        codings: float32, (rows, codings).
    """

    errors: np.ndarray
    codings: np.ndarray

    def save_to(self, store: Any) -> None:
        """Writes the arrays under their names, behind `reference_`."""
        for name, value in self._asdict().items():
            store[f"reference_{name}"] = value

    @classmethod
    def load_from(cls, saved: Mapping[str, np.ndarray]) -> "Reference | None":
        """Reads what `save_to` wrote, or None where nothing was.

        Raises:
            ValueError: Numbers that are not finite, or of different numbers of rows.
        """
        if "reference_errors" not in saved:
            return None
        found = cls(*(np.asarray(saved[f"reference_{name}"], "float32") for name in cls._fields))
        same = found.errors.ndim == found.codings.ndim == 2 and len(found.errors) == len(
            found.codings
        )
        if not (same and all(np.isfinite(one).all() for one in found)):
            raise ValueError(
                f"a reference of shapes {found.errors.shape} and {found.codings.shape}"
            )
        return found


def errors_and_codings(model: Any, x: Any) -> dict[str, Any]:
    """The two parts of a `Reference` of a tensor of rows, for compiled functions."""
    errors, codings = model._errors(x), model._codings(x)
    return {"errors": _by_last_axis(errors), "codings": _by_last_axis(codings)}


def _by_last_axis(tensor):
    axes = tuple(range(1, len(tensor.shape) - 1))
    return ops.mean(tensor, axis=axes) if axes else tensor


def draw_reference(model: Any, rows: np.ndarray, batch_size: int = 256, seed: int = 0) -> Reference:
    """A `Reference` of some rows, drawn at random.

    Args:
        model: An `Autoencoder`.
        rows: Rows as `_checked_rows` gives them, (rows, *row_shape).
        batch_size: Rows a step.
        seed: Integer, of the draw.

    Returns:
        `Reference` of at most 1,000 rows.
    """
    count = max(LEAST_ROWS, min(REFERENCE_ROWS, REFERENCE_VALUES // rows[0].size))
    drawn = rows[draw(len(rows), count, seed)]
    # Not compiled, which would take longer than so few rows do.
    parts = [
        errors_and_codings(model, ops.convert_to_tensor(drawn[first : first + batch_size]))
        for first in range(0, len(drawn), batch_size)
    ]
    return Reference(
        *(
            np.concatenate([ops.convert_to_numpy(part[name]) for part in parts]).astype("float32")
            for name in Reference._fields
        )
    )


def draw(rows: int, most: int, seed: int) -> np.ndarray:
    """Numbers of rows, in order: all, or at most so many drawn at random."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
