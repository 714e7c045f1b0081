"""Parts of a model by name, and defaults that follow from the rows.

The command, the sweeps and the scikit-learn estimators read scalers, corruptions, widths, batch
sizes and epochs here, so that the same words mean the same everywhere.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import Moments
from kerasae.layers import GaussianCorruption, RangeScaling, SaltPepperDropout
from kerasae.layers.scaling import scale
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.series_stacks import CELLS, recurrent_stack
from kerasae.models.zoo import ZOO
from kerasae.validation import as_rows, extremes, unknown

# Filters of those families whose codings for images are maps of the same size.
MAPS = {"winner-take-all": (16, 32), "denoising": (32, 32, 32, 32)}
Family = str | Callable[..., Autoencoder]
SCALERS = ("auto", "pixels", "range", "standard", "none")


def default_batch_size(rows: int) -> int:
    """Rows a step: 128, or 32 under 10,000 rows."""
    return 32 if rows < 10_000 else 128


def default_epochs(rows: int, batch_size: int) -> int:
    """Passes over the rows that make about 18,000 steps, at least 1; most trainings stop before."""
    return max(1, round(18000 / math.ceil(rows / batch_size)))


def default_patience(epochs: int) -> int:
    """Epochs without a lower error after which a training stops: an eighth of all, at least 5."""
    return max(5, round(epochs / 8))


def row_shape(
    family: str,
    columns: int,
    image_shape: Sequence[int] | None = None,
    images: bool | None = None,
) -> tuple[int, ...]:
    """The shape that a model's rows have: an image's where it is convolutional.

    Args:
        family: Name of the family in `ZOO`.
        columns: Number of values in a row.
        image_shape: Shape of the image that a row holds, (height, width) or (height, width,
            channels), or None.
        images: Whether families other than "convolutional" take images too; None where the shape
            has channels.

    Returns:
        `(columns,)`, or `(height, width, channels)`.

    Raises:
        ValueError: The rows are no images.
    """
    if images is None:
        images = len(image_shape or ()) == 3
    if not (images or family == "convolutional"):
        return (columns,)
    if image_shape is None:
        raise ValueError(
            f"the rows must be images, an array of shape (rows, height, width), for model={family}."
            f" Received: rows of {columns} columns. Try "
            + ("model=stacked" if family == "convolutional" else "leaving out --images")
        )
    return (*image_shape, 1)[:3]


def default_units(family: Family, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Hidden units for rows of a shape: a quarter of the values as codings, 512 of images at most.

    Images are halved twice at least, until the shorter side is at most 8. Those of denoising and
    winner-take-all keep their size, see the builders.

    Of a window of a series a twenty-fourth, as its steps are alike.

    Args:
        family: Name of the family in `ZOO`, or a builder.
        input_shape: Shape of a row.

    Returns:
        The encoder's half, as builders take it.
    """
    columns = math.prod(input_shape)
    if len(input_shape) == 1:
        return (columns, max(1, columns // 4))
    if len(input_shape) == 2 and family != "winner-take-all":
        return (32, 32, min(max(4, columns // 24), max(1, columns // 2)))
    if isinstance(family, str) and family in MAPS:
        return MAPS[family]
    halvings = max(2, math.ceil(math.log2(min(input_shape[:2]) / 8)))
    filters = [min(16 * 2**i, 64) for i in range(halvings)]
    return (*filters, min(512, max(1, columns // 4)))


def table_units(columns: int, family: Family = "stacked") -> tuple[int, ...]:
    """Hidden units for tables: half as many codings as columns; where cells are wrong, as many.

    Of six tables (`benchmarks/wrong_cells.py`), wrong cells in training with as many codings as
    columns found wrong cells best; one, two and three layers before them were level.
    """
    return (64, 64, columns) if family == "denoising" else (64, max(1, columns // 2))


def stack_option(cell: str | None) -> dict[str, Any]:
    """The argument of a builder that makes recurrent layers, or none.

    Args:
        cell: "gru" or "lstm", or None.

    Returns:
        A dict with "stack", or an empty one.

    Raises:
        ValueError: Another cell.
    """
    if cell is None:
        return {}
    if cell not in CELLS:
        raise ValueError(unknown("recurrent", cell, list(CELLS)))
    return {"stack": functools.partial(recurrent_stack, cell=cell)}


def check_family(family: Any, what: str = "model") -> None:
    """Refuses the name of a family that is not in `ZOO`; `what` is how messages call it."""
    if family not in ZOO:
        raise ValueError(unknown(what, family, list(ZOO)))


def family_options(
    family: Family, options: Mapping[str, Any], what: str = "model"
) -> dict[str, Any]:
    """The options that are not None, where the family takes them.

    Args:
        family: Name of the family in `ZOO`, or a builder.
        options: Arguments of its builder by name.
        what: How messages call the family.

    Returns:
        A new dict.

    Raises:
        ValueError: The family has no such argument.
    """
    given = {name: value for name, value in options.items() if value is not None}
    known = inspect.signature(builder_of(family)).parameters
    for name, value in given.items():
        if name not in known:
            families = [f for f in ZOO if name in inspect.signature(ZOO[f]).parameters]
            raise ValueError(
                f"{name} must go with {what}={' or '.join(families)}. "
                f"Received: {name}={value}, {what}={family}"
            )
    return given


def builder_of(family: Family) -> Callable[..., Autoencoder]:
    """The builder of a family by its name in `ZOO`; a builder is its own."""
    return ZOO[family] if isinstance(family, str) else family


def fill_in(
    family: Family,
    options: Mapping[str, Any],
    x: np.ndarray,
    scaler: keras.layers.Layer | None,
    held_out: np.ndarray | None = None,
) -> dict[str, Any]:
    """The options as a builder takes them: objects for texts, and what follows from the rows.

    Args:
        family: Name of the family in `ZOO`, or a builder.
        options: Arguments of its builder, with a corruption as `make_corruption` reads it.
        x: Rows to train on, shape (rows, *row_shape).
        scaler: The scaler adapted to them, or None.
        held_out: Rows to measure the model on, which its likelihood must fit too, or None.

    Returns:
        A new dict.

    Raises:
        ValueError: A corruption that cannot be read.
    """
    filled = dict(options)
    if "corruption" in filled:
        filled["corruption"] = make_corruption(filled["corruption"], x, scaler)
    if family == "variational" and "likelihood" not in filled:
        filled["likelihood"] = fitting_likelihood(x, scaler, held_out)
    return filled


def fitting_likelihood(
    x: np.ndarray, scaler: keras.layers.Layer | None, held_out: np.ndarray | None = None
) -> str:
    """The likelihood that goes with scaled rows: "bernoulli" in [0, 1], else "gaussian"."""
    both = [rows for rows in (x, held_out) if rows is not None and len(rows)]
    z = np.stack([ops.convert_to_numpy(scale(scaler, extremes(rows))) for rows in both])
    return "bernoulli" if z.min() >= 0 and z.max() <= 1 else "gaussian"


def make_corruption(
    text: str, x: np.ndarray, scaler: keras.layers.Layer | None
) -> keras.layers.Layer:
    """Reads "gaussian:0.2" or "salt-pepper:0.3"; salt and pepper are the rows' own extremes.

    Args:
        text: Kind and amount, on the scaled values.
        x: Rows to train on, shape (rows, *row_shape).
        scaler: The scaler adapted to them, or None.

    Returns:
        The layer.

    Raises:
        ValueError: It cannot be read.
    """
    kind, _, amount = text.partition(":")
    try:
        number = float(amount)
    except ValueError:
        kind = ""
    if kind == "gaussian":
        return GaussianCorruption(number)
    if kind == "salt-pepper":
        z = ops.convert_to_numpy(scale(scaler, extremes(x)))
        return SaltPepperDropout(number, low=float(z.min()), high=float(z.max()))
    raise ValueError(
        "corruption must be gaussian:STDDEV or salt-pepper:RATE, on the scaled values. "
        f"Received: corruption={text!r}. Try gaussian:0.2"
    )


def make_scaler(
    name: str,
    x: np.ndarray | RowSource,
    image_shape: Sequence[int] | None = None,
    sample_weight: np.ndarray | None = None,
) -> keras.layers.Layer | None:
    """A scaler by name, adapted to rows.

    Args:
        name: "pixels" divides by the largest value, "range" is `RangeScaling`, "standard" Keras's
            `Normalization`, "none" no scaler; "auto" is "pixels" for images without negative
            values, else "range".
        x: Rows to train on, shape (rows, *row_shape), or a `RowSource` of them, over which one
            pass is taken.
        image_shape: Shape of the image that a row holds, or None.
        sample_weight: Weight of each row, above 0, in the mean and the spread of a column; or None.

    Returns:
        The adapted layer, or None for "none".

    Raises:
        ValueError: An unknown name.
    """
    if name not in SCALERS:
        raise ValueError(unknown("scaler", name, SCALERS))
    if name == "none":
        return None
    if isinstance(x, RowSource):
        return _scaler_of_source(name, x, image_shape)
    if name == "auto":
        name = "pixels" if image_shape and x.min() >= 0 else "range"
    if name == "pixels":
        return keras.layers.Rescaling(1 / max(float(x.max()), 1e-6))
    scaler = RangeScaling() if name == "range" else keras.layers.Normalization()
    x = np.asarray(x, "float64")
    if sample_weight is not None:
        mean, variance = _weighted_moments(x, sample_weight)
        if name == "standard":
            scaler = keras.layers.Normalization(mean=mean, variance=variance)
            scaler.build(x.shape)
            return scaler
    scaler.adapt(x)
    if sample_weight is not None:
        scaler.mean = mean
    return scaler


def _scaler_of_source(name, source, image_shape):
    if name == "range" or (name == "auto" and not image_shape):
        scaler = RangeScaling()
        scaler.adapt(source)
        return scaler
    moments = Moments()
    for piece in source:
        moments.add(as_rows(piece))
    if name == "auto" and moments.low.min() < 0:
        return _scaler_of_source("range", source, image_shape)
    if name != "standard":
        return keras.layers.Rescaling(1 / max(float(moments.high.max()), 1e-6))
    scaler = keras.layers.Normalization(mean=moments.mean, variance=moments.variance)
    scaler.build((None, len(moments.mean)))
    return scaler


def _weighted_moments(x, sample_weight):
    """Mean and variance of each column, of the pixels of images by their channel."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    mean = np.average(rows, axis=0, weights=sample_weight).mean(axis=0)
    return mean, np.average(np.square(rows - mean), axis=0, weights=sample_weight).mean(axis=0)


def start_at_mean(autoencoder: Autoencoder, x: np.ndarray) -> None:
    """Lets a new model predict about the mean of each column, before its first step.

    Its last layer gets the mean as its bias and a hundredth of its kernel. From there a training
    goes down, however short it is and whatever the scale of the rows; from random weights a short
    one ends above the error of the mean. A model whose last layer has another form, or that is
    better as it is, as one that corrects its input may be, stays so.

    Args:
        autoencoder: The model.
        x: Rows to train on, shape (rows, *row_shape).
    """
    last = autoencoder.decoder.layers[-1]
    inverse = OUTPUTS.get(getattr(last, "activation", None))
    z = ops.convert_to_numpy(scale(autoencoder.scaler, x[:: 1 + len(x) // 5000]))
    mean = z.reshape(-1, z.shape[-1]).mean(axis=0, dtype="float64")
    of_levels = getattr(autoencoder.scaler, "as_logits", None)  # of a table
    mean = mean if of_levels is None else of_levels(mean)
    if inverse is None or getattr(getattr(last, "bias", None), "shape", None) != mean.shape:
        return
    few = x[:: 1 + len(x) // 100]
    error, weights = autoencoder.reconstruction_error(few).mean(), last.get_weights()
    last.bias.assign(inverse(mean))
    if isinstance(last, keras.layers.Dense | keras.layers.Conv2DTranspose):  # not one that is tied
        last.kernel.assign(last.kernel / 100)
    if autoencoder.reconstruction_error(few).mean() > error:
        last.set_weights(weights)


def _logit(mean):
    probability = np.clip(mean, 0.01, 0.99)
    return np.log(probability / (1 - probability))


# What an output activation makes of a bias, undone.
OUTPUTS = {keras.activations.linear: lambda mean: mean, keras.activations.sigmoid: _logit}


def optimizer_of(autoencoder: Autoencoder, learning_rate: float) -> keras.optimizers.Optimizer:
    """The optimizer that a builder chose, anew and with another learning rate."""
    chosen: Any = autoencoder.optimizer
    chosen = getattr(chosen, "inner_optimizer", chosen)  # `compile` wraps it where it has to
    return type(chosen).from_config({**chosen.get_config(), "learning_rate": learning_rate})
