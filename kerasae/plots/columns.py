"""Pictures of reconstruction errors by column."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasae.plots.arrays import finite, one_a_row
from kerasae.plots.colours import GREY, SKY
from kerasae.plots.figure import Figure
from kerasae.plots.images import check_image_shape, draw_image
from kerasae.plots.text import LITERAL, literal

# Of more columns the worst are drawn.
MOST_BARS = 20


def column_errors(
    errors: Any, names: Sequence[str], pca: Any = None, *, quantity: str = "mean squared error"
) -> Figure:
    """Draws the error of each column, the worst first, beside that of PCA.

    Args:
        errors: One error a column, at least 0; the 20 largest are drawn.
        names: Names of the columns.
        pca: The same for the linear optimum, or None.
        quantity: What the errors are, for the axis.

    Returns:
        A `matplotlib.figure.Figure` of horizontal bars; PCA's errors are marks beside them.

    Raises:
        ValueError: There are no columns, values are not finite, or names or `pca` are not one a
            column.

    Example:
        >>> figure = column_errors([0.1, 0.3], ["size", "weight"], pca=[0.2, 0.2])
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['weight', 'size']
    """
    errors = finite("errors", errors, ndim=1)
    one_a_row("names", np.array([str(name) for name in names]), len(errors))
    worst = np.argsort(-errors, kind="stable")[:MOST_BARS]
    figure = Figure(figsize=(7, 1.1 + 0.26 * len(worst)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(worst))
    axes.barh(places, errors[worst], color=SKY, height=0.7, label="this model")
    if pca is not None:
        pca = one_a_row("pca", finite("pca", pca, ndim=1), len(errors))
        axes.scatter(pca[worst], places, marker="|", s=110, color="black", lw=2, label="PCA")
    axes.set_yticks(places, [literal(names[i]) for i in worst], **LITERAL)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(literal(quantity), **LITERAL)
    axes.grid(alpha=0.3, axis="x")
    if pca is not None:
        axes.legend(loc="lower right")
    return figure


def pixel_errors(errors: Any, image_shape: tuple[int, ...], pca: Any = None) -> Figure:
    """Draws the error of each pixel as an image, beside that of PCA on the same colours.

    Args:
        errors: Mean squared error of each column, shape (columns,).
        image_shape: (height, width) or (height, width, channels) of the image that a row holds; the
            mean over the channels is drawn.
        pca: The same for the linear optimum, or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The errors do not fill the image, or are not finite.

    Example:
        >>> [axes.get_title() for axes in pixel_errors(np.ones(4), (2, 2), pca=np.ones(4)).axes[:2]]
        ['this model: 1.00000', 'PCA: 1.00000']
    """
    both = {"this model": errors, "PCA": pca}
    maps = {name: finite("errors", one, ndim=1) for name, one in both.items() if one is not None}
    plane = image_shape[0], image_shape[1]
    for one in maps.values():
        check_image_shape(plane, one.size // (*image_shape, 1)[2])
    most = max(float(one.max()) for one in maps.values())
    figure = Figure(figsize=(3.2 * len(maps) + 0.8, 3.2), layout="constrained")
    grid = figure.subplots(1, len(maps), squeeze=False)[0]
    for axes, (name, one) in zip(grid, maps.items(), strict=True):
        mean = one.reshape(*plane, -1).mean(axis=2)
        drawn = draw_image(axes, mean.ravel(), plane, vmin=0, vmax=most or 1.0, cmap="viridis")
        axes.set_title(f"{name}: {one.mean():.5f}", fontsize=10)
        axes.tick_params(color=GREY)
    figure.colorbar(drawn, ax=list(grid), label="mean squared error", fraction=0.05)
    return figure
