"""Rows drawn as images."""

import math


def check_image_shape(image_shape, columns):
    """Refuses a shape that a row does not fill; None, for rows that are no images, passes.

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


def draw_image(axes, row, image_shape, **limits):
    """Draws one row, dark where its values are high, without ticks.

    Args:
        axes: Where to draw.
        row: Values, shape (columns,).
        image_shape: (height, width).
        **limits: `vmin`, `vmax` and `cmap`, as in `Axes.imshow`.

    Returns:
        The image, for a colour bar.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    return axes.imshow(row.reshape(image_shape), **{"cmap": "gray_r", **limits})
