"""A penalty that comes in gently."""

from collections.abc import Mapping
from typing import Any

import keras

from kerasae.layers.base import walk
from kerasae.validation import check_count, unknown


class PenaltyWarmup(keras.callbacks.Callback):
    r"""Raises the weight of a penalty from 0 to its value over the first epochs.

    $$\beta_t = \beta \min(1, t / T)$$

    in epoch t, counted from 0, with `epochs` = T: epoch 0 trains without the penalty, epoch T is
    the first under the whole of it. A model learns to reconstruct before sparsity or a prior is
    enforced, which otherwise can switch codings off for good.

    Beta is the value that the layer was made with, as its `get_config()` has it, whatever its
    variable holds by now. So a run that is killed in the warm-up, or a model that was saved in it,
    goes on to the same value. When `fit` ends, early too, the variable holds beta.

    Args:
        epochs: T, a whole number of at least 1.
        layer: Name of the one layer to warm up; by default every layer that has a penalty's `beta`,
            a scalar variable that is not trained, and a `beta` in its config. That of a
            `KLSparsityRegularizer` is one, that of a `keras.layers.BatchNormalization` is not.

    Raises:
        ValueError: `epochs` is not such a number, or no layer of the model has a beta or the name.

    Reference: Bowman et al. (2016), Generating sentences from a continuous space; Sønderby et al.
    (2016), Ladder variational autoencoders.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.sparse_autoencoder((8,), 4, beta=0.5)
        >>> history = model.fit(np.eye(8), epochs=3, verbose=0, callbacks=[PenaltyWarmup(2)])
        >>> float(model.encoder.get_layer("sparsity").beta)
        0.5
    """

    def __init__(self, epochs: int, layer: str | None = None) -> None:
        super().__init__()
        check_count("epochs", epochs)
        self.epochs = epochs
        self.layer = layer

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        penalized = [layer for layer in walk(self.model) if _has_beta(layer)]
        if not penalized:
            raise ValueError(
                "the model must have a layer with a beta, a KLSparsityRegularizer for example. "
                "Received: none (PenaltyWarmup). Try sparse_autoencoder"
            )
        chosen = [layer for layer in penalized if self.layer in (None, layer.name)]
        if not chosen:
            names = [layer.name for layer in penalized]
            raise ValueError(unknown("layer with a beta", self.layer, names))
        self._targets = [(layer.beta, layer.get_config()["beta"]) for layer in chosen]

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._assign(min(1.0, epoch / self.epochs))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        self._assign(1.0)

    def _assign(self, share):
        for variable, target in self._targets:
            variable.assign(share * target)


def _has_beta(layer):
    beta = getattr(layer, "beta", None)
    if not isinstance(beta, keras.Variable) or beta.trainable or tuple(beta.shape):
        return False
    return "beta" in layer.get_config()
