"""Images under a map of where they are anomalous."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from kerasae.plots.arrays import finite, one_a_row
from kerasae.plots.figure import Figure
from kerasae.plots.images import draw_image
from kerasae.plots.text import LITERAL, literal


def anomaly_maps(
    images: Any,
    maps: Any,
    titles: Sequence[str] | None = None,
    *,
    limit: float | None = None,
    light_is_high: bool = True,
) -> Figure:
    """Draws images, and the same in grey under their anomaly maps.

    Args:
        images: Images, shape (rows, height, width) or (rows, height, width, channels), any units;
            ten at most are legible.
        maps: What `kerasae.anomaly.anomaly_maps` gives for them, shape (rows, height, width).
        titles: One text an image, drawn over it as it is, or None.
        limit: Value with the strongest colour, above 0; None for the largest of these maps. The
            same limit makes several pictures comparable.
        light_is_high: Whether a single channel is light where its values are high, as in
            photographs, or dark, as in drawings.

    Returns:
        A `matplotlib.figure.Figure`; all maps share one scale.

    Raises:
        ValueError: The shapes do not go together, there are no images, values are not finite, or
            the limit is not above 0.

    Example:
        >>> figure = anomaly_maps(np.zeros((2, 8, 8, 3)), np.ones((2, 8, 8)))
        >>> [axes.get_ylabel() for axes in figure.axes]
        ['image', '', 'anomaly map', '', 'squared error, smoothed']
    """
    images, maps = finite("images", images), finite("maps", maps, ndim=None)
    if maps.ndim != 3 or images.shape[:3] != maps.shape or images.ndim not in (3, 4):
        raise ValueError(
            "maps must have one value a pixel of the images. "
            f"Received: images of shape {images.shape}, maps of shape {maps.shape}"
        )
    limit = float(maps.max()) or 1.0 if limit is None else limit
    if not limit > 0:
        raise ValueError(f"limit must be above 0. Received: limit={limit}")
    texts = one_a_row("titles", None if titles is None else list(titles), len(images))
    count, (height, width) = len(images), maps.shape[1:]
    across = 1.6 * min(2.0, max(0.5, width / height))
    figure = Figure(figsize=(max(4.0, across * count + 1.2), 3.9), layout="constrained")
    grid = figure.subplots(2, count, squeeze=False)
    limits: dict[str, Any] = {"vmin": images.min(), "vmax": images.max()}
    grey = "gray" if light_is_high else "gray_r"
    for i in range(count):
        channels = images[i].reshape(height, width, -1)
        limits["cmap"] = grey
        draw_image(grid[0, i], channels, channels.shape, **limits)
        draw_image(grid[1, i], channels.mean(axis=2), (height, width), **limits)
        strength = np.clip(maps[i] / limit, 0, 1)
        # What is normal stays visible, what is not is covered.
        grid[1, i].imshow(maps[i], cmap="inferno", vmin=0, vmax=limit, alpha=0.1 + 0.75 * strength)
        if texts is not None:
            grid[0, i].set_title(literal(texts[i]), fontsize=9, **LITERAL)
    grid[0, 0].set_ylabel("image")
    grid[1, 0].set_ylabel("anomaly map")
    # Of its own: that of a map is as transparent as the map.
    heat = ScalarMappable(Normalize(0, limit), "inferno")
    bar = figure.colorbar(heat, ax=list(grid.ravel()), fraction=0.05, pad=0.01, aspect=30)
    bar.set_label("squared error, smoothed")
    return figure
