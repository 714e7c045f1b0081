"""Pictures of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator, NullFormatter

from kerasae.plots.colours import BLUE, ORANGE
from kerasae.plots.figure import Figure


def loss_curve(history: Mapping[str, Sequence[float]]) -> Figure:
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
        low, high = axes.get_ylim()
        # Between the powers of ten where there is room for their labels.
        axes.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
