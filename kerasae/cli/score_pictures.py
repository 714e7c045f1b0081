"""Pictures of anomaly scores and of the worst rows."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.cli.terminal import show_path

# Shorter side of the images in the picture of anomaly maps, in pixels.
LARGEST_SHOWN = 512


def draw(figures: Mapping[str, Any], output: Path) -> None:
    """Writes pictures beside an output."""
    from kerasae.atomic import write_file

    for name, figure in figures.items():
        path = output.with_name(f"{output.stem}-{name}.png")
        write_file(path, partial(figure.savefig, dpi=120))
        show_path("picture", path)


def pictures(
    autoencoder: Any,
    rows: Any,
    scores: Any,
    *,
    drawn: np.ndarray | None = None,
    numbers: np.ndarray | None = None,
) -> dict[str, Any]:
    """A histogram of the scores, and the worst rows.

    Args:
        autoencoder: The model.
        rows: `Data`.
        scores: The `Scores` of its rows.
        drawn: Scores for the histogram, by default these.
        numbers: Numbers of the rows in their file, by default their positions.
    """
    from keras import ops

    from kerasae import plots
    from kerasae.cli.explained import draw_worst
    from kerasae.layers.scaling import scale

    histogram = plots.error_histogram(
        scores.anomaly_score if drawn is None else drawn,
        threshold=autoencoder.anomaly.threshold,
        quantity="anomaly score",
    )
    if autoencoder.columns and not rows.image_shape:
        worst = draw_worst(autoencoder, rows.x, rows.ids, numbers)
        return {"errors": histogram, "worst": worst}
    numbers = np.arange(len(rows.x)) if numbers is None else numbers
    worst = np.argsort(-scores.anomaly_score)[:5]
    shown, back = rows.x[worst], autoencoder.reconstruct(rows.x[worst])
    if not rows.image_shape:
        # Columns of a table have units of their own: only their scaled values share an axis.
        both = (ops.convert_to_numpy(scale(autoencoder.scaler, x)) for x in (shown, back))
        shown, back = both
    maps = {"maps": _overlay(rows, scores, worst, numbers)} if rows.image_shape else {}
    return maps | {
        "errors": histogram,
        "worst": plots.worst_rows(
            shown,
            back,
            scores.reconstruction_error[worst],
            image_shape=rows.image_shape,
            numbers=numbers[worst],
        ),
    }


def _overlay(rows, scores, worst, numbers):
    """The worst images under their anomaly maps, in the size of the worst one's file."""
    from kerasae import anomaly, plots
    from kerasae.datasets.files.images import decoded, shape_of

    shown = rows.x[worst].reshape(-1, *rows.image_shape)
    names = [f"row {numbers[row]}" for row in worst]
    if rows.names:
        names = [rows.names[row] for row in worst]
        files = [rows.folder / name for name in names]
        height, width, _ = shape_of(files[:1])
        by = max(1, min(height, width) / LARGEST_SHOWN)
        size = round(height / by), round(width / by)
        shown = decoded(files, (*size, rows.image_shape[2]))
    maps = anomaly.error_maps(scores.feature_errors[worst], rows.image_shape, size=shown.shape[1:3])
    scored = zip(names, scores.anomaly_score[worst], strict=True)
    titles = [f"{name[-20:]}\nscore {score:.3g}" for name, score in scored]
    return plots.anomaly_maps(shown, maps, titles, light_is_high=len(rows.image_shape) == 3)
