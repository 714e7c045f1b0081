"""Search spaces: how people write them, how KerasTuner searches them, and the models of trials."""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import keras_tuner

from kerasae.datasets import Data
from kerasae.models import ZOO, Autoencoder
from kerasae.models.recipes import check_family, default_units, row_shape, table_units
from kerasae.tables.recipes import build_model
from kerasae.validation import parse_layout, unknown

# Arguments of builders that are not hyperparameters: they take objects, or follow from the sweep.
NOT_PLAIN = {
    *("input_shape", "hidden_units", "codings", "bottleneck", "gate", "stack", "scaler"),
    *("columns", "loss", "model_class", "seed", "name"),
}
# Hyperparameters for the amount of a corruption alone, so that it can be searched as a number.
CORRUPTIONS = {"stddev": "gaussian", "rate": "salt-pepper"}
TEXTS = {"layout", "corruption"}
OF_TRAINING = {"learning_rate", "batch_size"}


def parse(settings: Iterable[str]) -> dict[str, Any]:
    """Reads hyperparameters as people write them.

    Args:
        settings: Texts: "layout=50,100" for these values, "beta=0.001:1" for any number between
            (on a logarithmic scale if both are above 0), "beta=0.001:1:4" for 4 values at equal
            ratios, 0.001, 0.01, 0.1 and 1.

    Returns:
        A dict by name: a list of values, or a dict with "low" and "high".

    Raises:
        ValueError: A text that cannot be read.

    Example:
        >>> parse(["layout=50,100-50-100", "rate=0.001:0.1:3"])
        {'layout': ['50', '100-50-100'], 'rate': [0.001, 0.01, 0.1]}
        >>> parse(["rho=-0.5:0.5"])
        {'rho': {'low': -0.5, 'high': 0.5}}
    """
    space: dict[str, Any] = {}
    for name, values in map(_parse_one, settings):
        if name in space:
            raise ValueError(
                f"{name} must be given once (--set). Received: it twice. Try {name}=VALUE,VALUE"
            )
        space[name] = values
    return space


def _parse_one(setting):
    name, _, text = setting.partition("=")
    if not name or not text:
        raise ValueError(
            f"--set must be NAME=VALUE,VALUE. Received: --set={setting!r}. Try beta=0.01,0.1"
        )
    if name in TEXTS:
        return name, text.split(",")
    if ":" not in text:
        return name, [_value(cell) for cell in text.split(",")]
    low, high, *count = map(_value, text.split(":"))
    numbers = all(isinstance(one, int | float) for one in (low, high, *count)) and len(count) < 2
    if not numbers or not low < high or (count and not (low > 0 and count[0] > 1)):
        raise ValueError(
            f"{name} must be LOW:HIGH, or LOW:HIGH:COUNT with LOW above 0 and COUNT above 1. "
            f"Received: {name}={text!r} (--set). Try 0.001:1:4"
        )
    if not count:
        return name, {"low": low, "high": high}
    ratio = (high / low) ** (1 / (count[0] - 1))
    return name, [float(f"{low * ratio**step:.6g}") for step in range(count[0])]


def _value(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def check(space: Mapping[str, Any], model: str, tuner: str) -> None:
    """Refuses a search space that its family of models cannot have.

    Args:
        space: A dict as `parse` makes it.
        model: Name of the family in `ZOO`.
        tuner: "grid", "random", "bayesian" or "hyperband".

    Raises:
        ValueError: An unknown hyperparameter, a wrong value, or a grid over a range.
    """
    known = _names(model)
    for name, values in space.items():
        if name not in known:
            raise ValueError(unknown("hyperparameter", name, known, "--set"))
        if isinstance(values, dict):
            if tuner == "grid" or name in TEXTS:
                raise ValueError(
                    f"{name} must be a list of values for tuner={tuner}. "
                    f"Received: any number in [{values['low']}, {values['high']}]. "
                    f"Try {name}={values['low']}:{values['high']}:5, or another tuner"
                )
        elif len({str(value) for value in values}) < len(values) or not values:
            raise ValueError(f"{name} must have distinct values. Received: {name}={values}")
    for layout in space.get("layout", ()):
        parse_layout(layout)
    if len(given := {"corruption", *CORRUPTIONS} & set(space)) > 1:
        raise ValueError(
            "the corruption must be given once, as corruption, rate or stddev. "
            f"Received: {' and '.join(sorted(given))}"
        )


def _names(model):
    check_family(model)
    return (_arguments(ZOO[model]) - NOT_PLAIN) | set(CORRUPTIONS) | OF_TRAINING | TEXTS


def _arguments(builder):
    return set(inspect.signature(builder).parameters)


def hyperparameters(space: Mapping[str, Any]) -> keras_tuner.HyperParameters:
    """The space as KerasTuner searches it.

    Args:
        space: A dict as `parse` makes it.

    Returns:
        `keras_tuner.HyperParameters`.
    """
    declared = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, dict):
            low, high = values["low"], values["high"]
            whole = isinstance(low, int) and isinstance(high, int)
            declare = declared.Int if whole else declared.Float
            declare(name, low, high, sampling="log" if low > 0 else "linear")
        else:
            mixed = len({type(value) for value in values}) > 1
            declared.Choice(name, [float(value) for value in values] if mixed else values)
    return declared


def in_shape(model: str, rows: Data) -> Data:
    """The rows as a family takes them: images where it is convolutional, or they have colours.

    Args:
        model: Name of the family in `ZOO`.
        rows: The data, of flat rows.

    Returns:
        The same data.

    Raises:
        ValueError: The family is convolutional, and the rows are no images.
    """
    shape = row_shape(model, math.prod(rows.x.shape[1:]), rows.image_shape)
    return rows._replace(x=rows.x.reshape(-1, *shape))


def build(
    model: str, values: Mapping[str, Any], rows: Data, scaler: keras.layers.Layer | None
) -> Autoencoder:
    """Makes the model of a trial.

    Args:
        model: Name of the family in `ZOO`.
        values: Value of each hyperparameter by name.
        rows: `kerasae.datasets.Data` to train on.
        scaler: The scaler adapted to them, or None.

    Returns:
        An `Autoencoder`.

    Raises:
        ValueError: The values do not go together.
    """
    rows = in_shape(model, rows)
    layout = values.get("layout")
    default = default_units(model, rows.x.shape[1:])
    if rows.schema is not None:
        default = table_units(len(rows.schema), model)
    units = parse_layout(layout) if layout else default
    plain = _arguments(ZOO[model]) - NOT_PLAIN
    arguments = {name: value for name, value in values.items() if name in plain}
    for name, kind in CORRUPTIONS.items():
        if name in values:
            arguments["corruption"] = f"{kind}:{values[name]}"
    return build_model(model, units, arguments, rows, scaler)
