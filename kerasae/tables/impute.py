"""Missing cells of a table, filled by what a model expects in them."""

from typing import Any

import numpy as np

from kerasae.models import Autoencoder
from kerasae.tables.frames import as_frame, filled
from kerasae.validation import check_count, is_table


def impute(model: Autoencoder, x: Any, *, rounds: int = 1, batch_size: int = 4096) -> Any:
    """Fills the missing cells of a table.

    A cell is filled by the model's reconstruction of its row. In further rounds the model sees the
    cells that it filled; on the tables that were measured, numbers were better after one. A model
    that was trained with cells missing, by `corruption="missing:0.4"`, fills them best.

    Args:
        model: An `Autoencoder` with a schema.
        x: Table of pandas, polars or pyarrow, rows as dicts, or an array of codes.
        rounds: How often the rows are reconstructed, at least 1.
        batch_size: Rows a step.

    Returns:
        The table with the same library, index and dtypes; cells that were not missing, and columns
        that the model does not know, are as they were. For codes, codes.

    Raises:
        ValueError: The model has no schema, or the table does not fit it.

    Reference: Gondara and Wang (2018), MIDA: multiple imputation using denoising autoencoders.

    Example:
        >>> import kerasae
        >>> table = {"size": [1.0, 2.0, None, 2.5], "colour": ["red", "blue", "red", None]}
        >>> model = kerasae.table_autoencoder(table, (8, 1))
        >>> sum(column.null_count for column in impute(model, table))
        0
    """
    check_count("rounds", rounds)
    if model.schema is None:
        raise ValueError(
            "the model must be of tables to fill missing cells. "
            f"Received: {model.name}, without a schema. Try kerasae.table_autoencoder"
        )
    codes = model._checked_rows(x, "x")
    missing, whole = np.isnan(codes), codes
    for _ in range(int(rounds)):
        guess = model.predict(whole, batch_size=batch_size, verbose=0)
        whole = np.where(missing, guess, codes)
    if not is_table(x):
        return whole
    cells = {one.name: one.cells(whole[:, i]) for i, one in enumerate(model.schema)}
    return filled(as_frame(x), cells)
