"""Pictures of the codings."""

from typing import Any

import numpy as np
from matplotlib import patheffects

from kerasae.plots.arrays import finite, one_a_row
from kerasae.plots.colours import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, YELLOW
from kerasae.plots.figure import Figure
from kerasae.plots.text import LITERAL, literal, literal_legend

# Seven colours for ten classes: the shape differs where the colour is the same.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY)
MARKERS = "osD^vP*X<>"
MOST_CLASSES = len(MARKERS)
MOST_POINTS = 4000


def activation_histogram(codings: Any, rho: float | None = None) -> Figure:
    r"""Draws how active the codings are: all activations, and the mean of each coding.

    $$\hat\rho_j = \frac{1}{n} \sum_{i=1}^{n} h_{ij}$$

    Args:
        codings: Codings of rows, shape (rows, codings).
        rho: The target of a sparsity penalty, marked beside the mean over all codings, or None.

    Returns:
        A `matplotlib.figure.Figure` of two histograms: activations left, means right.

    Raises:
        ValueError: There are no codings, or they or rho are not finite.

    Example:
        >>> figure = activation_histogram(np.tanh(np.eye(3)), rho=-0.1)
        >>> figure.axes[1].get_xlabel()
        'mean activation of a coding'
    """
    codings = finite("codings", codings, ndim=2)
    means = codings.mean(axis=0)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, values, what, many in (
        (left, codings.ravel(), "activation", "activations"),
        (right, means, "mean activation of a coding", "codings"),
    ):
        bins = min(50, max(10, round(2 * values.size ** (1 / 3))))
        axes.hist(values, bins=bins, color=SKY, edgecolor="white", lw=0.5)
        axes.set_xlabel(what)
        axes.set_ylabel(f"{many} of {values.size:,}")
        axes.yaxis.get_major_locator().set_params(integer=True)
        axes.xaxis.get_major_locator().set_params(nbins=6)
        axes.yaxis.set_major_formatter("{x:,.0f}")
        _mark(axes, means.mean(), r"measured $\hat\rho$", color=BLUE)
        if rho is not None:
            _mark(axes, float(finite("rho", rho)), r"target $\rho$", color=ORANGE, ls="--")
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _mark(axes, value, name, **style):
    # Plus 0: a mean just below 0 is written as 0.0000, not as -0.0000.
    axes.axvline(value, lw=2, label=f"{name} = {round(value, 4) + 0:.4f}", **style)


def codings_beside_pca(codings: Any, components: Any, labels: Any) -> Figure:
    """Draws two codings beside the first two principal components, each class by its name.

    Args:
        codings: Codings of rows, shape (rows, 2).
        components: First two principal components of the same rows, shape (rows, 2).
        labels: Class of each row, at most ten of them.

    Returns:
        A `matplotlib.figure.Figure` of two scatter plots. At most 4,000 rows are shown, drawn by a
        fixed seed; the name of a class is at the median of all its rows.

    Raises:
        ValueError: The shapes do not go together, there are more than ten classes, or values are
            not finite.

    Example:
        >>> codings_beside_pca(np.eye(2), np.eye(2), ["a", "b"]).axes[1].get_xlabel()
        'principal component 1'
    """
    pairs = {"codings": codings, "components": components}
    pairs = {name: finite(name, values, ndim=2) for name, values in pairs.items()}
    shapes = [values.shape for values in pairs.values()]
    if shapes[0] != shapes[1] or shapes[0][1] != 2:
        raise ValueError(
            "codings and components must be (rows, 2). "
            f"Received: shapes {shapes[0]} and {shapes[1]}"
        )
    labels = one_a_row("labels", labels, shapes[0][0])
    classes = _classes(labels)
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    grid = figure.subplots(1, 2)
    names = ("coding", "principal component")
    for axes, values, name in zip(grid, pairs.values(), names, strict=True):
        entries = _scatter(axes, values, labels, classes)
        axes.set_xlabel(f"{name} 1")
        axes.set_ylabel(f"{name} 2")
    place = {"loc": "outside lower center", "ncols": 5, "markerscale": 2}
    legend = literal_legend(figure, entries, **place)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)
    return figure


def codings_beside_prior(codings: Any, drawn: Any, labels: Any) -> Figure:
    """Draws two codings, each class by its name, beside draws of the prior that they should follow.

    Args:
        codings: Codings of rows, shape (rows, 2).
        drawn: Draws of the prior, shape (n, 2).
        labels: Class of each row, at most ten of them.

    Returns:
        A `matplotlib.figure.Figure` of two scatter plots on the same axes.

    Raises:
        ValueError: The codings are not two, there are more than ten classes, or values are not
            finite.

    Example:
        >>> figure = codings_beside_prior(np.eye(2), np.zeros((5, 2)), ["a", "b"])
        >>> [axes.get_title() for axes in figure.axes]
        ['codings', 'prior']
    """
    pair = {"codings": codings, "drawn": drawn}
    codings, drawn = (finite(name, values, ndim=2) for name, values in pair.items())
    if {codings.shape[1], drawn.shape[1]} != {2}:
        raise ValueError(
            "codings and drawn must be (rows, 2). "
            f"Received: shapes {codings.shape} and {drawn.shape}"
        )
    labels = one_a_row("labels", labels, len(codings))
    classes = _classes(labels)
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    _scatter(left, codings, labels, classes)
    right.scatter(*drawn[:MOST_POINTS].T, s=12, color=GREY, alpha=0.6, lw=0)
    right.grid(alpha=0.3)
    for axes, title in ((left, "codings"), (right, "prior")):
        axes.set_title(title)
        axes.set_xlabel("coding 1")
    left.set_ylabel("coding 2")
    return figure


