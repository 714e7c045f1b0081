"""Rows drawn as images."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

ImageShape = tuple[int, ...]


def check_image_shape(image_shape: ImageShape | None, columns: int) -> None:
    """Refuses a shape that a row does not fill; None, for rows that are not images, passes.

    Args:
        image_shape: (height, width) or (height, width, channels), or None.
        columns: How many values a row has.

    Raises:
        ValueError: The product is not `columns`.
    """
    if image_shape is None:
        return
    if len(image_shape) not in (2, 3) or math.prod(image_shape) != columns:
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, channels) of {columns} "
            f"columns. Received: image_shape={tuple(image_shape)}"
        )


def draw_image(
    axes: Axes,
    row: np.ndarray,
    image_shape: ImageShape,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str | None = None,
) -> AxesImage:
    """Draws one row without ticks.

    Three or four channels are drawn as red, green, blue and opacity, other numbers of them as their
    mean. A shape without channels is that of a drawing, dark where its values are high; one with
    channels is that of a photograph, light where they are.

    Args:
        axes: Where to draw.
        row: Values, shape (columns,).
        image_shape: (height, width) or (height, width, channels).
        vmin: Value at the lower end of the colours, or None for the row's smallest.
        vmax: Value at the upper end, or None for the row's largest.
        cmap: Colours of a single channel, by matplotlib's name, or None for shades of grey.

    Returns:
        The image, for a colour bar.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    pixels = row.reshape(image_shape)
    vmin = float(row.min()) if vmin is None else vmin
    vmax = float(row.max()) if vmax is None else vmax
    if pixels.ndim == 3 and pixels.shape[2] not in (3, 4):
        pixels = pixels.mean(axis=2)
    if pixels.ndim == 3:
        return axes.imshow(np.clip((pixels - vmin) / ((vmax - vmin) or 1.0), 0, 1))
    cmap = cmap or ("gray_r" if len(image_shape) == 2 else "gray")
    return axes.imshow(pixels, vmin=vmin, vmax=vmax, cmap=cmap)
