"""Section 19.3: sparse autoencoders."""

from functools import partial

import numpy as np
from keras import ops

from kerasae import plots
from kerasae.chapter.bench import Bench
from kerasae.chapter.result import Picture, Row, Section
from kerasae.chapter.settings import (
    PLAIN,
    PLAIN_ACTIVATION,
    SPARSE_ACTIVATION,
    STRONG_RHO,
    TANH,
)
from kerasae.methods.features import average_activation
from kerasae.models import sparse_autoencoder
from kerasae.tuning.book import BETAS, RHO


def sparse(bench: Bench) -> Section:
    """19.3: average activations, the grid over beta, and a strong penalty."""
    plain, seconds = bench.stack(PLAIN)
    name = bench.named(PLAIN)
    before = _four(average_activation(plain, bench.x_test).overall)
    rows = [Row(f"{name}: average activation", before, _four(PLAIN_ACTIVATION), seconds=seconds)]
    models = {beta: _train(bench, RHO, beta) for beta in BETAS}
    found = [_measure(bench, model) for model, _ in models.values()]
    pca = bench.pca_mse(PLAIN)
    for (beta, book), (activation, error, _) in zip(BETAS.items(), found, strict=True):
        what = f"rho {RHO}, beta {beta}"
        mean = f"{SPARSE_ACTIVATION}" if beta == min(BETAS) else None
        rows += [
            Row(f"{what}: MSE", error, book, pca, models[beta].seconds),
            Row(f"{what}: average activation", _four(activation), mean),
        ]
    strong = _train(bench, STRONG_RHO, max(BETAS))
    activation, error, _ = _measure(bench, strong.model)
    what = f"rho {STRONG_RHO}, beta {max(BETAS)}"
    rows += [
        Row(f"{what}: MSE", error, "picture", pca, strong.seconds),
        Row(f"{what}: average activation", _four(activation)),
    ]
    pictures = [
        *_histograms(bench, plain, models[min(BETAS)].model, name),
        *_strong(bench, plain, strong.model),
    ]
    return Section("Sparse autoencoders", _text(found), rows, pictures)


def _four(activation):
    # Plus 0: a mean just below 0 is written as 0.0000, not as -0.0000.
    return f"{round(activation, 4) + 0:.4f}"


def _train(bench, rho, beta):
    what = f"{bench.layout(PLAIN)}, rho {rho}, beta {beta}"
    build = partial(sparse_autoencoder, scaler=bench.scaling, activation=TANH, rho=rho, beta=beta)
    return bench.train(build, PLAIN, "sparse", what)


def _measure(bench, model):
    """Average activation, error and the penalty before beta, all of the test rows."""
    codings = model.encode(bench.x_test)
    divergence = float(ops.sum(model.encoder.layers[-1].divergence(ops.convert_to_tensor(codings))))
    return float(codings.mean()), bench.mse(model.reconstruct(bench.x_test)), divergence


def _text(found):
    activations, errors, divergences = np.array(found).T
    nearest = np.argmin(np.abs(activations - RHO))
    listed = ", ".join(f"{divergence:.4f}" for divergence in divergences)
    return [
        "The penalty is beta times the sum over the codings of KL(rho || rho_hat), added to an "
        "error that is a mean over the columns. In theory a larger beta makes the sum smaller and "
        f"the error larger. Measured: the sum, {listed}, falls {_order(-divergences)}, and the "
        f"error grows {_order(errors)}. The average activation is nearest to rho = {RHO} at beta "
        f"{[*BETAS][nearest]}: {activations[nearest]:.4f}, with an error of {errors[nearest]:.5f}."
    ]


def _order(values):
    """Says whether values grow with every step of beta."""
    betas = [*BETAS]
    steps = [
        f"from {low} to {high}"
        for low, high, step in zip(betas, betas[1:], np.diff(values), strict=False)
        if step < 0
    ]
    return f"with every step of beta but {' and '.join(steps)}" if steps else "with every step"


def _histograms(bench, plain, sparse_model, name):
    for model, rho, training in (
        (plain, None, f"without a penalty ({name})"),
        (sparse_model, RHO, f"with rho {RHO} and beta {min(BETAS)}"),
    ):
        codings = model.encode(bench.x_test)
        means = codings.mean(axis=0)
        caption = (
            f"Activations of the test rows {training}: all of them, left, and the mean of each "
            f"coding, right. The means lie between {means.min():.3f} and {means.max():.3f}"
        )
        caption += "." if rho is None else ": the penalty draws each towards the dashed line."
        yield Picture(plots.activation_histogram(codings, rho), caption)


def _strong(bench, plain, strong):
    shown = bench.x_test[bench.sample(4)]
    for model, training in (
        (plain, "without a penalty"),
        (
            strong,
            f"with rho {STRONG_RHO}: the codings may be active for few rows only; look for "
            "strokes that fray and fade",
        ),
    ):
        figure = plots.reconstructions(shown, model.reconstruct(shown), bench.image_shape)
        yield Picture(figure, f"Four test digits, above, and their reconstructions {training}.")
