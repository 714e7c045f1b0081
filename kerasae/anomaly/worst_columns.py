"""Which columns make a row an anomaly: their values, and what the model expects instead."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import ops

from kerasae.datasets.reading import by_piece
from kerasae.validation import check_count

if TYPE_CHECKING:
    from kerasae.models import Autoencoder

# Up to so many columns are looked for one after the other, which is faster than a sort.
FEW = 8
UNSEEN = "(unseen)"


class WorstColumns(NamedTuple):
    """The worst columns of rows, arrays of shape (rows, top), the worst first.

    Attributes:
        column: Names of the columns.
        value: The cells, in the user's units; None where one is missing, "(unseen)" where it is a
            level that the schema does not have.
        expected: What the model expects instead: its reconstruction.
        error: float32: the root of the cell's error over the mean error of normal rows in this
            column, 1 being usual; negative where the value is below what is expected. Of levels it
            is positive.
        position: int32: positions of the columns.
    """

    column: np.ndarray
    value: np.ndarray
    expected: np.ndarray
    error: np.ndarray
    position: np.ndarray


@by_piece
def worst_columns(
    model: "Autoencoder", x: Any, top: int = 3, *, batch_size: int | None = None
) -> WorstColumns:
    r"""Names the columns of each row whose errors are largest beside what is normal for them.

    $$r_j = \pm \sqrt{e_j / \bar e_j}$$

    with the error e_j of a cell and the mean error of its column over the normal rows of
    `calibrate`; before that, of a table, the error of a model that knows nothing, which is 1. A
    column that is hard to reconstruct in every row is thus no explanation of one.

    Args:
        model: An `Autoencoder` whose columns have names.
        x: Rows or a table in memory.
        top: How many columns of each row, at least 1.
        batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.

    Returns:
        `WorstColumns`.

    Raises:
        ValueError: The columns have no names, or the rows do not fit the model.

    Reference: Antwarg et al. (2021), Explaining anomalies detected by autoencoders, for naming the
    columns with the largest errors.

    Example:
        >>> import keras, kerasae
        >>> keras.utils.set_random_seed(0)
        >>> table = {"size": [1.0, 2.0, 3.0, 99.0], "colour": ["red", "blue", "red", "red"]}
        >>> model = kerasae.table_autoencoder(table, (8, 1))
        >>> worst_columns(model, table, top=1).column[3, 0]
        'size'
    """
    check_top(model, top)
    rows = model._checked_rows(x, "x")

    def parts(x):
        return {"errors": model._errors(x), "reconstruction": model(x)}

    found = model._streams.run("worst_columns", parts, rows, batch_size=batch_size)
    return worst_of(model, rows, found["errors"], found["reconstruction"], top)


def check_top(model: "Autoencoder", top: int) -> None:
    """Refuses a number of columns to name that is none, and a model whose columns have no names."""
    check_count("top", top)
    if model.columns is None:
        raise ValueError(
            "the model must have names of its columns to explain rows. "
            f"Received: {model.name}, without any. Try fit on a table"
        )


def worst_of(
    model: "Autoencoder", rows: Any, errors: np.ndarray, expected: np.ndarray, top: int
) -> WorstColumns:
    """The worst columns of checked rows, of which errors and reconstruction are known."""
    rows, errors, expected = (
        np.asarray(array).reshape(len(rows), -1) for array in (rows, errors, expected)
    )
    relative = np.sqrt(errors / typical_errors(model))
    index = _largest(relative, min(int(top), len(model.columns or ())))

    def worst(array):
        return np.take_along_axis(array, index, axis=1)

    values, wanted = worst(rows), worst(expected)
    below = (values < wanted) & ~_are_levels(model)[index]
    error = worst(relative) * np.where(below, -1, 1)
    return WorstColumns(
        np.array(model.columns, object)[index],
        _cells_at(model, values, index),
        _cells_at(model, wanted, index),
        error.astype("float32"),
        index,
    )


def _largest(values, top):
    """Positions of the largest values of each row, as a stable sort gives them."""
    if top > FEW:
        return np.argsort(-values, axis=1, kind="stable")[:, :top].astype("int32")
    left, found = values.copy(), np.empty((len(values), top), "int32")
    for i in range(top):
        found[:, i] = left.argmax(axis=1)
        np.put_along_axis(left, found[:, i : i + 1], -1, axis=1)  # all others are at least 0
    return found


def _cells_at(model, codes, index):
    """Cells in the user's units, as objects: the codes, shape (rows, top), of these columns."""
    if model.schema is None:
        return codes.astype(object)
    cells = np.empty(codes.shape, object)
    for i, column in enumerate(model.schema):
        where = index == i
        if where.any():
            cells[where] = written_cells(column, codes[where])
    return cells


def written_cells(column, codes):
    """Cells of one column, of which those of a level that training did not have say so."""
    cells = column.cells(codes).to_pylist()
    unseen = (codes >= len(column.levels)) if column.levels else np.zeros(len(codes), bool)
    return [UNSEEN if new else cell for cell, new in zip(cells, unseen, strict=True)]


def typical_errors(model: "Autoencoder") -> np.ndarray:
    """The error that is normal in each column, (columns,)."""
    calibrated = model._is_calibrated()
    known = model.anomaly.column_errors if calibrated else None
    if calibrated and (parts := model.anomaly.parts) is not None:
        # Of the lowest level, at which rows are reconstructed.
        known = ops.convert_to_numpy(model._by_column(parts.scales[0] ** 4))
    errors = np.ones(len(model.columns or ()), "float32") if known is None else known
    return np.maximum(errors, 1e-6 * max(float(errors.max()), 1e-12))


def _are_levels(model):
    if model.schema is None:
        return np.zeros(len(model.columns), bool)
    return np.array([bool(column.levels) for column in model.schema])


def cells_of(model: "Autoencoder", rows: np.ndarray) -> np.ndarray:
    """Rows in the user's units: as they are, or of a table, its cells as objects."""
    if model.schema is None:
        return rows
    columns = [written_cells(one, rows[:, i]) for i, one in enumerate(model.schema)]
    cells = np.empty(rows.shape, object)
    for i, values in enumerate(columns):
        cells[:, i] = values
    return cells
