"""Signatures of a model of tables with one named input a column, for requests by name."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerasae.anomaly.worst_columns import typical_errors
from kerasae.methods.features import layer_functions
from kerasae.models import Autoencoder

# What a named signature takes and gives back, as dtypes of TensorFlow.
Named = dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], dict[str, keras.InputSpec]]]
SECONDS = 86_400
TOP = 3


def input_names(columns: Sequence[str]) -> list[str]:
    """The name of each column's input: letters, digits and underscores, all different.

    Args:
        columns: Names of the columns.

    Returns:
        The names, the same for most columns.

    Example:
        >>> input_names(["age", "net income", "net_income", "2nd"])
        ['age', 'net_income', 'net_income_2', 'c2nd']
    """
    names: list[str] = []
    for column in columns:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", column)
        plain = plain if re.match("[A-Za-z]", plain) else f"c{plain}"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}_{number}"
        names.append(name)
    return names


def input_type(column: Any) -> str:
    """The dtype of a column's input, as the table in `export_saved_model` says."""
    if column.kind == "category":
        return "string" if column.type == "string" else "float64"
    if column.kind == "boolean":
        return "float32" if column.missing else "bool"
    return "float64" if column.origin or column.kind == "datetime" else "float32"


def describe_inputs(model: Autoencoder) -> list[dict[str, Any]]:
    """The columns of a model of tables, for its manifest: names, types and levels.

    Args:
        model: An `Autoencoder` with a schema.

    Returns:
        A dict a column, which JSON can hold.
    """
    return [
        {
            "column": column.name,
            "input": name,
            "kind": column.kind,
            "dtype": input_type(column),
            "missing": {"string": "empty", "bool": "none"}.get(input_type(column), "NaN"),
            **({"levels": list(column.levels)} if column.levels else {}),
            **({"unit": "seconds since 1970"} if column.kind == "datetime" else {}),
        }
        for column, name in zip(
            model.schema, input_names([one.name for one in model.schema]), strict=True
        )
    ]


def named_signatures(model: Autoencoder, features: Sequence[str] = ()) -> Named:
    """The signatures of a model of tables by names of its columns.

    Args:
        model: An `Autoencoder` with a schema.
        features: Names of layers for the signature `features`.

    Returns:
        A dict by name of the signature: a function of a dict of tensors, (batch,), and their specs.
    """
    names = input_names([one.name for one in model.schema])
    specs = {
        name: keras.InputSpec(shape=(None,), dtype=input_type(column), name=name)
        for name, column in zip(names, model.schema, strict=True)
    }

    def of_codes(function):
        return lambda inputs: function(_codes(model, names, inputs))

    endpoints = {name: of_codes(one) for name, one in model._endpoints.items()}
    endpoints["reconstruct"] = of_codes(lambda codes: _cells(model, names, model(codes)))
    typical = typical_errors(model)  # a constant of the graph
    of_detector = endpoints.get("explain")

    def explain(inputs):
        parts = of_detector(inputs) if of_detector else {}
        return {**parts, **_explanation(model, names, inputs, typical)}

    endpoints["explain"] = explain
    if features:
        endpoints["features"] = of_codes(layer_functions(model, features))
    return {
        name: (function, specs)
        for name, function in {"serving_default": endpoints["encode"], **endpoints}.items()
    }


def _codes(model, names, inputs):
    """Codes of named tensors, (batch, columns)."""
    import tensorflow as tf  # noqa: PLC0415

    pairs = zip(model.schema, names, strict=True)
    return tf.stack([_code(column, inputs[name]) for column, name in pairs], axis=1)


def _code(column, cells):
    import tensorflow as tf  # noqa: PLC0415

    if not column.levels:
        numbers = cells / SECONDS if column.kind == "datetime" else cells
        return tf.cast(numbers - tf.constant(column.origin, numbers.dtype), "float32")
    if cells.dtype == tf.bool:
        return tf.cast(cells, "float32")
    if column.kind == "boolean":
        return cells
    same = tf.equal(cells[:, None], _levels(column, cells.dtype)[None])
    position = tf.cast(tf.argmax(tf.cast(same, "int32"), axis=1), "float32")
    unseen = tf.fill(tf.shape(position), float(len(column.levels)))
    missing = tf.equal(cells, "") if cells.dtype == tf.string else tf.math.is_nan(cells)
    codes = tf.where(tf.reduce_any(same, axis=1), position, unseen)
    return tf.where(missing, tf.fill(tf.shape(position), np.float32("nan")), codes)


def _levels(column, dtype):
    import tensorflow as tf  # noqa: PLC0415

    return tf.constant(list(column.levels), dtype)


def _cells(model, names, codes):
    """Named tensors of codes: each column in its own units."""
    return {
        name: _cell(column, codes[:, i])
        for i, (name, column) in enumerate(zip(names, model.schema, strict=True))
    }


def _cell(column, codes):
    import tensorflow as tf  # noqa: PLC0415

    kind = input_type(column)
    if column.kind == "category":
        return tf.gather(_levels(column, kind), tf.cast(codes, "int32"))
    if column.kind == "boolean":  # of which no reconstruction is missing
        return tf.cast(codes, "bool")
    numbers = tf.cast(codes, kind) + tf.constant(column.origin, kind)
    numbers = tf.round(numbers) if column.type.startswith(("int", "uint")) else numbers
    return numbers * SECONDS if column.kind == "datetime" else numbers


def _explanation(model, names, inputs, typical):
    """The worst columns of each row by name, as `kerasae.anomaly.worst_columns` finds them."""
    import tensorflow as tf  # noqa: PLC0415

    codes = _codes(model, names, inputs)
    expected = model(codes)
    relative = tf.sqrt(model._errors(codes) / tf.constant(typical))
    error, index = tf.math.top_k(relative, min(TOP, len(names)))
    levels = tf.constant([bool(one.levels) for one in model.schema])
    below = (codes < expected) & ~levels[None]
    cells = _cells(model, names, expected)

    def worst(columns):
        pairs = zip(model.schema, names, strict=True)
        texts = tf.stack([_text(column, columns[name]) for column, name in pairs], axis=1)
        return tf.gather(texts, index, batch_dims=1)

    return {
        "column": tf.gather(tf.constant([one.name for one in model.schema]), index),
        "value": worst(inputs),
        "expected": worst(cells),
        "error": tf.where(tf.gather(below, index, batch_dims=1), -error, error),
    }


def _text(column, cells):
    import tensorflow as tf  # noqa: PLC0415

    if cells.dtype == tf.string:
        return cells
    if column.kind == "boolean":
        words = tf.where(tf.cast(cells, "bool"), "true", "false")
        return words if cells.dtype == tf.bool else tf.where(tf.math.is_nan(cells), "nan", words)
    return tf.strings.as_string(cells, shortest=True)
