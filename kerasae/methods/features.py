"""Deep features: the outputs of a layer of an autoencoder for rows."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from kerasae.datasets.reading import by_piece
from kerasae.layers.scaling import scale
from kerasae.models import Autoencoder
from kerasae.validation import unknown


class AverageActivation(NamedTuple):
    """Mean activations of the codings over rows.

    Attributes:
        per_coding: rho_hat of each coding, float32 of the shape of one row's codings.
        overall: Their mean.
    """

    per_coding: np.ndarray
    overall: float


def average_activation(model: Autoencoder, x: Any, batch_size: int = 256) -> AverageActivation:
    r"""Measures how active each coding is on average: rho_hat, which sparsity pulls towards rho.

    $$\hat\rho_j = \frac{1}{n} \sum_{i=1}^{n} h_j(x_i)$$

    Args:
        model: An `Autoencoder`.
        x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches of rows.
        batch_size: Rows a step.

    Returns:
        `AverageActivation`, in the range of the activation.

    Raises:
        ValueError: The rows do not fit the model.

    Reference: Ng (2011), Sparse autoencoder, CS294A lecture notes.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> average_activation(model, np.zeros((5, 8))).overall
        0.0
    """
    codings = model.encode(x, batch_size=batch_size)
    per_coding = codings.mean(axis=0, dtype="float64").astype("float32")
    return AverageActivation(per_coding, float(per_coding.mean()))


@by_piece
def deep_features(
    model: Autoencoder,
    x: Any,
    layer: str = "codings",
    batch_size: int = 256,
    verbose: int | str = 0,
) -> np.ndarray:
    """Computes the output of a named layer for each row, batch by batch.

    Args:
        model: An `Autoencoder`.
        x: Rows in the user's units, shape (rows, *row_shape), a dataset of batches of rows, or a
            `RowSource`, of which the features of each piece are given in turn.
        layer: "codings" for the output of the encoder, or the name of any other layer of the
            encoder or decoder, "hidden_1" for example.
        batch_size: Rows a step; a dataset brings its own.
        verbose: 1, or "auto", for a progress bar.

    Returns:
        float32 array of shape (rows, ...), the output for each row.

    Raises:
        ValueError: No layer has that name, or the rows do not fit the model.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4, 2))
        >>> deep_features(model, np.eye(8), layer="hidden_1").shape
        (8, 4)
    """
    if layer == "codings":
        return model.encode(x, batch_size=batch_size, verbose=verbose)
    function = _layer_function(model, layer)
    rows = model._checked_rows(x, "x")
    return model._streams.run(
        f"layer {layer}", function, rows, batch_size=batch_size, verbose=verbose
    )


def feature_columns(features: np.ndarray, layer: str = "codings") -> dict[str, np.ndarray]:
    """Deep features as columns of a table.

    Args:
        features: What `deep_features` gives, shape (rows, ...).
        layer: Name of the layer.

    Returns:
        Arrays of one entry a row, called `layer_1`, `layer_2`, ...
    """
    columns = features.reshape(len(features), -1).T
    return {f"{layer}_{i}": column for i, column in enumerate(columns, start=1)}


def layer_functions(model: Autoencoder, names: Iterable[str]) -> Callable[[Any], dict[str, Any]]:
    """A function from a tensor of rows to the outputs of named layers, for compiled functions.

    Args:
        model: An `Autoencoder`.
        names: Names of layers of the encoder or decoder.

    Returns:
        A function that returns a dict by name of float32 tensors, batch first.

    Raises:
        ValueError: No layer has one of these names.
    """
    parts = {name: _layer_function(model, name) for name in names}
    return lambda x: {name: part(x) for name, part in parts.items()}


def _layer_function(model, name):
    layers = {layer.name: half for half in (model.encoder, model.decoder) for layer in half.layers}
    if name not in layers:
        raise ValueError(unknown("layer", name, layers))
    half = layers[name]
    upto = keras.Model(half.inputs, half.get_layer(name).output)

    def features(x):
        inputs = scale(model.scaler, x)
        return ops.cast(upto(inputs if half is model.encoder else model.encoder(inputs)), "float32")

    return features
