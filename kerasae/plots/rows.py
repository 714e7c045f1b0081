"""Rows beside their reconstructions."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasae.plots.arrays import one_a_row, same_rows
from kerasae.plots.colours import BLUE, GREY, ORANGE
from kerasae.plots.figure import Figure
from kerasae.plots.images import ImageShape, check_image_shape, draw_image
from kerasae.plots.text import LITERAL, literal

STYLES = {
    "corrupted": {"color": GREY, "lw": 0.8},
    "original": {"color": BLUE},
    "reconstruction": {"color": ORANGE, "ls": "--"},
}


def reconstructions(
    originals: Any,
    reconstructed: Any,
    image_shape: ImageShape | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draws rows over their reconstructions.

    Args:
        originals: Rows, shape (rows, columns), any units; ten at most are legible.
        reconstructed: Their reconstructions, same shape and units.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds;
            None draws a row as a curve over its columns.
        titles: One text a row, drawn over it as it is, or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes differ, do not fit the image or the titles, there are no rows, or
            values are not finite.

    Example:
        >>> rows = np.zeros((4, 64))
        >>> len(reconstructions(rows, rows, image_shape=(8, 8)).axes)
        8
    """
    originals, reconstructed = same_rows(originals=originals, reconstructed=reconstructed)
    return _draw({"original": originals, "reconstruction": reconstructed}, image_shape, titles)


def corrupted_triples(
    originals: Any,
    corrupted: Any,
    reconstructed: Any,
    image_shape: ImageShape | None = None,
    titles: Sequence[str] | None = None,
) -> Figure:
    """Draws rows, the same with a corruption, and the reconstructions of the corrupted.

    Args:
        originals: Clean rows, shape (rows, columns), any units; ten at most are legible.
        corrupted: The same rows with noise. As images they are drawn on the scale of the originals,
            where a value outside looks like their darkest or lightest.
        reconstructed: Reconstructions of the corrupted rows, same shape and units.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds;
            None draws a row as a curve over its columns.
        titles: One text a row, drawn over it as it is, or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes differ, do not fit the image or the titles, there are no rows, or
            values are not finite.

    Example:
        >>> rows = np.zeros((4, 64))
        >>> len(corrupted_triples(rows, rows, rows, image_shape=(8, 8)).axes)
        12
    """
    originals, corrupted, reconstructed = same_rows(
        originals=originals, corrupted=corrupted, reconstructed=reconstructed
    )
    kinds = {"original": originals, "corrupted": corrupted, "reconstruction": reconstructed}
    return _draw(kinds, image_shape, titles)


def images(rows: Any, image_shape: ImageShape, across: int = 10) -> Figure:
    """Draws rows as images, line by line.

    Args:
        rows: Rows, shape (rows, columns) or (rows, height, width, 1), any units.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds.
        across: Images a line, at least 1.

    Returns:
        A `matplotlib.figure.Figure`; all images share one scale.

    Raises:
        ValueError: The rows do not fill the images, there are none, values are not finite, or
            `across` is below 1.

    Example:
        >>> len(images(np.zeros((12, 64)), (8, 8)).axes)
        12
    """
    if across < 1:
        raise ValueError(f"across must be at least 1. Received: across={across}")
    (rows,) = same_rows(rows=rows)
    check_image_shape(image_shape, rows.shape[1])
    down = -(-len(rows) // across)
    figure = Figure(figsize=(0.8 * across, 0.8 * down), layout="constrained")
    limits = {"vmin": rows.min(), "vmax": rows.max()}
    for i, row in enumerate(rows):
        draw_image(figure.add_subplot(down, across, i + 1), row, image_shape, **limits)
    return figure


def _draw(kinds, image_shape, titles):
    count, columns = kinds["original"].shape
    check_image_shape(image_shape, columns)
    titles = one_a_row("titles", None if titles is None else list(titles), count)
    figure = _curves(kinds) if image_shape is None else _images(kinds, image_shape)
    for axes, title in zip(figure.axes, () if titles is None else titles, strict=False):
        axes.set_title(literal(title), fontsize=10, **LITERAL)
    return figure


def _images(kinds, image_shape):
    originals = kinds["original"]
    count, height = len(originals), 0.3 + 1.2 * len(kinds)
    figure = Figure(figsize=(max(3.5, 1.1 * count + 0.6), height), layout="constrained")
    grid = figure.subplots(len(kinds), count, squeeze=False)
    limits = {"vmin": originals.min(), "vmax": originals.max()}
    for line, (kind, rows) in zip(grid, kinds.items(), strict=True):
        for axes, row in zip(line, rows, strict=True):
            draw_image(axes, row, image_shape, **limits)
        line[0].set_ylabel(kind)
    return figure


def _curves(kinds):
    count, columns = kinds["original"].shape
    figure = Figure(figsize=(8, 1 + 1.2 * count), layout="constrained")
    grid = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for i, axes in enumerate(grid):
        # The noisy curve first: it would hide the others.
        for kind in sorted(kinds):
            axes.plot(np.arange(columns), kinds[kind][i], label=kind, **STYLES[kind])
        axes.grid(alpha=0.3)
    figure.legend(handles=grid[0].get_lines(), loc="outside upper right", ncols=len(kinds))
    grid[-1].set_xlabel("column")
    figure.supylabel("value")
    return figure
