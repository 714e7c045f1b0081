"""Section 19.5: anomaly detection."""

import time

import numpy as np
from keras import ops

from kerasae import plots
from kerasae.anomaly import calibrate, score, trim_and_refit
from kerasae.chapter.bench import Bench
from kerasae.chapter.result import Picture, Row, Section
from kerasae.chapter.settings import (
    LARGEST_ERROR,
    MEAN_ERROR,
    PLAIN,
    QUANTILE,
    RATE,
    THRESHOLD,
)
from kerasae.layers import SaltPepperDropout

TEXT = [
    f"The {1 - QUANTILE:.0%} of the training rows with the largest errors are set aside and a "
    "fresh model is trained on the rest, so that rare shapes do not count as normal. One half of "
    f"the test rows sets the threshold, the {THRESHOLD[1:]}th percentile of their errors; the "
    f"other half is scored twice, as it is and with {RATE:.0%} of its pixels set to black or white."
]
WORST = (
    "The five test rows with the largest errors. Purple is ink that the reconstruction lacks, "
    "orange is ink that it adds: shapes that few other rows have."
)


def anomalies(bench: Bench) -> Section:
    """19.5: the spread of the errors, the worst rows, and a model without the upper tail."""
    spread, pictures = _errors(bench)
    refitted, seconds = _refit(bench)
    error = bench.mse(refitted.model.reconstruct(bench.x_test))
    what = f"refitted on {refitted.kept.mean():.0%} of rows: mean error"
    flags, picture = _flags(bench, refitted.model)
    rows = [*spread, Row(what, error, seconds=seconds), *flags]
    return Section("Anomaly detection", TEXT, rows, [*pictures, picture])


def _errors(bench):
    """Rows and pictures of the plain model's errors."""
    model, seconds = bench.stack(PLAIN)
    reconstructed = model.reconstruct(bench.x_test)
    errors = model.reconstruction_error(bench.x_test)
    name, pca = bench.named(PLAIN), bench.pca_mse(PLAIN)
    rows = [
        Row(f"{name}: mean error", float(errors.mean()), MEAN_ERROR, pca, seconds),
        Row(f"{name}: largest error", float(errors.max()), f"over {LARGEST_ERROR}"),
    ]
    spread = (
        f"Errors of the {len(errors):,} test rows; the counts are logarithmic. Most lie near the "
        f"mean of {errors.mean():.4f}, and a long tail reaches {errors.max():.4f}."
    )
    worst = plots.worst_rows(bench.x_test, reconstructed, errors, 5, bench.image_shape)
    histogram = plots.error_histogram(errors, np.percentile(errors, 99))
    return rows, [Picture(histogram, spread), Picture(worst, WORST)]


def _refit(bench):
    # As many steps as the first model had, on fewer rows.
    epochs = round(bench.epochs_of("tanh") / QUANTILE)
    start = time.perf_counter()
    what = f"{bench.layout(PLAIN)}, refitted"
    trimmed = trim_and_refit(
        bench.stack(PLAIN).model, bench.x, QUANTILE, **bench.fit_arguments(epochs, what)
    )
    return trimmed, time.perf_counter() - start


def _flags(bench, model):
    """Rows on what the refitted model flags, and a picture of its scores."""
    normal, new = bench.x_test[::2], bench.x_test[1::2]
    threshold = calibrate(model, normal, THRESHOLD)
    foreign = ops.convert_to_numpy(SaltPepperDropout(RATE, seed=0).corrupt(new))
    scores = [score(model, x) for x in (new, foreign)]
    shares = [one.is_anomaly.mean() for one in scores]
    rows = [
        Row(f"above {THRESHOLD}: {what}", f"{share:.1%}")
        for what, share in zip(("new rows", "new rows with noise"), shares, strict=True)
    ]
    both = np.concatenate([one.anomaly_score for one in scores])
    is_anomaly = np.repeat([False, True], len(new))
    caption = (
        f"Errors of {len(new):,} new rows, blue, and of the same rows with noise, black. The "
        f"threshold flags {shares[0]:.1%} of the former and {shares[1]:.1%} of the latter."
    )
    figure = plots.error_histogram(both, threshold, is_anomaly)
    return rows, Picture(figure, caption)
