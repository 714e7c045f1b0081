"""Test error of linear classifiers on codings that were learned without labels, on the full MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/linear_features.py [FAMILY ...]

Each model, with tied weights as in the papers, is trained on the 60,000 training images without their
labels. Then a linear support vector machine and a logistic regression learn the digits from its codings.
Their strengths are chosen on the last 10,000 training images, then they are trained on all.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

import kerasae

STRENGTHS = (0.1, 1.0, 10.0)
# Name of the model, and by classifier the paper's error.
PAPERS = {
    "winner-take-all": (
        "winner-take-all, 2,000 units, 5%",
        {"linear SVM": "1.2, Makhzani and Frey 2015"},
    ),
    "k-sparse": (
        "k-sparse, 1,000 units, k = 25",
        {"logistic regression": "1.35, Makhzani and Frey 2013"},
    ),
    "contractive": (
        "contractive, 1,000 units",
        {"logistic regression": "1.14 fine-tuned, Rifai et al. 2011"},
    ),
    "pixels": ("raw pixels", {}),
}
# Builder, width, arguments, epochs, learning rate.
MODELS = {
    "winner-take-all": (kerasae.winner_take_all_autoencoder, 2000, {"winners": 0.05}, 30, 0.001),
    "k-sparse": (kerasae.k_sparse_autoencoder, 1000, {"k": 25, "alpha": 3.0}, 30, 0.001),
    "contractive": (
        kerasae.contractive_autoencoder,
        1000,
        {"beta": 0.0001, "output_activation": "sigmoid", "loss": "binary_crossentropy"},
        30,
        0.001,
    ),
}


def codings_of(family, x, x_test):
    """Codings of both sets by a model that saw the first only."""
    build, width, arguments, epochs, rate = MODELS[family]
    keras.utils.set_random_seed(0)
    model = build(784, width, tied=True, **arguments)
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(x) // 100))
    model.compile(keras.optimizers.Adam(schedule))
    history = model.fit(x, epochs=epochs, batch_size=100, verbose=0).history
    print(f"{family}: training mse {history['mse'][-1]:.5f}", flush=True)
    return model.encode(x), model.encode(x_test)


def classifiers(strength):
    return {
        "linear SVM": LinearSVC(C=strength, dual=False, tol=1e-3),
        "logistic regression": LogisticRegression(C=strength, max_iter=200, tol=1e-3),
    }


def errors(features, labels, test_features, test_labels):
    """Test error in percent of each classifier, its strength chosen on held-out training rows."""
    scaler = MaxAbsScaler().fit(features)
    features, test_features = (scaler.transform(rows) for rows in (features, test_features))
    cut = len(features) - 10_000
    found = {}
    for name in classifiers(1.0):
        held_out = {}
        for strength in STRENGTHS:
            started = time.perf_counter()
            classifier = classifiers(strength)[name].fit(features[:cut], labels[:cut])
            held_out[strength] = 1 - classifier.score(features[cut:], labels[cut:])
            print(
                f"  {name}, C {strength}: held-out error {100 * held_out[strength]:.2f}, "
                f"{time.perf_counter() - started:.0f} s",
                flush=True,
            )
        best = min(held_out, key=held_out.get)
        classifier = classifiers(best)[name].fit(features, labels)
        found[name] = 100 * (1 - classifier.score(test_features, test_labels))
    return found


def rows_of(family, found, seconds):
    """A row for each classifier; the one beside the paper's error has the seconds, too."""
    model, papers = PAPERS[family]
    rows = []
    for name, error in found.items():
        row = {"model": model, "measure": f"error of a {name}, %", "value": error}
        if name in papers:
            row |= {"paper": papers[name], **seconds}
        rows.append(row)
    return rows


def main():
    parser = results.parser(__doc__, "linear_features")
    parser.add_argument("families", nargs="*", default=["pixels", *MODELS])
    settings, rows = parser.parse_args(), []
    data = kerasae.datasets.load("mnist")
    x, x_test = data.x_train / np.float32(255), data.x_test / np.float32(255)
    for family in settings.families:
        started = time.perf_counter()
        features = (x, x_test) if family == "pixels" else codings_of(family, x, x_test)
        trained = time.perf_counter() - started
        found = errors(features[0], data.y_train, features[1], data.y_test)
        in_all = time.perf_counter() - started
        shown = ", ".join(f"{name} {error:.2f}" for name, error in found.items())
        print(
            f"{family}: test error {shown}; {trained:.0f} s to train, {in_all:.0f} s in all",
            flush=True,
        )
        rows += rows_of(family, found, {"seconds": trained, "seconds in all": in_all})
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
