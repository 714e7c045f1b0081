"""Pictures: arrays in, a matplotlib Figure out."""

import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by every kind of colour vision.
BLUE, ORANGE = "#0072B2", "#D55E00"


def loss_curve(history):
    """Draws the reconstruction error over the epochs, training beside validation.

    Args:
        history: Dict of lists by name, as in `fit(...).history`, with "mse" and perhaps
            "val_mse"; or "loss" and "val_loss" where there is no mse.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: Neither is there, or there is no epoch.

    Example:
        >>> loss_curve({"mse": [0.5, 0.2], "val_mse": [0.4, 0.3]}).axes[0].get_xlabel()
        'epoch'
    """
    name = "mse" if "mse" in history else "loss"
    if not history.get(name):
        raise ValueError(f"history must have mse or loss. Received: {', '.join(history) or 'none'}")
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for key, text, color, marker in (
        (name, "training", BLUE, "o"),
        (f"val_{name}", "validation", ORANGE, "s"),
    ):
        if key not in history:
            continue
        values = history[key]
        epochs = np.arange(1, len(values) + 1)
        label = f"{text}: {values[-1]:.5f} at the end"
        axes.plot(epochs, values, color=color, marker=marker, markersize=4, label=label)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean squared error on the scaled values" if name == "mse" else "loss")
    if min(history[name]) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def reconstructions(originals, reconstructed, image_shape=None, titles=None):
    """Draws rows over their reconstructions.

    Args:
        originals: Rows, shape (rows, columns), any units; ten at most are legible.
        reconstructed: Their reconstructions, same shape and units.
        image_shape: (height, width) of the image that a row holds; None draws a row as a curve over
            its columns.
        titles: One text a row to stand over it, or None.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: The shapes differ, or there are no rows.

    Example:
        >>> rows = np.zeros((4, 64))
        >>> len(reconstructions(rows, rows, image_shape=(8, 8)).axes)
        8
    """
    originals, reconstructed = np.asarray(originals), np.asarray(reconstructed)
    if originals.shape != reconstructed.shape or not len(originals):
        raise ValueError(
            "originals and reconstructions must be the same number of rows of the same shape. "
            f"Received: {originals.shape} and {reconstructed.shape}"
        )
    draw = _curves if image_shape is None else _images
    figure = draw(originals, reconstructed, image_shape)
    for axes, title in zip(figure.axes, titles or (), strict=False):
        axes.set_title(title, fontsize=10)
    return figure


def _images(originals, reconstructed, image_shape):
    count = len(originals)
    figure = Figure(figsize=(max(3.5, 1.1 * count + 0.6), 2.7), layout="constrained")
    grid = figure.subplots(2, count, squeeze=False)
    limits = {"vmin": originals.min(), "vmax": originals.max()}
    for line, (label, rows) in enumerate(
        (("original", originals), ("reconstruction", reconstructed))
    ):
        for axes, row in zip(grid[line], rows, strict=True):
            axes.imshow(row.reshape(image_shape), cmap="gray_r", **limits)
            axes.set_xticks([])
            axes.set_yticks([])
        grid[line, 0].set_ylabel(label)
    return figure


def _curves(originals, reconstructed, _):
    count = len(originals)
    figure = Figure(figsize=(8, 1 + 1.2 * count), layout="constrained")
    grid = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    positions = np.arange(originals[0].size)
    for axes, original, reconstruction in zip(grid, originals, reconstructed, strict=True):
        axes.plot(positions, original.ravel(), color=BLUE, label="original")
        axes.plot(positions, reconstruction.ravel(), color=ORANGE, ls="--", label="reconstruction")
        axes.grid(alpha=0.3)
    figure.legend(handles=grid[0].get_lines(), loc="outside upper right", ncols=2)
    grid[-1].set_xlabel("column")
    return figure
