"""Seconds an epoch of each family, in three ways to run the steps: what `fit` chooses, and two others.

    KERASAE_DATA_DIR=FOLDER python benchmarks/families_speed.py

On 6,000 rows of MNIST in batches of 128: as `fit` chooses for long fits; in one loop compiled by XLA,
whatever the layers are; and fed by Keras, with defaults. All take turns. The first turn, with the
compilation, is reported by itself. KERAS_BACKEND chooses the backend. The times show which layers are slow
in a loop of XLA on a processor: those that sort or draw normal numbers, and convolutions.
"""

import os
import statistics
from contextlib import ExitStack
from functools import partial
from unittest import mock

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import results
from contenders import load_rows, race

import kerasae
from kerasae.models import jax_programs, training, xla

ROWS, EPOCHS, REPEATS = 6000, 3, 3
FAMILIES = {
    "stacked, [300,100,300]": lambda: kerasae.stacked_autoencoder(784, (300, 100)),
    "stacked, tied": lambda: kerasae.stacked_autoencoder(784, (300, 100), tied=True),
    "sparse": lambda: kerasae.sparse_autoencoder(784, 100),
    "k-sparse": lambda: kerasae.k_sparse_autoencoder(784, 1000, k=25),
    "winner-take-all": lambda: kerasae.winner_take_all_autoencoder(784, 1000, winners=0.05),
    "denoising, Gaussian": lambda: kerasae.denoising_autoencoder(784, 100),
    "denoising, salt and pepper": lambda: kerasae.denoising_autoencoder(
        784, 100, corruption=kerasae.SaltPepperDropout(0.3)
    ),
    "contractive": lambda: kerasae.contractive_autoencoder(784, 100, beta=1e-4),
    "variational, 10 codings": lambda: kerasae.variational_autoencoder(784, (300, 10)),
    "variational, 100 codings": lambda: kerasae.variational_autoencoder(784, (300, 100)),
    "adversarial": lambda: kerasae.adversarial_autoencoder(784, (300, 8)),
    "convolutional": lambda: kerasae.convolutional_autoencoder((28, 28, 1), (16, 32, 10)),
}
# What replaces the library's own choice, where it does.
WAYS = {
    "chosen": {(xla, "XLA_STEPS"): 1},
    "XLA loop": {
        (training, "gains_by_xla"): lambda model, steps: True,
        (jax_programs, "convolves"): lambda model: False,
    },
    "fed by Keras": {},
}


def fit(model, x, way):
    options = {"batch_size": 128, "epochs": EPOCHS, "verbose": 0}
    with ExitStack() as stack:
        for (module, name), value in WAYS[way].items():
            stack.enter_context(mock.patch.object(module, name, value))
        if way == "fed by Keras":
            keras.Model.fit(model, x, x, **options)
        else:
            model.fit(x, **options)


def main():
    backend = keras.backend.backend()
    settings = results.parser(__doc__, f"families_speed-{backend}").parse_args()
    rows, found = load_rows(rows=ROWS), []
    print(f"{backend}: seconds an epoch, in brackets the first fit of {EPOCHS}")
    for family, build in FAMILIES.items():
        fits = {}
        for way in WAYS:
            model = build()
            model.compile()
            fits[way] = partial(fit, model, rows.reshape(-1, *model.row_shape), way)
        raced = race(fits, REPEATS)
        seconds = {way: statistics.median(others) / EPOCHS for way, (_, others) in raced.items()}
        first = {f"first fit, {way}": taken for way, (taken, _) in raced.items()}
        text = (f"{way} {seconds[way]:.3f} ({first[f'first fit, {way}']:.1f})" for way in WAYS)
        print(f"{family:28}" + "   ".join(text), flush=True)
        found.append({"family": family, **seconds, **first})
    results.write(settings.output, found)


if __name__ == "__main__":
    main()
