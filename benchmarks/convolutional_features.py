"""Test error of a linear SVM on the maps of a convolutional winner-take-all autoencoder, on MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/convolutional_features.py [--epochs N] [--rows N]

The autoencoder is the paper's: two convolutions of 5x5 with 128 rectified maps each, one linear
transposed convolution of 11x11 back, spatial and lifetime sparsity. It learns from `--rows` training
images without their labels. The features are its 128 maps, with no sparsity, as maxima over 6x6 at strides
of 4. A linear support vector machine with squared hinge loss, one against the rest, learns the digits from
the features of all 60,000 training images; its strength is chosen on the last 10,000 of them. With
--develop the error is that on these 10,000, and the test images are not read.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from keras import ops
from scipy.optimize import minimize

import kerasae

STRENGTHS = (1, 3, 10, 30, 100)
HELD_OUT = 10_000
PAPER = "0.64, Makhzani and Frey 2015"


def autoencoder_of(x, settings):
    """The model, trained on images of shape (rows, 28, 28, 1)."""
    keras.utils.set_random_seed(settings.seed)
    model = kerasae.winner_take_all_autoencoder(
        (28, 28, 1), (settings.maps, settings.maps), winners=settings.winners
    )
    steps = settings.epochs * -(-len(x) // settings.batch_size)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(settings.rate, steps))
    )
    history = model.fit(x, epochs=settings.epochs, batch_size=settings.batch_size, verbose=0)
    print(f"training mse {history.history['mse'][-1]:.5f}", flush=True)
    return model


def features_of(model, x):
    """Maxima of the maps over 6x6 at strides of 4, shape (rows, 49 * maps)."""
    pooled = keras.Sequential(
        [model.encoder, keras.layers.MaxPooling2D(6, strides=4, padding="same")]
    )
    return pooled.predict(x, batch_size=250, verbose=0).reshape(len(x), -1)


def support_vectors(features, labels, strength):
    """Weights (features + 1, 10) that minimise liblinear's squared hinge loss, by L-BFGS.

    On 60,000 rows of 6,272 features liblinear itself takes an hour.
    """
    signs = np.where(labels[:, None] == np.arange(10), 1, -1).astype("float32")
    x, signs = ops.convert_to_tensor(features), ops.convert_to_tensor(signs)

    def loss(flat):
        weights = flat.reshape(-1, 10).astype("float32")
        slack = ops.relu(1 - signs * (ops.matmul(x, weights[:-1]) + weights[-1]))
        slope = -2 * strength * slack * signs
        gradient = ops.convert_to_numpy(ops.transpose(ops.matmul(ops.transpose(slope), x)))
        bias = ops.convert_to_numpy(ops.sum(slope, axis=0, keepdims=True))
        value = 0.5 * np.sum(flat**2) + strength * float(ops.sum(ops.square(slack)))
        return value, np.concatenate([weights[:-1] + gradient, weights[-1:] + bias]).ravel()

    start = np.zeros((features.shape[1] + 1) * 10)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 150})
    return found.x.reshape(-1, 10).astype("float32")


def error(weights, features, labels):
    """Share of the rows that are taken for another digit, in percent."""
    return 100 * float(np.mean((features @ weights[:-1] + weights[-1]).argmax(axis=1) != labels))


def main():
    parser = results.parser(__doc__, "convolutional_features")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rows", type=int, default=30_000, help="Images the autoencoder sees.")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--maps", type=int, default=128)
    parser.add_argument("--winners", type=float, default=0.2)
    parser.add_argument("--rate", type=float, default=0.003, help="Learning rate of Adam.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--develop", action="store_true", help="Leaves the test images alone.")
    settings = parser.parse_args()
    data, started = kerasae.datasets.load("mnist"), time.perf_counter()
    x, y = data.x_train.reshape(-1, 28, 28, 1) / np.float32(255), data.y_train
    learnt = x[:-HELD_OUT] if settings.develop else x
    model = autoencoder_of(learnt[: settings.rows], settings)
    trained = time.perf_counter() - started
    features = features_of(model, x)
    scale = 1 / features[:HELD_OUT].std()
    features *= scale
    found = {}
    for strength in STRENGTHS:
        weights = support_vectors(features[:-HELD_OUT], y[:-HELD_OUT], strength / len(x))
        found[strength] = error(weights, features[-HELD_OUT:], y[-HELD_OUT:])
        print(f"C {strength}/rows: held-out error {found[strength]:.2f} %", flush=True)
    if settings.develop:
        return
    weights = support_vectors(features, y, min(found, key=found.get) / len(x))
    x_test = data.x_test.reshape(-1, 28, 28, 1) / np.float32(255)
    value = error(weights, features_of(model, x_test) * scale, data.y_test)
    seconds = time.perf_counter() - started
    print(f"test error {value:.2f} %; {trained:.0f} s to train, {seconds:.0f} s in all", flush=True)
    name = f"convolutional winner-take-all, {settings.maps} maps, {settings.epochs} epochs"
    row = {"model": f"{name} of {len(learnt[: settings.rows]):,} images"}
    row |= {"measure": "error of a linear SVM, %", "value": value, "paper": PAPER}
    results.write(settings.output, [{**row, "seconds": trained, "seconds in all": seconds}])


if __name__ == "__main__":
    main()
