"""Pictures of reconstruction errors."""

from typing import Any

import numpy as np

from kerasae.plots.arrays import finite, one_a_row, same_rows
from kerasae.plots.colours import BLUE, DIVERGING, GREY, ORANGE, SKY
from kerasae.plots.figure import Figure
from kerasae.plots.images import ImageShape, check_image_shape, draw_image
from kerasae.plots.text import LITERAL, literal

# Largest error over median from which equal bins would hold most rows in one or two of them.
SKEWED = 30
ERROR = "reconstruction error (mean squared, scaled values)"


def error_histogram(
    errors: Any,
    threshold: float | None = None,
    is_anomaly: Any = None,
    quantity: str = ERROR,
) -> Figure:
    """Draws how the reconstruction errors of rows are spread, on a logarithmic count.

    Args:
        errors: One error a row, at least 0. Where the largest is more than 30 times the median,
            their axis is logarithmic too.
        threshold: Error above which a row is flagged, or None. It is drawn with the number of rows
            above it.
        is_anomaly: Whether each row is known to be an anomaly, or None; draws these apart.
        quantity: What the errors are, for the axis.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: There are no errors, one is negative or not finite, the threshold is not finite,
            or `is_anomaly` has not one entry a row.

    Example:
        >>> figure = error_histogram([0.1, 0.2, 0.3, 0.9], threshold=0.5)
        >>> print(figure.legends[0].get_texts()[-1].get_text())
        threshold 0.5: 1 of 4 rows (25.00%) above
    """
    errors = finite("errors", errors, ndim=1)
    if errors.min() < 0:
        raise ValueError(f"errors must be at least 0. Received: an error of {errors.min():g}")
    is_anomaly = one_a_row("is_anomaly", is_anomaly, len(errors))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    groups = _groups(errors, is_anomaly)
    bins = _bins(axes, errors)
    for name, (rows, style) in groups.items():
        axes.hist(rows, bins, label=f"{len(rows):,} {name}", **style)
    if is_anomaly is None:
        axes.axvline(errors.mean(), color=BLUE, lw=2, ls=":", label=f"mean {errors.mean():.4g}")
    if threshold is not None:
        limit = float(finite("threshold", threshold))
        shares = [_share(rows, limit, name) for name, (rows, _) in groups.items()]
        label = f"threshold {limit:.4g}: {', '.join(shares)} above"
        axes.axvline(limit, color=ORANGE, lw=2, ls="--", label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_xlabel(literal(quantity), **LITERAL)
    axes.set_ylabel("rows")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper left", ncols=2 if is_anomaly is None else 1)
    return figure


def _groups(errors, is_anomaly):
    """Errors and style of each group of rows, by its name."""
    plain = {"color": SKY}
    if is_anomaly is None:
        return {"rows": (errors, plain)}
    is_anomaly = is_anomaly.astype(bool)
    outline = {"histtype": "step", "color": "black", "lw": 1.5}
    return {"normal": (errors[~is_anomaly], plain), "anomalies": (errors[is_anomaly], outline)}


def _share(errors, limit, name):
    above = int((errors > limit).sum())
    percent = f" ({above / len(errors):.2%})" if len(errors) else ""
    return f"{above:,} of {len(errors):,} {name}{percent}"


def _bins(axes, errors):
    low, high = errors.min(), errors.max()
    edges = min(60, max(10, round(len(errors) ** 0.5))) + 1
    if low > 0 and high > SKEWED * np.median(errors):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        return np.geomspace(low, high, edges)
    return np.linspace(low, high if high > low else low + 1, edges)


def worst_rows(
    originals: Any,
    reconstructed: Any,
    errors: Any,
    count: int = 5,
    image_shape: ImageShape | None = None,
    *,
    numbers: Any = None,
) -> Figure:
    """Draws the rows that are reconstructed worst, and where they differ.

    Args:
        originals: Rows, shape (rows, columns), any units.
        reconstructed: Their reconstructions, same shape and units.
        errors: Reconstruction error of each row.
        count: How many rows to draw at most, the worst first.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds;
            None draws a row as a curve over its columns.
        numbers: Number of each row where these are a selection; by default they count from 0.

    Returns:
        A `matplotlib.figure.Figure`; over each row its number and its error.

    Raises:
        ValueError: The shapes do not go together or do not fit the image, there are no rows, values
            are not finite, or the count is below 1.

    Example:
        >>> rows = np.eye(4)
        >>> figure = worst_rows(rows, 0 * rows, [0.1, 0.4, 0.2, 0.3], count=1)
        >>> print(figure.axes[0].get_title(loc="left"))
        row 1, error 0.4
    """
    originals, reconstructed = same_rows(originals=originals, reconstructed=reconstructed)
    errors = one_a_row("errors", finite("errors", errors, ndim=1), len(originals))
    check_image_shape(image_shape, originals.shape[1])
    if count < 1:
        raise ValueError(f"count must be at least 1. Received: count={count}")
    worst = np.argsort(-errors, kind="stable")[:count]
    if (numbers := one_a_row("numbers", numbers, len(originals))) is None:
        numbers = np.arange(len(originals))
    titles = [f"row {literal(numbers[row])}, error {errors[row]:.3g}" for row in worst]
    if image_shape is None:
        return _worst_curves(originals[worst], reconstructed[worst], titles)
    return _worst_images(originals[worst], reconstructed[worst], titles, image_shape)


def _worst_images(originals, reconstructed, titles, image_shape):
    count = len(originals)
    # Of colours the mean, which has a sign.
    channels = (*image_shape, 1)[2]
    difference = (reconstructed - originals).reshape(count, -1, channels).mean(axis=2)
    limits = {"vmin": originals.min(), "vmax": originals.max()}
    limit = float(np.abs(difference).max()) or 1.0
    figure = Figure(figsize=(max(4.5, 1.6 * count + 1.3), 5), layout="constrained")
    grid = figure.subplots(3, count, squeeze=False)
    for i, title in enumerate(titles):
        draw_image(grid[0, i], originals[i], image_shape, **limits)
        draw_image(grid[1, i], reconstructed[i], image_shape, **limits)
        image = draw_image(
            grid[2, i], difference[i], image_shape[:2], cmap=DIVERGING, vmin=-limit, vmax=limit
        )
        grid[0, i].set_title(title.replace(", ", "\n"), fontsize=10, **LITERAL)
    for line, name in zip(grid, ("original", "reconstruction", "difference"), strict=True):
        line[0].set_ylabel(name)
    # All axes shrink alike for the colour bar, so that the images stay under one another.
    place = {"ax": list(grid.ravel()), "anchor": (0, 0.02), "shrink": 0.28, "aspect": 10}
    figure.colorbar(image, label="reconstruction\nless original", fraction=0.05, pad=0.01, **place)
    return figure


def _worst_curves(originals, reconstructed, titles):
    figure = Figure(figsize=(8, 0.8 + 1.6 * len(titles)), layout="constrained")
    grid = figure.subplots(len(titles), 1, sharex=True, squeeze=False)[:, 0]
    columns = np.arange(originals.shape[1])
    for axes, original, reconstruction, title in zip(
        grid, originals, reconstructed, titles, strict=True
    ):
        axes.plot(columns, original, color=BLUE, label="original")
        axes.plot(columns, reconstruction, color=ORANGE, ls="--", label="reconstruction")
        axes.fill_between(
            columns, original, reconstruction, color=GREY, alpha=0.3, label="difference"
        )
        axes.set_title(title, fontsize=10, loc="left", **LITERAL)
        axes.grid(alpha=0.3)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)
    grid[-1].set_xlabel("column")
    figure.supylabel("value")
    return figure
