"""The deep autoencoder of Hinton and Salakhutdinov (2006), 784-1000-500-250-30, on the full MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/deep_autoencoder.py

Squared error an image on x / 255, test set, mean over the 10,000 images. The paper pretrains with
restricted Boltzmann machines and fine-tunes with conjugate gradients; this trains from scratch with
Adam on the cross-entropy, ELU units, linear codings and a learning rate that falls along a cosine.
On 2026-11-25, two cores with other work beside:

    train 1.748, test 2.899; PCA with 30 components 13.866; paper 3.00; 1,388 s

Its training error still falls, its test error hardly: a longer run needs noise or weight decay, not a
faster machine.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.decomposition import PCA

import kerasae

CODINGS, BATCH_SIZE = 30, 128


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
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
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
    for name, rows in (("train", data.x_train), ("test", data.x_test)):
        error = squared_error(rows / np.float32(255), model.reconstruct(rows) / 255)
        print(f"{name}: squared error an image {error:.3f}")
    print(f"PCA, {CODINGS} components, test: {linear:.3f}; paper 3.00; {seconds:.0f} s")


if __name__ == "__main__":
    main()
