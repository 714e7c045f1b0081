"""Which columns make rows score high, in words."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np

from kerasae.anomaly.maps import error_maps, region_name, region_of
from kerasae.anomaly.worst_columns import written_cells
from kerasae.models import Autoencoder
from kerasae.report.findings import Findings


class Share(NamedTuple):
    """What one column adds to the score of a row.

    Attributes:
        column: Its name.
        share: Of the score, in [0, 1].
        value: What the row has there, as text.
        expected: What the model makes of the row there, as text.
    """

    column: str
    share: float
    value: str
    expected: str

    def __str__(self) -> str:
        return f"{self.column} is {self.value}, expected {self.expected} ({self.share:.0%})"


def explanations(
    model: Autoencoder, found: Findings, which: np.ndarray, count: int = 3
) -> list[list[Share]]:
    """The columns that add most to the score of each row.

    Args:
        model: The `Autoencoder`.
        found: What was found of the rows.
        which: Positions of the rows.
        count: How many columns.

    Returns:
        A list of `Share` for each row, the largest first.
    """
    added, expected = _contributions(model, found, which)
    if len(model.row_shape) == 3:
        return _regions(model, found.rows[which], added, expected)
    values = found.rows[which].reshape(len(which), -1)
    expected = expected.reshape(len(which), -1)
    rows = []
    for i, row in enumerate(added):
        total = max(float(row.sum()), 1e-30)
        worst = np.argsort(-row, kind="stable")[:count]
        rows.append(
            [
                Share(
                    found.names[j],
                    float(row[j]) / total,
                    cell_text(model, j, values[i, j]),
                    cell_text(model, j, expected[i, j]),
                )
                for j in worst
            ]
        )
    return rows


def _regions(model, images, added, expected):
    """Of each image the region that adds most to its score, as a list of one `Share`."""
    found = []
    for image, errors, made in zip(images, added, expected, strict=True):
        smoothed = error_maps(errors[None], model.row_shape)[0]
        inside = region_of(smoothed)
        if inside is None:
            found.append([])
            continue
        cells = [float(one.reshape(model.row_shape)[inside].mean()) for one in (image, made)]
        share = errors.reshape(model.row_shape)[inside].sum() / max(float(errors.sum()), 1e-30)
        value, normal = (f"{cell:.5g} in the mean" for cell in cells)
        found.append([Share(region_name(*inside), float(share), value, normal)])
    return found


def _contributions(model, found, which):
    """What each column adds to the scores, (rows, columns), and what was to be expected."""
    if getattr(model.anomaly, "parts", None) is not None and model._is_calibrated():
        from kerasae import anomaly  # noqa: PLC0415

        explained = anomaly.explain(model, found.rows[which])
        return explained.contributions.reshape(len(which), -1), explained.expected
    return found.errors[which], found.reconstructions[which]


def cell_text(model: Autoencoder, column: int, value: Any) -> str:
    """A value of a row as people write it; of a table, the cell that a code stands for."""
    if model.schema is not None:
        [cell] = written_cells(model.schema.columns[column], np.array([value]))
        if cell is None:
            return "missing"
        if isinstance(cell, datetime):
            nearest = cell + timedelta(seconds=30)  # a coding of days is no whole minute
            return str(nearest)[:16].removesuffix(" 00:00")
        return f"{cell:.5g}" if isinstance(cell, float) else str(cell)
    return f"{float(value):.5g}"
