"""Anomaly detection on all sets of ADBench in a folder, beside other detectors, in three protocols.

    pip install -e '.[anomaly-bench]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/anomaly.py

The sets are the `.npz` files in FOLDER/adbench, or in the folder of `--data`. The protocols:

- `normals`: training on a random 70% of the normal rows, tested on the others and all anomalies.
- `half`: training on the first half of the normal rows in the order of the file, of sets under 1,000
  rows drawn again with replacement to 1,000; tested on the others and all anomalies. That of
  Livernoche et al. (2024), On diffusion modeling for anomaly detection.
- `unsupervised`: training on all rows, anomalies among them, which are then scored.
- `1%`, `5%`, `10%`: as `normals`, with so many anomalies among the training rows, at most half of
  all there are, which are not tested. Of these, the trimmed detector leaves out a tenth of all rows,
  and so does the autoencoder that is refitted by `trim_and_refit`.

Every detector has its defaults; neighbors, SVM and PCA, with a quarter of the columns as components,
are given standardised columns. Results of sets and detectors that are not run again stay in the
file, so that a long run can be made in parts; `--resume` runs only what is not in it. Area under
the ROC curve and average precision are in percent; seconds are those of the processor, of all
threads together.
"""

import json
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import results
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM

SVM_ROWS = 10_000  # more take minutes


class Kerasae:
    """The detector of this library."""

    def __init__(self, seed, contamination=0.0):
        from kerasae.anomaly import Detector

        self.detector = Detector(contamination=contamination, seed=seed)

    def fit(self, x):
        self.detector.fit(x, verbose=0)

    def score(self, x):
        return self.detector.score(x).anomaly_score

    def own(self, x):
        return self.detector.training_scores(x)


class Reconstruction:
    """Reconstruction error of an autoencoder, trained again on the rows that it knows best or not."""

    def __init__(self, seed, share=0.0):
        self.seed, self.share = seed, share

    def fit(self, x):
        from kerasae.anomaly import trim_and_refit
        from kerasae.models.recipes import default_batch_size
        from kerasae.sklearn import AutoencoderDetector

        fitted = AutoencoderDetector(random_state=self.seed).fit(x)
        self.model = fitted.model_
        if self.share:
            self.model = trim_and_refit(
                self.model,
                x,
                1 - self.share,
                epochs=fitted.n_iter_,
                batch_size=default_batch_size(len(x)),
                verbose=0,
            ).model

    def score(self, x):
        return self.model.reconstruction_error(x)

    own = score


class Standardised:
    """A detector of scikit-learn on standardised columns."""

    def fit(self, x):
        self.scaler = StandardScaler().fit(x)
        self.learn(self.scaler.transform(x))

    def score(self, x):
        return self.rate(self.scaler.transform(x))

    def own(self, x):
        return self.score(x)


class Neighbors(Standardised):
    """Mean distance to the nearest training rows."""

    def __init__(self, seed, count):
        self.count = count

    def learn(self, z):
        self.index = NearestNeighbors(n_neighbors=self.count).fit(z)

    def rate(self, z):
        return self.index.kneighbors(z)[0].mean(axis=1)

    def own(self, x):
        return self.index.kneighbors()[0].mean(axis=1)  # no row meets itself


class LocalFactor(Standardised):
    """Local outlier factor."""

    def __init__(self, seed):
        pass

    def learn(self, z):
        self.factor = LocalOutlierFactor(novelty=True).fit(z)

    def rate(self, z):
        return -self.factor.score_samples(z)

    def own(self, x):
        return -self.factor.negative_outlier_factor_


