"""Seconds an epoch of each family, in three ways to run the steps: what `fit` chooses, and two others.

    KERASAE_DATA_DIR=FOLDER python benchmarks/families_speed.py

On 6,000 rows of MNIST in batches of 128: as `fit` chooses for long fits; in one loop compiled by XLA,
whatever the layers are; and fed by Keras, with defaults. All take turns, the first of which, with the
compilation, is told apart. KERAS_BACKEND chooses the backend. It says which layers XLA is slow on, in a loop
on a processor: `slow_in_xla` of a layer, and convolutions.
"""

import os
import statistics
from contextlib import ExitStack
from functools import partial
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from contenders import load_rows, race

import kerasae
from kerasae.models import loops, resident

ROWS, EPOCHS, REPEATS = 6000, 3, 3
FAMILIES = {
    "stacked": lambda: kerasae.stacked_autoencoder(784, (300, 100)),
    "stacked, tied": lambda: kerasae.stacked_autoencoder(784, (300, 100), tied=True),
    "sparse": lambda: kerasae.sparse_autoencoder(784, 100),
    "k-sparse": lambda: kerasae.k_sparse_autoencoder(784, 1000, k=25),
    "winner-take-all": lambda: kerasae.winner_take_all_autoencoder(784, 1000, winners=0.05),
    "denoising, Gaussian": lambda: kerasae.denoising_autoencoder(784, 100),
    "denoising, salt and pepper": lambda: kerasae.denoising_autoencoder(
        784, 100, corruption=kerasae.SaltPepperDropout(0.3)
    ),
    "contractive": lambda: kerasae.contractive_autoencoder(784, 100, beta=1e-4),
    "variational, 10": lambda: kerasae.variational_autoencoder(784, (300, 10)),
    "variational, 100": lambda: kerasae.variational_autoencoder(784, (300, 100)),
    "adversarial": lambda: kerasae.adversarial_autoencoder(784, (300, 8)),
    "convolutional": lambda: kerasae.convolutional_autoencoder((28, 28, 1), (16, 32, 10)),
}
# What to put in the place of the library's own choice.
WAYS = {
    "chosen": {(loops, "XLA_STEPS"): 1},
    "XLA loop": {
        (loops, "XLA_STEPS"): 1,
        (loops, "_gains_by_xla"): lambda model: True,
        (loops, "_convolves"): lambda model: False,
    },
    "fed by Keras": {(resident, "_applies"): lambda *arguments: False},
}


def fit(model, x, way):
    with ExitStack() as stack:
        for (module, name), value in WAYS[way].items():
            stack.enter_context(mock.patch.object(module, name, value))
        model.fit(x, batch_size=128, epochs=EPOCHS, verbose=0)


def main():
    rows = load_rows(rows=ROWS)
    print(f"{keras.backend.backend()}: seconds an epoch, in brackets the first fit of {EPOCHS}")
    for family, build in FAMILIES.items():
        fits = {}
        for way in WAYS:
            model = build()
            model.compile()
            fits[way] = partial(fit, model, rows.reshape(-1, *model.row_shape), way)
        text = (
            f"{way} {statistics.median(others) / EPOCHS:.3f} ({first:.1f})"
            for way, (first, others) in race(fits, REPEATS).items()
        )
        print(f"{family:28}" + "   ".join(text), flush=True)


if __name__ == "__main__":
    main()
