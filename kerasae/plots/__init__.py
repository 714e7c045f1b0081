"""Pictures: arrays in, a matplotlib Figure out."""

from kerasae.plots.codings import (
    activation_histogram,
    codings_beside_pca,
    codings_beside_prior,
    codings_map,
)
from kerasae.plots.columns import column_errors, pixel_errors
from kerasae.plots.errors import error_histogram, worst_rows
from kerasae.plots.filters import filters
from kerasae.plots.maps import anomaly_maps
from kerasae.plots.row_columns import worst_columns
from kerasae.plots.rows import corrupted_triples, images, reconstructions
from kerasae.plots.steps import step_anomalies
from kerasae.plots.sweep import leaderboard
from kerasae.plots.training import loss_curve

__all__ = [
    "activation_histogram",
    "anomaly_maps",
    "codings_beside_pca",
    "codings_beside_prior",
    "codings_map",
    "column_errors",
    "corrupted_triples",
    "error_histogram",
    "filters",
    "images",
    "leaderboard",
    "loss_curve",
    "pixel_errors",
    "reconstructions",
    "step_anomalies",
    "worst_columns",
    "worst_rows",
]
