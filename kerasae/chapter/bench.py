"""The chapter's rows, its scale, and its models, each trained once."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras.callbacks import LambdaCallback
from sklearn.decomposition import PCA

from kerasae.chapter.settings import DEEP, DEEP_TWO, GRID, SETTINGS, STACK, TANH
from kerasae.datasets import load
from kerasae.layers import RangeScaling
from kerasae.models import Autoencoder, stacked_autoencoder
from kerasae.validation import unknown

Layout = tuple[int, ...]


class Trained(NamedTuple):
    """A model, and how many seconds its `fit` took; None where an earlier row has them.

    Attributes:
        model: The trained model.
        seconds: Wall time of its `fit`, or None.
    """

    model: Autoencoder
    seconds: float | None


class Bench:
    r"""Trains the chapter's models on one data set and measures them on one scale.

    $$\mathrm{mse}(\hat x) = \frac{1}{nd} \sum_{ij}
    \left(\frac{\hat x_{ij} - x_{ij}}{\max_j - \min_j}\right)^2$$

    with the range of each column as measured on the training rows: the scale on which H2O, and so
    the book, reports its errors. Rows are pixels in [0, 1].

    Args:
        data: "digits" or "mnist".
        epochs: Passes of every model, or None for those of `SETTINGS`.
        show: Function of a model's description, the epoch that ended and the number of epochs, for
            a progress bar; or None.

    Raises:
        ValueError: Another data set.
    """

    def __init__(
        self,
        data: str,
        epochs: int | None = None,
        show: Callable[[str, int, int], object] | None = None,
    ) -> None:
        if data not in SETTINGS:
            raise ValueError(unknown("data set", data, list(SETTINGS)))
        rows = load(data)
        self.data = data
        self.settings = SETTINGS[data]
        self.epochs = epochs
        self.show = show or (lambda *_: None)
        self.image_shape = rows.image_shape
        top = np.float32(rows.x_train.max())
        self.x, self.x_test = rows.x_train / top, rows.x_test / top
        self.y, self.y_test = rows.y_train, rows.y_test
        self.scaling = RangeScaling()
        self.scaling.adapt(self.x)
        self.stacks: dict[Layout, Trained] = {}
        self._pca = None

    # Models --------------------------------------------------------------------------------------

    def widths(self, layout: Layout) -> Layout:
        """The book's widths for 784 columns, in proportion to the columns there are, at least 2."""
        columns = self.x.shape[1]
        return tuple(max(2, width * columns // 784) for width in layout)

    def layout(self, layout: Layout) -> str:
        """How a table names a layout: its widths, with the book's in brackets where they differ."""
        names = ["-".join(map(str, half + half[-2::-1])) for half in (self.widths(layout), layout)]
        return names[0] if names[0] == names[1] else f"{names[0]} [{names[1]}]"

    def activation(self, layout: Layout) -> str:
        """The activation of a plain autoencoder's layers."""
        deep = DEEP if layout == DEEP_TWO else STACK
        return TANH if len(layout) == 1 else deep

    def named(self, layout: Layout) -> str:
        """A layout with its activation, as a table names a plain autoencoder."""
        return f"{self.layout(layout)}, {self.activation(layout)}"

    def train(
        self, build: Callable[[int, Layout], Autoencoder], layout: Layout, kind: str, what: str
    ) -> Trained:
        """Builds, compiles and fits a model, always from the same seed.

        Args:
            build: A builder of the zoo, with its other arguments bound by `functools.partial`.
            layout: The encoder's widths for 784 columns.
            kind: Which epochs of `SETTINGS` to take.
            what: What a progress bar calls it.

        Returns:
            `Trained`.
        """
        keras.utils.set_random_seed(0)
        model = build(self.x.shape[1], self.widths(layout))
        epochs = self.epochs_of(kind)
        steps = math.ceil(len(self.x) / self.settings["batch_size"])
        rate = keras.optimizers.schedules.CosineDecay(
            self.settings["learning_rate"], epochs * steps
        )
        model.compile(keras.optimizers.Adam(rate))
        start = time.perf_counter()
        model.fit(self.x, **self.fit_arguments(epochs, what))
        return Trained(model, time.perf_counter() - start)

    def epochs_of(self, kind: str) -> int:
        """How many passes a kind of model makes."""
        return self.epochs or self.settings["epochs"][kind]

    def fit_arguments(self, epochs: int, what: str) -> dict[str, Any]:
        """The arguments of every `fit` of the chapter."""
        progress = LambdaCallback(on_epoch_end=lambda i, _: self.show(what, i + 1, epochs))
        size = self.settings["batch_size"]
        return {"epochs": epochs, "batch_size": size, "verbose": 0, "callbacks": [progress]}

    def stack(self, layout: Layout) -> Trained:
        """The plain autoencoder of a layout, trained at the first call, and only then timed."""
        if layout not in self.stacks:
            build = partial(
                stacked_autoencoder, activation=self.activation(layout), scaler=self.scaling
            )
            kind = "tanh" if len(layout) == 1 else "stack"
            trained = self.train(build, layout, kind, self.named(layout))
            self.stacks[layout] = trained._replace(seconds=None)
            return trained
        return self.stacks[layout]

    # Measures ------------------------------------------------------------------------------------

    def mse(self, reconstructed: np.ndarray) -> float:
        """Mean squared error of reconstructions of the clean test rows, on H2O's scale."""
        return float(np.square((reconstructed - self.x_test) / self.scaling.range).mean())

    def pca(self) -> PCA:
        """PCA of the scaled training rows, with as many components as the grid's widest codings."""
        if self._pca is None:
            most = max(2, *(self.widths(layout)[-1] for layout in GRID))
            self._pca = PCA(most, svd_solver="covariance_eigh").fit(self.scale(self.x))
        return self._pca

    def pca_mse(self, layout: Layout) -> float:
        """Error of the test rows reconstructed from as many components as a layout has codings."""
        pca, z = self.pca(), self.scale(self.x_test)
        components = pca.components_[: self.widths(layout)[-1]]
        centred = z - pca.mean_
        return float(np.square(centred - centred @ components.T @ components).mean())

    def scale(self, x: np.ndarray) -> np.ndarray:
        """Rows on H2O's scale."""
        return keras.ops.convert_to_numpy(self.scaling(x))

    def sample(self, count: int) -> np.ndarray:
        """Positions of `count` test rows, drawn by a fixed seed."""
        return np.random.default_rng(0).permutation(len(self.x_test))[:count]
