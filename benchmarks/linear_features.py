"""What a linear classifier makes of codings that were learned without labels, on the full MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/linear_features.py [FAMILY ...]

Each model, with tied weights as in the papers, is trained on the 60,000 training images without their
labels; then a linear support
vector machine and a logistic regression learn the digits from its codings. Their strengths are
chosen on the last 10,000 training images, then they are trained on all. Test error in percent, on
2026-11-25, two cores with other work beside:

                       SVM    logistic   paper               seconds to train, in all
    winner-take-all    1.28       1.61   SVM 1.2                         550      649
    k-sparse           1.91       2.12   logistic 1.35                   748      865
    contractive        2.23       3.63   fine-tuned 1.14                 217      655
    pixels             8.18       7.87                                     -      214

Without tied weights winner-take-all has 1.80 by the SVM, after 25 epochs.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import LinearSVC

import kerasae

STRENGTHS = (0.1, 1.0, 10.0)
PAPERS = {
    "winner-take-all": "SVM 1.2",
    "k-sparse": "logistic 1.35",
    "contractive": "fine-tuned 1.14",
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
        "SVM": LinearSVC(C=strength, dual=False, tol=1e-3),
        "logistic": LogisticRegression(C=strength, max_iter=200, tol=1e-3),
    }


def errors(features, labels, test_features, test_labels):
    """Test error in percent of each classifier, its strength chosen on held-out training rows."""
    scaler = MaxAbsScaler().fit(features)
    features, test_features = (scaler.transform(rows) for rows in (features, test_features))
    cut = len(features) - 10_000
    answers = {}
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
        answers[name] = 100 * (1 - classifier.score(test_features, test_labels))
    return answers


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("families", nargs="*", default=["pixels", *MODELS])
    data = kerasae.datasets.load("mnist")
    x, x_test = data.x_train / np.float32(255), data.x_test / np.float32(255)
    for family in parser.parse_args().families:
        started = time.perf_counter()
        features = (x, x_test) if family == "pixels" else codings_of(family, x, x_test)
        trained = time.perf_counter() - started
        answers = errors(features[0], data.y_train, features[1], data.y_test)
        shown = ", ".join(f"{name} {error:.2f}" for name, error in answers.items())
        print(
            f"{family}: test error {shown}; paper {PAPERS.get(family, '-')}; "
            f"{trained:.0f} s to train, {time.perf_counter() - started:.0f} s in all",
            flush=True,
        )


if __name__ == "__main__":
    main()
