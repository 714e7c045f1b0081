"""Section 19.4: denoising autoencoders."""

from functools import partial

import numpy as np
from keras import ops

from kerasae import plots
from kerasae.chapter.bench import Bench
from kerasae.chapter.result import Picture, Row, Section
from kerasae.chapter.settings import DENOISING, OUTPUT, OVERCOMPLETE, PLAIN, RATE, STACK, STDDEV
from kerasae.layers import GaussianCorruption, SaltPepperDropout
from kerasae.models import denoising_autoencoder, stacked_autoencoder

# Of two seeds each, so that no model is tested on the noise it was trained with.
NOISES = {
    f"Gaussian noise {STDDEV}": lambda seed: GaussianCorruption(STDDEV, seed=seed),
    f"salt-pepper {RATE:.0%}": lambda seed: SaltPepperDropout(RATE, seed=seed),
}
SALT_PEPPER = [*NOISES][1]
ACTIVATIONS = {"activation": STACK, "output_activation": OUTPUT}


def denoising(bench: Bench) -> Section:
    """19.4: two kinds of noise, and codings that outnumber the columns."""
    rows, pictures = [], []
    for noise in NOISES:
        model, seconds = _train(bench, PLAIN, noise, "denoising")
        error = bench.mse(model.reconstruct(bench.x_test))
        what = f"{bench.layout(PLAIN)}, {STACK}, {noise}: clean MSE"
        rows.append(Row(what, error, DENOISING, bench.pca_mse(PLAIN), seconds))
        pictures.append(_triples(bench, model, noise))
    more, ratio = _overcomplete(bench)
    text = [
        "The models see corrupted pixels in training and learn to give the clean ones; they are "
        "validated on clean rows, as in the book. Noise is drawn anew for every batch. The hidden "
        f"layer is {STACK}, the output {OUTPUT}, since pixels lie between 0 and 1; this bound can "
        "bring even one hidden layer below PCA.",
        "With more codings than columns nothing but the noise keeps a model from copying its "
        f"input. Given corrupted test rows, the one that was trained with noise is {ratio:.1f} "
        "times closer to the clean rows than the one that was not.",
    ]
    return Section("Denoising", text, rows + more, pictures)


def _train(bench, layout, noise, kind):
    what = f"{bench.layout(layout)}, {noise}"
    build = partial(denoising_autoencoder, corruption=NOISES[noise](0), **ACTIVATIONS)
    return bench.train(build, layout, kind, what)


def _corrupted(bench, noise):
    return ops.convert_to_numpy(NOISES[noise](1).corrupt(bench.x_test))


def _triples(bench, model, noise):
    chosen = bench.sample(8)
    clean, corrupted = bench.x_test[chosen], _corrupted(bench, noise)[chosen]
    figure = plots.corrupted_triples(
        clean, corrupted, model.reconstruct(corrupted), bench.image_shape
    )
    caption = (
        f"Eight test digits, the same with {noise}, and what {bench.layout(PLAIN)} makes of the "
        "noisy ones: look for specks that are gone and broken strokes that are closed."
    )
    return Picture(figure, caption)


def _overcomplete(bench):
    """The rows of an overcomplete model without and with noise, and the ratio of their errors."""
    name = bench.layout(OVERCOMPLETE)
    kind = "overcomplete"
    build = partial(stacked_autoencoder, **ACTIVATIONS)
    plain = bench.train(build, OVERCOMPLETE, kind, f"{name}, plain")
    models = {"plain": plain, "denoising": _train(bench, OVERCOMPLETE, SALT_PEPPER, kind)}
    corrupted = _corrupted(bench, SALT_PEPPER)
    rows, errors = [], []
    for what, (model, seconds) in models.items():
        errors.append(float(np.square(model.reconstruct(corrupted) - bench.x_test).mean()))
        text = f"{name}, {STACK}, {what}: noisy MSE, pixels"
        rows.append(Row(text, errors[-1], seconds=seconds))
    return rows, errors[0] / errors[1]
