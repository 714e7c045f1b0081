"""Greedy layer-wise pretraining: a deep stack learned one pair of layers at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from kerasae.layers.base import PassThrough, is_identity_at_inference
from kerasae.layers.corruption import GaussianCorruption
from kerasae.layers.scaling import scale
from kerasae.layers.tied import TiedDense
from kerasae.models import Autoencoder
from kerasae.validation import is_array


class PretrainedPair(NamedTuple):
    """How one layer of the encoder and its mirror in the decoder were pretrained.

    Attributes:
        encoder_layer: Name of the encoder's layer.
        decoder_layer: Name of the decoder's layer that leads back.
        history: Dict of lists, one value an epoch, as in `fit(...).history`.
    """

    encoder_layer: str
    decoder_layer: str
    history: dict[str, list[float]]


def pretrain(
    model: Autoencoder,
    x: Any,
    *,
    epochs: int = 10,
    batch_size: int = 128,
    corruption: keras.layers.Layer | float | None = None,
    optimizer: Callable[[], keras.optimizers.Optimizer] | None = None,
    verbose: int | str = 0,
) -> list[PretrainedPair]:
    r"""Trains a dense stack pair by pair, from the outside in, before `fit` trains it as a whole.

    $$h_0 = s(x), \quad h_l = f_l(h_{l-1}), \quad
    \min_{f_l, g_l} \lVert h_{l-1} - g_l(f_l(c(h_{l-1}))) \rVert^2$$

    with scaler s, the encoder's layers $f_l$, the decoder's mirrored layers $g_l$ and a corruption
    c. Each pair is a small autoencoder of its own that learns the features of the pair below, which
    are clean. It starts from the weights that the model has, and its own are copied into the model.
    The outermost is trained by the model's loss, the others by the mean squared error. Penalties,
    corruptions and gates of the model itself wait for `fit`. A tied model is pretrained tied.
    A calibration for anomalies is cleared.

    Args:
        model: An `Autoencoder` of dense layers; it is changed in place.
        x: Rows in the user's units, shape (rows, *row_shape), in memory.
        epochs: Epochs of each pair, at least 1.
        batch_size: Rows a step, at least 1.
        corruption: What corrupts each pair's inputs in training, while its targets stay clean: a
            corruption layer, of which each pair gets a copy; the standard deviation of Gaussian
            noise, a number of at least 0, in the units of the scaled rows and of the features; or
            None.
        optimizer: Function without arguments that makes an optimizer, called once a pair, for
            example `lambda: keras.optimizers.Adam(0.01)`; None for Adam.
        verbose: 0 for silence; 1, 2 or "auto" print which pair it is, and go to `fit`.

    Returns:
        A list of `PretrainedPair`, the outermost first.

    Raises:
        ValueError: The stack holds a layer that is neither dense nor skipped, the decoder does not
            mirror the encoder, the rows do not fit the model, or a pair's weights became NaN or
            infinite: that pair is not copied.
        TypeError: `corruption` or `optimizer` is something else, or the rows are not an array.

    Reference: Bengio et al. (2007), Greedy layer-wise training of deep networks; Vincent et al.
    (2010), Stacked denoising autoencoders, for the corruption; Hinton and Salakhutdinov (2006),
    Reducing the dimensionality of data with neural networks, with restricted Boltzmann machines.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4, 2))
        >>> pairs = pretrain(model, np.eye(8), epochs=1)
        >>> [pair.encoder_layer for pair in pairs], pairs[0].decoder_layer
        (['hidden_1', 'codings'], 'output')
    """
    pairs = _pairs(model)
    make_corruption, optimizer = _corruption_maker(corruption), optimizer or keras.optimizers.Adam
    if not callable(optimizer):
        raise TypeError(
            "optimizer must be a function that makes one, as each pair needs its own. "
            f"Received: optimizer={optimizer!r}"
        )
    if not is_array(x):
        raise TypeError(f"x must be an array of rows in memory. Received: a {type(x).__name__}")
    rows = model._checked_rows(x, "x", trains=True)
    features = model._streams.run("scaled", lambda x: scale(model.scaler, x), rows)
    trained = []
    for i, (there, back) in enumerate(pairs):
        small = _small_autoencoder(there, back, make_corruption())
        small.compile(optimizer(), loss=_loss(model) if i == 0 else "mse")
        if verbose:
            widths = f"{back.units}-{there.units}-{back.units}"
            print(f"pair {i + 1} of {len(pairs)}: {there.name} and {back.name}, {widths}")
        fitted = small.fit(features, epochs=epochs, batch_size=batch_size, verbose=verbose)
        small._check_weights()
        features = small.encode(features)
        there.set_weights(small.encoder.get_layer(there.name).get_weights())
        back.set_weights(small.decoder.get_layer(back.name).get_weights())
        model._use_calibration()
        trained.append(PretrainedPair(there.name, back.name, fitted.history))
    return trained


def _loss(model):
    if model.schema is not None:  # between layers there are no cells
        return "mse"
    return model.loss if model.compiled else model._default_loss


def _pairs(model):
    """Each dense layer of the encoder with the decoder's that leads back, the outermost first."""
    there, back = _dense_layers(model.encoder), _dense_layers(model.decoder)[::-1]
    widths = [*(layer.units for layer in there)]
    inputs = [model.encoder.input_shape[1], *widths[:-1]]
    if inputs != [layer.units for layer in back]:
        raise ValueError(
            "the decoder must mirror the encoder, with a dense layer for each of its dense layers. "
            f"Received: widths {[*inputs[:1], *widths]} in the encoder, "
            f"{[*widths[-1:], *(layer.units for layer in back[::-1])]} in the decoder"
        )
    for one, other in zip(there, back, strict=True):
        if isinstance(other, TiedDense) and other.tied_to != one.name:
            raise ValueError(
                "a tied layer must be tied to the layer that it mirrors. "
                f"Received: {other.name} tied to {other.tied_to}, mirroring {one.name}"
            )
    return list(zip(there, back, strict=True))


