"""Anomaly detection on twelve sets of ADBench, beside PyOD, PCA and an isolation forest.

    pip install -e '.[anomaly-bench]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/anomaly.py

The sets are `.npz` files of ADBench in FOLDER/adbench. Each detector trains on 70% of the normal rows and
is tested on the other 30% and all anomalies, with five seeds.
PyOD's detectors, the forest and PCA (a quarter of the columns as components) have their defaults;
ours are tanh stacks of (columns, columns / 4) and denoising models with twice as many codings as
columns, 3,000 steps of Adam on standardised columns, the same for every set. A guard of 1 adds the
distance in the codings to the score. Measured is the AUC in percent, mean and standard deviation.
"""

import os
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from rich.console import Console
from rich.table import Table
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

import kerasae

STEPS, BATCH_SIZE = 3000, 32


def normal_split(x, y, seed):
    """Trains on 70% of the normal rows; tests on the others and all anomalies."""
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))
    cut = round(0.7 * len(normal))
    test = np.concatenate([normal[cut:], np.flatnonzero(y == 1)])
    return x[normal[:cut]], x[test], y[test]


def kerasae_scores(build, x, x_test, seed):
    """Scores without and with the guard, from one model."""
    keras.utils.set_random_seed(seed)
    scaler = keras.layers.Normalization()
    scaler.adapt(x)
    model = build(x.shape[1], scaler)
    steps = -(-len(x) // BATCH_SIZE)
    model.compile(keras.optimizers.Adam(0.001))
    model.fit(x, epochs=max(1, round(STEPS / steps)), batch_size=BATCH_SIZE, verbose=0)
    scores = []
    for guard in (0.0, 1.0):
        kerasae.anomaly.calibrate(model, x, guard=guard, batch_size=4096)
        scores.append(kerasae.anomaly.score(model, x_test, batch_size=4096).anomaly_score)
    return scores


def stacked(width, scaler):
    return kerasae.stacked_autoencoder((width,), (width, max(1, width // 4)), scaler=scaler)


def denoising(width, scaler):
    return kerasae.denoising_autoencoder(
        (width,), 2 * width, corruption=kerasae.GaussianCorruption(0.2), scaler=scaler
    )


def pyod_scores(name, x, x_test, seed):
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.vae import VAE

    detector = {"AutoEncoder": AutoEncoder, "VAE": VAE}[name](random_state=seed, verbose=0)
    return [detector.fit(x).decision_function(x_test)]


def pca_scores(x, x_test, seed):
    scaler = StandardScaler().fit(x)
    z, z_test = scaler.transform(x), scaler.transform(x_test)
    pca = PCA(max(1, x.shape[1] // 4), random_state=seed).fit(z)
    return [np.square(pca.inverse_transform(pca.transform(z_test)) - z_test).mean(axis=1)]


def forest_scores(x, x_test, seed):
    return [-IsolationForest(random_state=seed).fit(x).score_samples(x_test)]


DETECTORS = {
    ("stacked", "stacked + guard"): lambda *data: kerasae_scores(stacked, *data),
    ("denoising", "denoising + guard"): lambda *data: kerasae_scores(denoising, *data),
    ("PyOD AutoEncoder",): lambda *data: pyod_scores("AutoEncoder", *data),
    ("PyOD VAE",): lambda *data: pyod_scores("VAE", *data),
    ("PCA",): pca_scores,
    ("IsolationForest",): forest_scores,
}


def measure(path, chosen, seeds, seconds):
    """AUC in percent of each detector on one set, a list by seed; adds to the seconds."""
    with np.load(path) as data:
        x, y = data["X"].astype("float32"), data["y"].astype(int)
    areas = defaultdict(list)
    for seed in range(seeds):
        rows, rows_test, labels = normal_split(x, y, seed)
        for group, run in chosen.items():
            start = time.perf_counter()
            for name, scores in zip(group, run(rows, rows_test, seed), strict=True):
                areas[name].append(100 * roc_auc_score(labels, scores))
            seconds[group[0]] += time.perf_counter() - start
    return areas


def main():
    parser = results.parser(__doc__, "anomaly")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="Comma-separated parts of detectors' names.")
    settings = parser.parse_args()
    chosen = {
        names: run
        for names, run in DETECTORS.items()
        if any(part in names[0] for part in settings.only.split(","))
    }
    names = [name for group in chosen for name in group]
    folder = Path(os.environ["KERASAE_DATA_DIR"]) / "adbench"
    table, rows, seconds = Table("AUC %, mean and sd", *names), [], defaultdict(float)
    for path in sorted(folder.glob("*.npz"), key=lambda path: int(path.stem.split("_")[0])):
        areas = measure(path, chosen, settings.seeds, seconds)
        found = {name: [float(np.mean(areas[name])), float(np.std(areas[name]))] for name in names}
        rows.append({"set": path.stem, **found})
        cells = [f"{mean:.2f} {deviation:.2f}" for mean, deviation in found.values()]
        print(path.stem, dict(zip(names, cells, strict=True)), flush=True)
        table.add_row(path.stem, *cells)
    means = {name: [float(np.mean([row[name][0] for row in rows]))] for name in names}
    rows += [
        {"set": "mean", **means},
        {"set": "seconds", **{name: [taken] for name, taken in seconds.items()}},
    ]
    table.add_row("mean", *(f"{mean:.2f}" for (mean,) in means.values()))
    table.add_row("seconds", *(f"{seconds[name]:.0f}" if name in seconds else "" for name in names))
    Console(width=30 + 18 * len(names)).print(table)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
