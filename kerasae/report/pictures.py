"""The pictures of a report: each a Figure and a caption that says what to see in it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kerasae import plots
from kerasae.callbacks.reconstruction_gallery import corrupted_rows
from kerasae.models import Autoencoder
from kerasae.plots.codings import MOST_CLASSES
from kerasae.plots.figure import Figure
from kerasae.plots.pixels import image_png
from kerasae.report.findings import Findings, scaled, target_activation

SHOWN = 10  # reconstructions of images
CURVES = 4  # of other rows
CHANNELS = 4  # of series
NOISY = 8  # images with noise


class Picture(NamedTuple):
    """A figure, and a caption that says what to see in it."""

    figure: Figure
    caption: str


def codings_picture(found: Findings) -> Picture:
    """The codings in a plane, by label where there are a few of them, else by error."""
    places, names, what = _plane(found)
    caption = f"Each point is a row; {what}."
    labels = found.labels
    if labels is not None and len(np.unique(labels)) <= MOST_CLASSES:
        text = f"{caption} Colours are labels, which the model did not see."
        return Picture(plots.codings_map(places, labels, axis_names=names), text)
    text = f"{caption} Colours are errors: rows that the model knows badly are yellow."
    figure = plots.codings_map(
        places, values=found.scores, axis_names=names, quantity=_quantity(found)
    )
    return Picture(figure, text)


def _quantity(found):
    return "reconstruction error" if found.p_values is None else "anomaly score"


def _plane(found):
    """Places of the rows in a plane, the names of its axes, and what they are."""
    codings = found.codings
    count = codings.shape[1]
    if count == 1:
        places = np.stack([codings[:, 0], found.scores], axis=1)
        return places, ("coding 1", _quantity(found)), "the one coding is drawn beside the error"
    if count == 2:
        return codings, ("coding 1", "coding 2"), "its place is its two codings"
    places, shares = _components(codings - codings.mean(axis=0))
    names = [f"component {i + 1} of the codings ({shares[i]:.0%})" for i in range(2)]
    what = (
        f"its place is on the first two principal components of the {count} codings, which hold "
        f"{shares.sum():.0%} of their variance"
    )
    return places, tuple(names), what


def _components(centred):
    """Rows on their first two principal components, and the share of the variance of each."""
    rows, count = centred.shape
    wide = count > rows
    values, vectors = np.linalg.eigh(centred @ centred.T if wide else centred.T @ centred)
    values, vectors = np.maximum(values[::-1][:2], 0), vectors[:, ::-1][:, :2]
    places = vectors * np.sqrt(values) if wide else centred @ vectors
    missing = 2 - places.shape[1]  # of a single row
    shares = values / max(float(np.square(centred).sum()), 1e-30)
    return np.pad(places, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def loss_picture(history: Mapping[str, Sequence[float]]) -> Picture | None:
    """The error over the epochs, or None where there is no history."""
    if not (history.get("mse") or history.get("loss")):
        return None
    text = (
        "The error over the epochs. Where the two curves part, the model learns its rows by heart."
    )
    return Picture(plots.loss_curve(history), text)


def columns_picture(found: Findings, quantity: str) -> Picture:
    """The error by pixel or by column, beside that of PCA."""
    errors = found.errors.mean(axis=0)
    beside = "" if found.pca is None else ", beside PCA with as many components"
    if found.image_shape is not None:
        caption = f"Mean squared error of each pixel on the scaled values{beside}."
        return Picture(plots.pixel_errors(errors, found.image_shape, found.pca), caption)
    many = len(errors) > plots.columns.MOST_BARS
    which = f"the {plots.columns.MOST_BARS} worst of {len(errors)} columns" if many else "columns"
    caption = f"Error of {which} on the scaled values{beside}."
    figure = plots.column_errors(errors, found.names, found.pca, quantity=quantity)
    return Picture(figure, caption)


def calibration_picture(model: Autoencoder, found: Findings) -> Picture:
    """How the scores are spread, with the threshold of a calibrated model."""
    if found.p_values is None:
        figure = plots.error_histogram(found.scores)
        return Picture(figure, "Reconstruction errors of the rows. The model is not calibrated.")
    finite = np.isfinite(found.scores)
    figure = plots.error_histogram(
        found.scores[finite], threshold=model.anomaly.threshold, quantity="anomaly score"
    )
    caption = "Anomaly scores of the rows. Those above the threshold are flagged as anomalies."
    return Picture(figure, caption)


def activations_picture(model: Autoencoder, found: Findings) -> Picture:
    """How active the codings are, with the target of a sparsity penalty."""
    rho = target_activation(model)
    beside = "" if rho is None else ", and its target"
    caption = f"All activations of the codings, and the mean of each coding over the rows{beside}."
    return Picture(plots.activation_histogram(found.codings, rho), caption)


def curves_picture(model: Autoencoder, found: Findings, which: np.ndarray) -> Picture:
    """Rows that are no images, as curves over columns or steps, with their reconstructions."""
    pair = (found.rows[which], found.reconstructions[which])
    if len(model.row_shape) == 2:
        return _series_picture(model, found, which)
    # Columns have units of their own: only their scaled values share an axis.
    originals, made = (scaled(model, rows).reshape(len(which), -1) for rows in pair)
    titles = [f"row {number}" for number in found.numbers[which]]
    caption = "Rows and their reconstructions, on the scaled values."
    return Picture(plots.reconstructions(originals, made, titles=titles), caption)


def denoised_picture(model: Autoencoder, found: Findings) -> Picture | None:
    """Images, the same with the noise of training, and what is made of these.

    None where the model has no corruption, or the rows are no images.
    """
    clean = found.rows[:NOISY]
    noisy = None if found.image_shape is None else corrupted_rows(model, clean)
    if noisy is None:
        return None
    restored = model.reconstruct(noisy)
    peak = max(float(np.ptp(found.rows)), 1e-30)

    def decibels(rows):
        errors = np.square(rows - clean).reshape(len(clean), -1).mean(axis=1)
        return 10 * np.log10(peak**2 / np.maximum(errors, 1e-30))

    pairs = zip(decibels(noisy), decibels(restored), strict=True)
    titles = [f"{before:.1f} to\n{after:.1f} dB" for before, after in pairs]
    figure = plots.corrupted_triples(clean, noisy, restored, found.image_shape, titles)
    caption = (
        "Images with the noise of training, and what the model makes of them. Above, the peak "
    )
    return Picture(figure, caption + "signal-to-noise ratio of both.")


def _series_picture(model, found, which):
    """Windows of a series, each channel apart."""
    channels = range(min(model.row_shape[1], CHANNELS))
    pair = [
        scaled(model, rows[which])[..., : len(channels)].transpose(0, 2, 1)
        for rows in (found.rows, found.reconstructions)
    ]
    names = [found.names[i].removesuffix(" at step 0") for i in channels]
    titles = [f"row {number}, {name}" for number in found.numbers[which] for name in names]
    caption = "Windows and their reconstructions over their steps, on the scaled values."
    originals, made = (rows.reshape(-1, rows.shape[-1])[:CURVES] for rows in pair)
    figure = plots.reconstructions(originals, made, titles=titles[:CURVES])
    figure.axes[-1].set_xlabel("step")
    return Picture(figure, caption)


def sample_cards(found: Findings, drawn: np.ndarray) -> list[tuple[str, Any]]:
    """New rows as images on the scale of the old ones, for `page.images`."""
    shape = found.image_shape
    assert shape is not None
    low, high = float(found.rows.min()), float(found.rows.max())
    return [
        ("", [(f"sample {i}", image_png(one, shape, low, high))]) for i, one in enumerate(drawn)
    ]


def image_cards(found: Findings, which: np.ndarray) -> list[tuple[str, Any]]:
    """Rows as images over their reconstructions and differences, for `page.images`."""
    shape = found.image_shape
    assert shape is not None
    originals, made = found.rows[which], found.reconstructions[which]
    low, high = float(originals.min()), float(originals.max())
    largest = float(np.abs(made - originals).max()) or 1.0
    cards = []
    for original, reconstruction, i in zip(originals, made, which, strict=True):
        label = "" if found.labels is None else f" ({found.labels[i]})"
        name = f"row {found.numbers[i]}"
        difference = image_png(reconstruction - original, shape, -largest, largest, signed=True)
        pngs = [
            (f"{name}, original", image_png(original, shape, low, high)),
            (f"{name}, reconstruction", image_png(reconstruction, shape, low, high)),
            (f"{name}, difference", difference),
        ]
        cards.append((f"{name}{label}\n{found.scores[i]:.3g}", pngs))
    return cards
