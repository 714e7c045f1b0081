"""The columns that make a row an anomaly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Patch

from kerasae.plots.arrays import finite
from kerasae.plots.colours import BLUE, ORANGE
from kerasae.plots.figure import Figure
from kerasae.plots.text import LITERAL, literal


def worst_columns(
    columns: Any,
    values: Any,
    expected: Any,
    errors: Any,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draws the errors of the worst columns of rows as bars, with value and expected value.

    Args:
        columns: Names of the columns, shape (rows, top), as `kerasae.anomaly.explain` gives them;
            five rows at most are legible.
        values: The cells, same shape, in the user's units.
        expected: What the model expects instead, same shape.
        errors: Relative errors with their sign, same shape.
        titles: One text a row, or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes differ, there are no rows, or errors are not finite.

    Example:
        >>> figure = worst_columns([["age"]], [[210]], [[31.5]], [[9.0]])
        >>> figure.axes[0].get_yticklabels()[0].get_text()
        'age: 210, expected 31.5'
    """
    errors = finite("errors", errors, 2)
    texts = [np.asarray(one, object) for one in (columns, values, expected)]
    if any(one.shape != errors.shape for one in texts):
        raise ValueError(
            "columns, values, expected and errors must have one shape. Received: shapes "
            f"{', '.join(str(one.shape) for one in (*texts, errors))}"
        )
    rows, top = errors.shape
    titles = None if titles is None else list(titles)
    figure = Figure(figsize=(8, 0.7 + rows * (0.5 + 0.32 * top)), layout="constrained")
    grid = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
    for i, axes in enumerate(grid):
        sizes = np.abs(errors[i])
        colours = [ORANGE if error < 0 else BLUE for error in errors[i]]
        axes.barh(np.arange(top), sizes, color=colours)
        cells = zip(*(one[i] for one in texts), strict=True)
        labels = [f"{shown(c)}: {shown(v)}, expected {shown(e)}" for c, v, e in cells]
        axes.set_yticks(np.arange(top), [literal(label) for label in labels], **LITERAL)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        if titles is not None:
            axes.set_title(literal(titles[i]), fontsize=10, loc="left", **LITERAL)
    grid[-1].set_xlabel("error, 1 being usual for the column")
    legend = {"above what is expected, or an unlikely level": BLUE, "below": ORANGE}
    handles = [Patch(color=colour, label=name) for name, colour in legend.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def shown(cell: Any) -> str:
    """A cell as a picture or a table shows it, in at most 40 characters."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return "missing"
    if isinstance(cell, float | np.floating):
        number = float(cell)
        return f"{number:.4g}" if abs(number) < 1e4 or abs(number) >= 1e15 else f"{number:.0f}"
    text = str(cell)
    return text if len(text) <= 40 else text[:37] + "..."
