"""Weights drawn as images."""

import math
from typing import Any

import numpy as np

from kerasae.plots.arrays import finite
from kerasae.plots.colours import DIVERGING
from kerasae.plots.figure import Figure
from kerasae.plots.images import ImageShape, check_image_shape, draw_image


def filters(weights: Any, image_shape: ImageShape, count: int = 25) -> Figure:
    """Draws what each coding adds to a reconstruction, the strongest first.

    Args:
        weights: Weights from codings to columns, shape (codings, columns), the kernel of a
            decoder's output for example; a hidden layer's kernel is transposed first.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds. Of
            three channels, grey is a weight of 0, and the bar is left out.
        count: How many to draw at most, those of the largest norm.

    Returns:
        A `matplotlib.figure.Figure`; each image has the coding's number, from 0, over it, and all
        share one scale, symmetric about 0.

    Raises:
        ValueError: The weights are not finite or do not fit the image, or the count is below 1.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> figure = filters(np.eye(4), (2, 2))
        >>> [axes.get_title() for axes in figure.axes[:4]]
        ['0', '1', '2', '3']
    """
    weights = finite("weights", weights, ndim=2)
    check_image_shape(image_shape, weights.shape[1])
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: count={count}")
    # Stable, so that equal norms keep their order.
    strongest = np.argsort(-np.linalg.norm(weights, axis=1), kind="stable")[:count]
    across = math.ceil(math.sqrt(len(strongest)))
    down = math.ceil(len(strongest) / across)
    figure = Figure(figsize=(1.1 * across + 1, 1.25 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False).ravel()
    limit = float(np.abs(weights[strongest]).max()) or 1.0
    for axes, coding in zip(grid, strongest, strict=False):
        image = draw_image(
            axes, weights[coding], image_shape, cmap=DIVERGING, vmin=-limit, vmax=limit
        )
        axes.set_title(str(coding), fontsize=8, pad=2)
    for axes in grid[len(strongest) :]:
        axes.remove()
    if image_shape[2:] != (3,):
        place: dict[str, Any] = {"ax": list(grid[: len(strongest)]), "fraction": 0.05, "pad": 0.02}
        figure.colorbar(image, label="weight", **place)
    return figure
