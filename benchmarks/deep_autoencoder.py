"""The deep autoencoder of Hinton and Salakhutdinov (2006), 784-1000-500-250-30, on the full MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/deep_autoencoder.py

Squared error an image on x / 255, test set, mean over the 10,000 images. The paper pretrains with
restricted Boltzmann machines and fine-tunes with conjugate gradients; this trains from scratch with
Adam on the cross-entropy, ELU units, linear codings and a learning rate that falls along a cosine.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from sklearn.decomposition import PCA

import kerasae

CODINGS, BATCH_SIZE = 30, 128
MODEL, MEASURE = "deep, 784-1000-500-250-30", "squared error an image"
PAPER = "3.00, Hinton and Salakhutdinov 2006"


def squared_error(rows, reconstructed):
    return float(np.square(rows - reconstructed).sum(axis=1).mean())


def train(x, epochs, verbose):
    keras.utils.set_random_seed(0)
    model = kerasae.stacked_autoencoder(
        784,
        (1000, 500, 250, CODINGS),
        activation="elu",
        codings_activation="linear",
        output_activation="sigmoid",
        loss="binary_crossentropy",
        scaler=keras.layers.Rescaling(1 / 255),
    )
    steps = epochs * -(-len(x) // BATCH_SIZE)
    rate = keras.optimizers.schedules.CosineDecay(0.001, steps)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=verbose)
    return model


def main():
    parser = results.parser(__doc__, "deep_autoencoder")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--verbose", type=int, default=2)
    settings = parser.parse_args()
    data = kerasae.datasets.load("mnist")
    x, x_test = data.x_train / np.float32(255), data.x_test / np.float32(255)
    pca = PCA(CODINGS, random_state=0).fit(x)
    linear = squared_error(x_test, pca.inverse_transform(pca.transform(x_test)))
    started = time.perf_counter()
    model = train(data.x_train, settings.epochs, settings.verbose)
    seconds = time.perf_counter() - started
    train_error, test_error = (
        squared_error(rows / np.float32(255), model.reconstruct(rows) / 255)
        for rows in (data.x_train, data.x_test)
    )
    print(f"{MEASURE}: train {train_error:.3f}, test {test_error:.3f}; {seconds:.0f} s")
    print(f"PCA, {CODINGS} components, test: {linear:.3f}; paper {PAPER}")
    of_model = {"model": MODEL, "measure": MEASURE, "paper": PAPER}
    rows = [
        {**of_model, "value": test_error, "seconds": seconds},
        {"model": MODEL, "measure": f"{MEASURE}, training rows", "value": train_error},
        {"model": f"PCA, {CODINGS} components", "measure": MEASURE, "value": linear},
    ]
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
