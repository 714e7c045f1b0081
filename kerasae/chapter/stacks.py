"""Section 19.2: undercomplete autoencoders beside PCA."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from kerasae import plots
from kerasae.chapter.bench import Bench
from kerasae.chapter.result import Picture, Row, Section
from kerasae.chapter.settings import BEST, DEEP_TWO, GRID, TWO


def beside_pca(bench: Bench) -> Section:
    """19.2.1: two codings and two principal components, coloured by digit."""
    components = _components(bench, bench.x), _components(bench, bench.x_test)
    pca_accuracy = _knn_accuracy(bench, *components)
    rows, pictures = [], []
    for layout in (TWO, DEEP_TWO):
        model, seconds = bench.stack(layout)
        codings = model.encode(bench.x), model.encode(bench.x_test)
        error = bench.mse(model.reconstruct(bench.x_test))
        accuracy = _knn_accuracy(bench, *codings)
        name = bench.named(layout)
        rows += [
            Row(f"{name}: MSE", error, pca=bench.pca_mse(layout), seconds=seconds),
            Row(f"{name}: 15-NN accuracy", f"{accuracy:.1%}", "picture", f"{pca_accuracy:.1%}"),
        ]
        caption = (
            f"Test digits by the two codings of {name}, left, and by their first two principal "
            "components, right; each name is drawn at the median of its rows. Look for how far "
            "the classes lie apart: a vote of the 15 nearest training rows names "
            f"{accuracy:.1%} of the test digits from the codings, {pca_accuracy:.1%} from the "
            "components."
        )
        figure = plots.codings_beside_pca(codings[1], components[1], bench.y_test)
        pictures.append(Picture(figure, caption))
    text = [
        "A network with one hidden layer and a linear output cannot reconstruct better than PCA "
        "with as many components (Bourlard and Kamp, 1988): its two codings span nearly the same "
        "plane, bent by tanh. The same two codings between deeper layers follow the digits "
        "themselves."
    ]
    return Section("Codings beside PCA", text, rows, pictures)


def _components(bench, x):
    return bench.pca().transform(bench.scale(x))[:, :2]


def _knn_accuracy(bench, known, new):
    """Share of the test rows whose digit is that of most of the 15 nearest training rows."""
    return KNeighborsClassifier(15).fit(known, bench.y).score(new, bench.y_test)


def grid(bench: Bench) -> Section:
    """19.2.2: the grid over layouts, the lowest error first."""
    found = []
    for layout, book in GRID.items():
        model, seconds = bench.stack(layout)
        error = bench.mse(model.reconstruct(bench.x_test))
        found.append((error, bench.named(layout), book, bench.pca_mse(layout), seconds))
    found.sort()
    errors, names, books, pcas, _ = zip(*found, strict=True)
    rows = [
        Row(f"{what}: MSE", error, book, pca, seconds) for error, what, book, pca, seconds in found
    ]
    references = {"PCA with as many codings": pcas}
    if bench.data == "mnist":
        references["book (H2O)"] = books
    better = sum(error < pca for error, pca in zip(errors, pcas, strict=True))
    caption = (
        "Mean squared error of the test rows, the best layout on top; a diamond or square to the "
        "right of a dot is beaten by it. "
        f"{better} of {len(errors)} layouts reconstruct better than PCA with as many components, "
        "which one hidden layer cannot."
    )
    text = [
        "Errors are on the scale of H2O's: each column less its mean, divided by its range, both "
        "measured on the training rows. All models are trained by Adam with a rate that falls to 0 "
        "along a cosine."
    ]
    picture = Picture(plots.leaderboard(names, errors, references), caption)
    return Section("A grid over layouts", text, rows, [picture])


def sampled(bench: Bench) -> Section:
    """19.2.3: four test digits beside their reconstructions."""
    model, seconds = bench.stack(BEST)
    chosen = bench.sample(4)
    shown = bench.x_test[chosen]
    reconstructed = model.reconstruct(shown)
    errors = model.reconstruction_error(shown)
    labels = np.asarray(bench.y_test)[chosen]
    titles = [f"{label}, error {e:.4f}" for label, e in zip(labels, errors, strict=True)]
    codings = bench.widths(BEST)[-1]
    caption = (
        f"Four test digits drawn at random, above, and what {bench.layout(BEST)} makes of "
        f"{codings} numbers each, below: look for strokes that moved, faded or closed."
    )
    what = f"{bench.named(BEST)}: MSE of four rows"
    rows = [Row(what, float(errors.mean()), "picture", seconds=seconds)]
    figure = plots.reconstructions(shown, reconstructed, bench.image_shape, titles)
    return Section("Reconstructions", [], rows, [Picture(figure, caption)])
