"""Anomalies of series: kerasae beside PCA and an isolation forest on windows, and PyOD.

    pip install -e '.[anomaly-bench]'
    python benchmarks/series_anomalies.py

Each series is made by `kerasae.datasets.make_series`: three channels, 8,000 normal steps and 4,000
with ten anomalies, two of each of five kinds. Detectors train on the first 6,000 steps, take their
threshold, the highest score, from the other 2,000, and are tested on the 4,000. Windows have 96
steps, a season. All see the same standardised channels. Model, smoothing and threshold were chosen
on the seeds 1000 to 1012; those reported are others.

Measured are the range-aware area under the ROC curve (Paparrizos et al., 2022, buffer: half a
window), precision, recall and F1 of events (gaps of up to an eighth of a window are merged), in
percent, and seconds. A kind's area leaves out the anomalies of other kinds.
"""

import os
import time
from collections import defaultdict

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest

import kerasae
from kerasae import series
from kerasae.datasets.made_series import KINDS

LENGTH, TRAIN, CALIBRATE, TEST = 96, 6000, 2000, 4000
UNITS, STDDEV, STEPS, BATCH_SIZE = (32, 32, 12), 0.2, 1500, 64


def kerasae_scores(parts, seed):
    """A denoising stack of convolutions over time."""
    keras.utils.set_random_seed(seed)
    x, normal, test = parts
    model = kerasae.denoising_autoencoder(
        (LENGTH, x.shape[1]),
        UNITS,
        activation="relu",
        codings_activation="linear",
        corruption=kerasae.GaussianCorruption(STDDEV),
    )
    cut = series.windows(x, LENGTH)
    model.compile(keras.optimizers.Adam(0.001))
    epochs = max(1, round(STEPS * BATCH_SIZE / len(cut)))
    model.fit(cut, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    series.calibrate(model, normal)
    return [series.score(model, part).score for part in (normal, test)]


def on_windows(fit):
    """A detector of rows, on flat windows; a step has the mean score of the windows over it."""

    def scores(parts, seed):
        cuts = [series.windows(part, LENGTH) for part in parts]
        flat = [np.asarray(cut).reshape(len(cut), -1) for cut in cuts]
        score = fit(flat[0], seed)
        return [
            of_steps(score(rows), len(part)) for rows, part in zip(flat[1:], parts[1:], strict=True)
        ]

    return scores


def of_steps(scores, steps):
    """Means, at each of the steps, of the scores of the windows over it."""
    total = np.convolve(scores, np.ones(LENGTH))
    return total / np.convolve(np.ones(len(scores)), np.ones(LENGTH))[:steps]


def pca(components):
    def fit(x, seed):
        model = PCA(components, random_state=seed).fit(x)
        return lambda z: np.square(model.inverse_transform(model.transform(z)) - z).mean(axis=1)

    return fit


def forest(x, seed):
    model = IsolationForest(random_state=seed).fit(x)
    return lambda z: -model.score_samples(z)


def pyod(detector):
    def scores(parts, seed):
        from pyod.models.iforest import IForest
        from pyod.models.knn import KNN
        from pyod.models.ts_od import TimeSeriesOD

        made = {"IForest": lambda: IForest(random_state=seed), "KNN": KNN}[detector]()
        model = TimeSeriesOD(made, window_size=LENGTH).fit(parts[0])
        return [model.decision_function(part) for part in parts[1:]]

    return scores


DETECTORS = {
    "kerasae": kerasae_scores,
    "PCA, 95% of the variance": on_windows(pca(0.95)),
    "PCA, a quarter of the values": on_windows(pca(LENGTH * 3 // 4)),
    "isolation forest": on_windows(forest),
    "TimeSeriesOD (IForest)": pyod("IForest"),
    "TimeSeriesOD (KNN)": pyod("KNN"),
}


def standardised(made):
    mean, stddev = made.x_train.mean(axis=0), made.x_train.std(axis=0)
    x = (made.x_train - mean) / stddev
    return x[:TRAIN], x[TRAIN:], (made.x_test - mean) / stddev


def measured(made, normal, test):
    """The metrics of one detector on one series, by name."""
    flags = series.merged(test > normal.max(), max_gap=LENGTH // 8)
    found = {"range AUC": series.range_auc(made.labels, test, LENGTH // 2)}
    found |= series.event_metrics(made.labels, flags)._asdict()
    for kind in KINDS:
        labels, kept = np.zeros(TEST, bool), np.ones(TEST, bool)
        for start, end, of in made.events:
            if of == kind:
                labels[start:end] = True
            else:
                kept[max(0, start - LENGTH // 4) : end + LENGTH // 4] = False
        found[kind] = series.range_auc(labels[kept], test[kept], LENGTH // 2)
    return {name: 100 * value for name, value in found.items()}


def main():
    parser = results.parser(__doc__, "series_anomalies")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", default="", help="Comma-separated parts of detectors' names.")
    settings = parser.parse_args()
    chosen = {
        name: run
        for name, run in DETECTORS.items()
        if any(part in name for part in settings.only.split(","))
    }
    found, seconds = defaultdict(list), defaultdict(list)
    for seed in range(settings.first_seed, settings.first_seed + settings.seeds):
        made = kerasae.datasets.make_series(TRAIN + CALIBRATE, TEST, seed=seed)
        parts = standardised(made)
        for name, run in chosen.items():
            start = time.perf_counter()
            normal, test = run(parts, seed)
            seconds[name].append(time.perf_counter() - start)
            found[name].append(measured(made, normal, test))
            print(seed, name, {k: round(v, 1) for k, v in found[name][-1].items()}, flush=True)
    names = list(next(iter(found.values()))[0])
    table, rows = Table("%, mean of the seeds", *names, "seconds"), []
    for name, metrics in found.items():
        row = {one: float(np.mean([metric[one] for metric in metrics])) for one in names}
        spread = float(np.std([metric["range AUC"] for metric in metrics]))
        taken = float(np.median(seconds[name]))
        rows.append({"detector": name, **row, "range AUC, sd": spread, "seconds": taken})
        table.add_row(name, *(f"{value:.1f}" for value in row.values()), f"{taken:.1f}")
    Console(width=150).print(table)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
