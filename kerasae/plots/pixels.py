"""Rows as pixels of small image files, for pages that show many of them."""

import io

import numpy as np

from kerasae.plots.colours import DIVERGING

# Larger images are shown as small as this: a page holds dozens of them.
MOST_PIXELS = 128


def image_png(
    row: np.ndarray, image_shape: tuple[int, ...], low: float, high: float, signed: bool = False
) -> bytes:
    r"""A row as a PNG of its own size, or of 128 pixels on its longer side.

    Three channels are drawn as red, green and blue, other numbers of them as their mean. A shape
    without channels is that of a drawing, dark where its values are high.

    Args:
        row: Values, any shape that fits.
        image_shape: (height, width) or (height, width, channels).
        low: Value at the lower end of the colours.
        high: Value at the upper end.
        signed: Whether the values are differences, in two colours, white where they are 0.

    Returns:
        The file's bytes.

    Example:
        >>> image_png(np.zeros(4), (2, 2), 0, 1)[:4]
        b'\x89PNG'
    """
    from PIL import Image  # noqa: PLC0415  # matplotlib needs it, too

    values = np.asarray(row, "float64").reshape(image_shape)
    if values.ndim == 3 and (signed or values.shape[2] != 3):
        values = values.mean(axis=2)
    shares = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    if signed:
        import matplotlib as mpl  # noqa: PLC0415

        pixels = mpl.colormaps[DIVERGING](shares, bytes=True)[..., :3]
    else:
        dark = len(image_shape) == 2
        pixels = np.round(255 * (1 - shares if dark else shares)).astype("uint8")
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((MOST_PIXELS, MOST_PIXELS))
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()
