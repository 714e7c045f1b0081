"""The layers of a model, drawn and listed."""

import math
from html import escape

import keras

from kerasae.models import Autoencoder

# Wider or longer stacks are cut in the middle of a half.
MOST_LAYERS = 9


def steps(model: Autoencoder) -> list[tuple[str, str, str]]:
    """What a row goes through: (what, size, half) with the half "", "encoder" or "decoder"."""
    found = [("rows", _size(model.row_shape), "")]
    if model.scaler is not None:
        found.append((type(model.scaler).__name__, _size(model.encoder.input_shape[1:]), ""))
    for half, stack in (("encoder", model.encoder), ("decoder", model.decoder)):
        layers = [layer for layer in stack.layers if not isinstance(layer, keras.layers.InputLayer)]
        listed = [(_what(layer), _size(layer.output.shape[1:]), half) for layer in layers]
        if len(listed) > MOST_LAYERS:
            keep = MOST_LAYERS // 2
            cut = [(f"{len(listed) - 2 * keep} more", "", half)]
            listed = listed[:keep] + cut + listed[-keep:]
        found += listed
    return found


def drawing(model: Autoencoder) -> str:
    """The layers as a row of bars, each as high as the logarithm of its size."""
    listed = steps(model)
    sizes = [_values(size) for _, size, _ in listed]
    most = math.log1p(max(sizes))
    bars = []
    for (what, size, half), values in zip(listed, sizes, strict=True):
        height = round(20 + 80 * math.log1p(values) / most) if values else 20
        bars.append(
            f'<li class="{half or "rows"}"><span style="height:{height}px"></span>'
            f"<b>{escape(size)}</b> {escape(what)}</li>"
        )
    return f'<ol class="layers">{"".join(bars)}</ol>'


def _what(layer):
    activation = getattr(layer, "activation", None)
    name = getattr(activation, "__name__", "")
    more = f", {name}" if name and name != "linear" else ""
    return f"{type(layer).__name__}{more}"


def _size(shape):
    return " × ".join("any" if size is None else str(size) for size in shape)  # noqa: RUF001


def _values(size):
    return math.prod(int(one) for one in size.split() if one.isdecimal()) if size else 0