class Svm(Standardised):
    """One-class support vector machine, of at most `SVM_ROWS` rows."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def learn(self, z):
        self.svm = OneClassSVM().fit(z[self.rng.permutation(len(z))[:SVM_ROWS]])

    def rate(self, z):
        return -self.svm.score_samples(z)


class Components(Standardised):
    """Reconstruction error of PCA."""

    def __init__(self, seed):
        self.seed = seed

    def learn(self, z):
        self.pca = PCA(max(1, z.shape[1] // 4), random_state=self.seed).fit(z)

    def rate(self, z):
        return np.square(self.pca.inverse_transform(self.pca.transform(z)) - z).mean(axis=1)


class Forest:
    """Isolation forest."""

    def __init__(self, seed):
        self.forest = IsolationForest(random_state=seed)

    def fit(self, x):
        self.forest.fit(x)

    def score(self, x):
        return -self.forest.score_samples(x)

    own = score


class Pyod:
    """A detector of PyOD."""

    def __init__(self, seed, name):
        from pyod.models.auto_encoder import AutoEncoder
        from pyod.models.deep_svdd import DeepSVDD
        from pyod.models.ecod import ECOD
        from pyod.models.vae import VAE

        make = {"AutoEncoder": AutoEncoder, "VAE": VAE, "DeepSVDD": DeepSVDD, "ECOD": ECOD}[name]
        self.make = lambda columns: make(
            **({} if name == "ECOD" else {"random_state": seed, "verbose": 0}),
            **({"n_features": columns} if name == "DeepSVDD" else {}),
        )

    def fit(self, x):
        self.detector = self.make(x.shape[1]).fit(x)

    def score(self, x):
        return self.detector.decision_function(x)

    def own(self, x):
        return self.detector.decision_scores_


DETECTORS = {
    "kerasae": Kerasae,
    "kerasae, trimmed": lambda seed: Kerasae(seed, 0.1),
    "denoising autoencoder": Reconstruction,
    "denoising autoencoder, refitted": lambda seed: Reconstruction(seed, 0.1),
    "kNN, k = 1": lambda seed: Neighbors(seed, 1),
    "kNN, k = 5": lambda seed: Neighbors(seed, 5),
    "LOF": LocalFactor,
    "one-class SVM": Svm,
    "isolation forest": Forest,
    "PCA": Components,
    "PyOD AutoEncoder": lambda seed: Pyod(seed, "AutoEncoder"),
    "PyOD VAE": lambda seed: Pyod(seed, "VAE"),
    "PyOD ECOD": lambda seed: Pyod(seed, "ECOD"),
    "PyOD DeepSVDD": lambda seed: Pyod(seed, "DeepSVDD"),
}


def normals(x, y, seed):
    """Random 70% of the normal rows to train on."""
    rng = np.random.default_rng(seed)
    normal = rng.permutation(np.flatnonzero(y == 0))
    cut = round(0.7 * len(normal))
    test = np.concatenate([normal[cut:], np.flatnonzero(y == 1)])
    return x[normal[:cut]], x[test], y[test]


def half(x, y, seed):
    """The first half of the normal rows in the order of the file to train on."""
    if len(x) < 1000:
        drawn = np.random.default_rng(seed).choice(len(x), 1000)
        x, y = x[drawn], y[drawn]
    normal = np.flatnonzero(y == 0)
    cut = len(normal) // 2
    test = np.concatenate([normal[cut:], np.flatnonzero(y == 1)])
    return x[normal[:cut]], x[test], y[test]


def unsupervised(x, y, seed):
    """All rows to train on, and the same to score."""
    return x, None, y


def contaminated(share):
    """A protocol with anomalies among the training rows."""

    def split(x, y, seed):
        rows, tested, labels = normals(x, y, seed)
        odd = np.flatnonzero(labels == 1)
        count = min(round(share / (1 - share) * len(rows)), len(odd) // 2)
        taken = np.random.default_rng(seed).permutation(odd)[:count]
        left = np.setdiff1d(np.arange(len(tested)), taken)
        return np.concatenate([rows, tested[taken]]), tested[left], labels[left]

    return split


PROTOCOLS = {"normals": normals, "half": half, "unsupervised": unsupervised}
PROTOCOLS |= {f"{percent}%": contaminated(percent / 100) for percent in (1, 5, 10)}


def measure(make, split, x, y, seeds):
    """Means over the seeds of both measures, and of the processor's seconds of fit and score."""
    found = []
    for seed in range(seeds):
        rows, tested, labels = split(x, y, seed)
        start = time.process_time()
        detector = make(seed)
        detector.fit(rows)
        fitted = time.process_time()
        scores = detector.own(rows) if tested is None else detector.score(tested)
        ended = time.process_time()
        areas = roc_auc_score(labels, scores), average_precision_score(labels, scores)
        found.append([*(100 * np.array(areas)), fitted - start, ended - fitted])
    names = ("auc", "average precision", "fit seconds", "score seconds")
    means = np.mean(found, axis=0)
    return {name: round(float(mean), 3) for name, mean in zip(names, means, strict=True)}


def main():
    parser = results.parser(__doc__, "anomaly")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--protocols", nargs="+", choices=PROTOCOLS, default=list(PROTOCOLS))
    parser.add_argument("--only", nargs="+", default=[""], help="Parts of detectors' names.")
    parser.add_argument("--resume", action="store_true", help="Keep what the file has.")
    parser.add_argument("--sets", nargs="+", default=[""], help="Parts of sets' names.")
    parser.add_argument("--data", type=Path, help="Another folder of sets; see keel_sets.py.")
    settings = parser.parse_args()
    folder = settings.data or Path(os.environ["KERASAE_DATA_DIR"]) / "adbench"
    paths = sorted(folder.glob("*.npz"), key=lambda path: int(path.stem.split("_")[0]))
    paths = [path for path in paths if any(part in path.stem for part in settings.sets)]
    chosen = [name for name in DETECTORS if any(part in name for part in settings.only)]
    for name in chosen:  # what the first fit of a process imports is not counted
        DETECTORS[name](0).fit(np.random.default_rng(0).normal(size=(100, 4)).astype("float32"))
    rows = {}
    if settings.output.exists():
        rows = {key(row): row for row in json.loads(settings.output.read_text())["rows"]}
    for protocol in settings.protocols:
        for path in paths:
            with np.load(path) as data:
                x, y = data["X"].astype("float32"), data["y"].astype(int)
            for name in chosen:
                about = {"protocol": protocol, "set": path.stem, "detector": name}
                if settings.resume and key(about) in rows:
                    continue
                found = measure(DETECTORS[name], PROTOCOLS[protocol], x, y, settings.seeds)
                rows[key(about)] = {**about, **found, "seeds": settings.seeds}
                print(rows[key(about)], flush=True)
            results.write(settings.output, ordered(rows))


def key(row):
    return row["protocol"], row["set"], row["detector"]


def ordered(rows):
    """By protocol, then set, then detector, as they are listed here."""
    names, protocols = list(DETECTORS), list(PROTOCOLS)

    def place(row):
        number = int(row["set"].split("_")[0])
        return protocols.index(row["protocol"]), number, names.index(row["detector"])

    return sorted(rows.values(), key=place)


if __name__ == "__main__":
    main()
