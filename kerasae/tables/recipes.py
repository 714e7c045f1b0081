"""Models and scalers by name for data of any kind, as the command and sweeps take them."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from kerasae.datasets import Data
from kerasae.models import ZOO, Autoencoder, recipes
from kerasae.tables.encoder import TableEncoder
from kerasae.tables.model import CORRUPTIONS, DENOISING, cell_corruption


def make_scaler(name: str, rows: Data, x: Any = None) -> keras.layers.Layer | None:
    """A scaler by name, adapted to the training rows.

    Args:
        name: As in `kerasae.models.recipes.make_scaler`; of tables a scaling of numbers, "auto" for
            "standard".
        rows: The data.
        x: Rows to adapt it to, by default those to train on.

    Returns:
        The adapted layer, or None for "none".

    Raises:
        ValueError: An unknown name.
    """
    x = rows.x_train if x is None else x
    if rows.schema is None:
        return recipes.make_scaler(name, x, rows.image_shape)
    encoder = TableEncoder(rows.schema, "standard" if name == "auto" else name)
    encoder.adapt(x)
    return encoder


def default_family(rows: Data) -> str:
    """The family where none is asked for: of tables one that is trained with wrong cells."""
    return "stacked" if rows.schema is None else "denoising"


def default_units(family: str, rows: Data) -> tuple[int, ...]:
    """Hidden units for data of any kind, as builders take them."""
    if rows.schema is not None:
        return recipes.table_units(len(rows.schema), family)
    return recipes.default_units(family, rows.x.shape[1:])


def build_model(
    family: str,
    hidden_units: Sequence[int],
    options: Mapping[str, Any],
    rows: Data,
    scaler: keras.layers.Layer | None,
) -> Autoencoder:
    """A model of a family for data of any kind.

    Args:
        family: Name of the family in `ZOO`.
        hidden_units: Widths of the encoder's layers.
        options: Arguments of the family's builder; a corruption is a text.
        rows: The data.
        scaler: What `make_scaler` made.

    Returns:
        The model.

    Raises:
        ValueError: What the builder refuses.
    """
    if not isinstance(scaler, TableEncoder):
        input_shape = rows.x.shape[1:]
        filled = recipes.fill_in(family, options, rows.x_train, scaler, rows.x_test)
    else:
        filled, input_shape = dict(options), (scaler.width,)
        text = filled.get("corruption") or (DENOISING if family == "denoising" else None)
        if text and text.partition(":")[0] in CORRUPTIONS:
            filled["corruption"] = cell_corruption(text, scaler)
        elif text:
            filled["corruption"] = recipes.make_corruption(text, rows.x_train[:1], scaler)
        if family in ("stacked", "denoising"):
            filled.setdefault("codings_activation", "linear")
        if family == "variational":
            filled.setdefault("stddev", 0.5)
    return ZOO[family](input_shape, hidden_units, scaler=scaler, columns=rows.columns, **filled)
