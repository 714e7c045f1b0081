"""Rows drawn as images."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage


def check_image_shape(image_shape: tuple[int, int] | None, columns: int) -> None:
    """Refuses a shape that a row does not fill; None, for rows that are not images, passes.

    Args:
        image_shape: (height, width), or None.
        columns: How many values a row has.

    Raises:
        ValueError: Height times width is not `columns`.
    """
    if image_shape is not None and (len(image_shape) != 2 or math.prod(image_shape) != columns):
        raise ValueError(
            f"image_shape must be (height, width) of {columns} columns. "
            f"Received: image_shape={image_shape}"
        )


def draw_image(
    axes: Axes,
    row: np.ndarray,
    image_shape: tuple[int, int],
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str = "gray_r",
) -> AxesImage:
    """Draws one row, dark where its values are high, without ticks.

    Args:
        axes: Where to draw.
        row: Values, shape (columns,).
        image_shape: (height, width).
        vmin: Value at the lower end of the colours, or None for the row's smallest.
        vmax: Value at the upper end, or None for the row's largest.
        cmap: Colours, by matplotlib's name.

    Returns:
        The image, for a colour bar.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(row.reshape(image_shape), vmin=vmin, vmax=vmax, cmap=cmap)
