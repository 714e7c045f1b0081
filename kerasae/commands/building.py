"""What people write on the command line, as the parts of a model."""

import inspect
import math

import keras
import numpy as np
from keras import ops

from kerasae.door import extremes, unknown
from kerasae.layers import GaussianCorruption, RangeScaling, SaltPepperDropout
from kerasae.layers.scaling import scale
from kerasae.models import ZOO, stacked_autoencoder


def row_shape(model, rows, images=False):
    """The shape that a model's rows have: an image's where it is convolutional.

    Args:
        model: Name of the family in `ZOO`.
        rows: `kerasae.datasets.Data`.
        images: Whether any other family takes images too.

    Returns:
        `(columns,)`, or `(height, width, 1)`.

    Raises:
        ValueError: The rows are no images.
    """
    if not (images or model == "convolutional"):
        return rows.x.shape[1:]
    if rows.image_shape is None:
        raise ValueError(
            f"rows of {rows.x.shape[1]} columns (--model {model}); expected images, an array of "
            "shape (rows, height, width); try --model stacked"
        )
    return (*rows.image_shape, 1)


def default_units(model, input_shape):
    """Hidden units for rows of a shape: a quarter of the values as codings.

    Args:
        model: Name of the family in `ZOO`.
        input_shape: Shape of a row.

    Returns:
        The encoder's half, as builders take it.
    """
    columns = math.prod(input_shape)
    if len(input_shape) == 1:
        return (columns, max(1, columns // 4))
    if model == "winner-take-all":
        return (16, 32)
    halvings = [n for n in (1, 2) if all(size % 2**n == 0 for size in input_shape[:2])]
    return (*(16, 32)[: len(halvings)], max(1, columns // 4))


def fitting_likelihood(rows, scaler):
    """The likelihood that goes with scaled rows: "bernoulli" in [0, 1], else "gaussian"."""
    z = ops.convert_to_numpy(scale(scaler, extremes(rows.x)))
    return "bernoulli" if z.min() >= 0 and z.max() <= 1 else "gaussian"


def family_options(model, options):
    """The options that were given, where the family takes them."""
    given = {name: value for name, value in options.items() if value is not None}
    known = {
        name
        for builder in (ZOO[model], stacked_autoencoder)
        for name in inspect.signature(builder).parameters
    }
    for name, value in given.items():
        if name not in known:
            families = [f for f in ZOO if name in inspect.signature(ZOO[f]).parameters]
            raise ValueError(
                f"--{name} {value} with --model {model}; expected --model {' or '.join(families)}"
            )
    return given


def fill_in(model, options, rows, scaler):
    """The options as a builder takes them: objects for texts, and what follows from the rows.

    Args:
        model: Name of the family in `ZOO`.
        options: Arguments of its builder, with a corruption as `make_corruption` reads it.
        rows: `kerasae.datasets.Data` to train on.
        scaler: The scaler adapted to them, or None.

    Returns:
        A new dict.

    Raises:
        ValueError: A corruption that cannot be read.
    """
    options = dict(options)
    if "corruption" in options:
        options["corruption"] = make_corruption(options["corruption"], rows, scaler)
    if model == "variational" and "likelihood" not in options:
        options["likelihood"] = fitting_likelihood(rows, scaler)
    return options


def make_corruption(text, rows, scaler):
    """Reads "gaussian:0.2" or "salt-pepper:0.3"; salt and pepper are the rows' own extremes."""
    kind, _, amount = text.partition(":")
    try:
        amount = float(amount)
    except ValueError:
        kind = ""
    if kind == "gaussian":
        return GaussianCorruption(amount)
    if kind == "salt-pepper":
        z = ops.convert_to_numpy(scale(scaler, extremes(rows.x_train)))
        return SaltPepperDropout(amount, low=float(z.min()), high=float(z.max()))
    raise ValueError(
        f"corruption '{text}'; expected gaussian:STDDEV or salt-pepper:RATE, on the scaled values; "
        "try gaussian:0.2"
    )


def make_scaler(name, rows):
    """A scaler by name, adapted to the training rows; see `kerasae train --help`."""
    if name == "auto":
        name = "pixels" if rows.image_shape and rows.x.min() >= 0 else "range"
    scalers = {
        "pixels": lambda: keras.layers.Rescaling(1 / max(float(rows.x_train.max()), 1e-6)),
        "range": RangeScaling,
        "standard": keras.layers.Normalization,
        "none": lambda: None,
    }
    if name not in scalers:
        raise ValueError(unknown("scaler", name, ["auto", *scalers]))
    scaler = scalers[name]()
    if hasattr(scaler, "adapt"):
        scaler.adapt(np.asarray(rows.x_train, "float64"))
    return scaler


def optimizer_of(autoencoder, learning_rate):
    """The optimizer that a builder chose, anew and with another learning rate."""
    chosen = autoencoder.optimizer
    return type(chosen).from_config({**chosen.get_config(), "learning_rate": learning_rate})