def codings_map(
    places: Any,
    labels: Any = None,
    values: Any = None,
    axis_names: tuple[str, str] = ("coding 1", "coding 2"),
    quantity: str = "reconstruction error",
) -> Figure:
    """Draws rows as points of a plane, coloured by class or by a number.

    Args:
        places: Place of each row, shape (rows, 2): two codings, or two components of more.
        labels: Class of each row, at most ten of them, or None.
        values: A number for each row where there are no labels, such as its error, or None.
        axis_names: What the axes are.
        quantity: What the values are.

    Returns:
        A `matplotlib.figure.Figure`. At most 4,000 rows are shown, drawn by a fixed seed. Colours
        of values are spread by rank, so that a few large ones do not hide the others.

    Raises:
        ValueError: The shapes do not go together, there are more than ten classes, or values are
            not finite.

    Example:
        >>> codings_map(np.eye(2), ["a", "b"]).axes[0].get_xlabel()
        'coding 1'
    """
    places = finite("places", places, ndim=2)
    if places.shape[1] != 2:
        raise ValueError(f"places must be (rows, 2). Received: shape {places.shape}")
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    axes = figure.add_subplot()
    if labels is not None:
        labels = one_a_row("labels", labels, len(places))
        entries = _scatter(axes, places, labels, _classes(labels))
        legend = literal_legend(figure, entries, loc="outside right upper", markerscale=2)
        for handle in filter(None, legend.legend_handles):
            handle.set_alpha(1)
    else:
        _scatter_values(figure, axes, places, values, quantity)
    axes.set_xlabel(literal(axis_names[0]), **LITERAL)
    axes.set_ylabel(literal(axis_names[1]), **LITERAL)
    for points in axes.collections:
        points.set_rasterized(True)  # thousands of points of an SVG would be slow to show
    return figure


def _scatter_values(figure, axes, places, values, quantity):
    shown = np.random.default_rng(0).permutation(len(places))[:MOST_POINTS]
    style: dict[str, Any] = {"s": 12 if len(places) > 1000 else 24, "lw": 0, "alpha": 0.75}
    axes.grid(alpha=0.3)
    if values is None:
        axes.scatter(*places[shown].T, color=GREY, **style)
        return
    values = one_a_row("values", finite("values", values, ndim=1), len(places))
    shown = shown[np.argsort(values[shown])]
    ranks = np.searchsorted(np.sort(values), values) / max(len(values) - 1, 1)
    drawn = axes.scatter(*places[shown].T, c=ranks[shown], vmin=0, vmax=1, cmap="viridis", **style)
    bar = figure.colorbar(drawn, ax=axes, fraction=0.05, pad=0.02)
    bar.set_label(literal(f"{quantity}, by rank"), **LITERAL)
    shares = np.linspace(0, 1, 5)
    bar.set_ticks(shares, labels=[f"{np.quantile(values, share):.3g}" for share in shares])


def _classes(labels):
    classes = np.unique(labels)
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"labels must be at most ten classes. Received: {len(classes)} classes")
    return classes


def _scatter(axes, values, labels, classes):
    """Draws the classes; gives the artist and the text of each for a legend."""
    shown = np.random.default_rng(0).permutation(len(values))[:MOST_POINTS]
    entries = []
    for i, name in enumerate(classes):
        of_class = labels == name
        points = values[shown[of_class[shown]]]
        drawn = axes.scatter(
            *points.T,
            s=12 if len(values) > 1000 else 30,
            color=COLOURS[i % len(COLOURS)],
            marker=MARKERS[i],
            alpha=0.6,
            lw=0,
        )
        entries.append((drawn, f"{literal(name)}: {int(of_class.sum()):,} rows"))
    axes.grid(alpha=0.3)
    medians = [np.median(values[labels == name], axis=0) for name in classes]
    for name, place in zip(classes, _apart(medians, np.ptp(values, axis=0)), strict=True):
        axes.text(
            *place,
            literal(name),
            ha="center",
            va="center",
            size=15,
            weight="bold",
            path_effects=[patheffects.withStroke(linewidth=3, foreground="white")],
            **LITERAL,
        )
    return entries


def _apart(places, extent, gap=0.05):
    """The places, moved until no two are nearer than `gap` of the picture."""
    extent = np.where(extent > 0, extent, 1)
    places = np.array(places) / extent
    for _ in range(100):
        steps = places[:, None] - places
        distances = np.linalg.norm(steps, axis=-1) + np.eye(len(places))
        # Two classes on one spot have no direction to part in: their order gives one.
        steps = np.where(distances[..., None] < 1e-9, np.tri(len(places))[..., None] - 0.5, steps)
        push = np.clip(gap - distances, 0, None)[..., None]
        places = places + (push * steps / np.maximum(distances, 1e-9)[..., None]).sum(axis=1) / 2
    return places * extent
