"""The leaderboard of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.ticker import MaxNLocator

from kerasae.plots.arrays import finite, one_a_row
from kerasae.plots.colours import BLUE, GREEN, ORANGE, PURPLE, YELLOW
from kerasae.plots.figure import Figure
from kerasae.plots.text import LITERAL, literal, literal_legend

STYLES = ((ORANGE, "D", "--"), (GREEN, "s", ":"), (PURPLE, "^", "-."), (YELLOW, "v", "-"))


def leaderboard(
    names: Sequence[Any],
    mse: Any,
    references: Mapping[str, Any] | None = None,
    spread: Any = None,
) -> Figure:
    """Draws the models of a sweep by their mean squared error, the best on top.

    Args:
        names: Name of each model.
        mse: Mean squared error of each, on the scaled values.
        references: Up to four errors to compare with, by name: one number is drawn as a line, one
            number a model (None or NaN where it has none) as marks.
        spread: Half-width of each model's error bar, its standard deviation over seeds for example,
            or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The lists differ in length, are empty or not finite, or there are more than four
            references.

    Example:
        >>> figure = leaderboard(["wide", "deep"], [0.2, 0.1], {"PCA": 0.15})
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['deep', 'wide']
    """
    mse = finite("mse", mse, ndim=1)
    labels: Any = one_a_row("names", names, len(mse))
    deviations = one_a_row("spread", spread, len(mse))
    references = references or {}
    if len(references) > len(STYLES):
        raise ValueError(f"references must be at most four. Received: {len(references)} references")
    order = np.argsort(mse, kind="stable")
    places = np.arange(len(mse))
    figure = Figure(figsize=(8, 1.4 + 0.45 * len(mse)), layout="constrained")
    axes = figure.add_subplot()
    entries = [
        _reference(axes, name, values, order, style)
        for (name, values), style in zip(references.items(), STYLES, strict=False)
    ]
    measured = axes.errorbar(
        mse[order],
        places,
        xerr=None if deviations is None else deviations[order],
        fmt="o",
        color=BLUE,
        capsize=3,
    )
    entries.append((measured, "measured" if deviations is None else "measured, with its spread"))
    for place, value in zip(places, mse[order], strict=True):
        _write(axes, value, place)
    axes.set_yticks(places, [literal(name) for name in labels[order]], **LITERAL)
    axes.set_ylim(len(mse) - 0.4, -0.7)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("mean squared error on the scaled values")
    axes.grid(alpha=0.3)
    literal_legend(figure, entries, loc="outside upper center", ncols=3)
    return figure


def _reference(axes, name, values, order, style):
    """Draws a reference; gives the artist and the text for the legend."""
    color, marker, line = style
    values = np.asarray(values, "float64")
    if not values.ndim:
        value = float(finite(name, values))
        text = f"{literal(name)} {value:.5f}"
        return axes.axvline(value, color=color, ls=line, label=text), text
    values = one_a_row(name, values, len(order))[order]
    style = {"color": color, "marker": marker, "ls": "", "mfc": "none"}
    return axes.plot(values, np.arange(len(order)), label=name, **style)[0], literal(name)


def _write(axes, value, place):
    axes.annotate(
        f"{value:.5f}",
        (value, place),
        (0, 6),
        textcoords="offset points",
        ha="center",
        size=9,
        color=BLUE,
        path_effects=[patheffects.withStroke(linewidth=3, foreground="white")],
    )