def _dense_layers(half):
    dense = [layer for layer in half.layers if isinstance(layer, keras.layers.Dense | TiedDense)]
    ends = half.layers[: _place(half, dense[:1])] + half.layers[_place(half, dense[-1:]) + 1 :]
    for layer in half.layers:
        # A layer of the user's own, of noise for example, may come before the first or after all.
        own = layer in ends and not layer.weights and layer.input.shape == layer.output.shape
        passes = isinstance(layer, PassThrough) or is_identity_at_inference(layer)
        if not (layer in dense or passes or own):
            raise ValueError(
                "encoder and decoder must be stacks of dense layers, with corruptions, penalties "
                f"and gates between. Received: {layer.name}, a {type(layer).__name__}, in the "
                f"{half.name}"
            )
    return dense


def _place(half, layers):
    return half.layers.index(layers[0]) if layers else 0


def _small_autoencoder(there, back, corruption):
    """An autoencoder of copies of two layers, with their weights."""
    copies = [type(layer).from_config(layer.get_config()) for layer in (there, back)]
    first = [keras.Input((back.units,)), *([] if corruption is None else [corruption])]
    encoder = keras.Sequential([*first, copies[0]], name="encoder")
    decoder = keras.Sequential([keras.Input((there.units,)), copies[1]], name="decoder")
    small = Autoencoder(encoder, decoder, name=f"pair_of_{there.name}")
    for layer, copy in zip((there, back), copies, strict=True):
        copy.set_weights(layer.get_weights())
    return small


def _corruption_maker(corruption):
    """A function that makes each pair's own corruption, or None where there is none."""
    if corruption is None:
        return lambda: None
    if isinstance(corruption, keras.layers.Layer):
        return lambda: type(corruption).from_config(corruption.get_config())
    if isinstance(corruption, int | float) and not isinstance(corruption, bool):
        GaussianCorruption(corruption)  # refuses impossible numbers before anything is trained
        return lambda: GaussianCorruption(corruption, name="corruption")
    raise TypeError(
        "corruption must be a layer, a standard deviation or None. "
        f"Received: corruption={corruption!r}"
    )
