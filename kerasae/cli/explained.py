"""What the commands show of tables: the schema, and why rows are anomalies."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.cli.terminal import console

if TYPE_CHECKING:
    from kerasae.anomaly import WorstColumns
    from kerasae.models import Autoencoder
    from kerasae.tables import Schema


def show_schema(schema: "Schema") -> None:
    """Prints what was understood of a table."""
    from rich.table import Column, Table

    table = Table("column", "kind", Column("values", overflow="fold"), "missing")
    for row in schema.rows():
        table.add_row(*row)
    for name, reason in schema.left_out.items():
        table.add_row(name, "left out", reason, "")
    console.print(table)


def worst_columns(worst: "WorstColumns", names: Sequence[str]) -> dict[str, Any]:
    """Columns of a table of scores: `worst_1`, `value_1`, `expected_1`, `error_1` and so on.

    Args:
        worst: The worst columns of the rows.
        names: Names of all columns.

    Returns:
        Arrays of NumPy and of pyarrow, by name.
    """
    import pyarrow as pa

    from kerasae.cli.cells import shown_cells

    table: dict[str, Any] = {}
    for i in range(worst.column.shape[1]):
        table[f"worst_{i + 1}"] = pa.array(names).take(pa.array(worst.position[:, i]))
        cells = {"value": worst.value, "expected": worst.expected}
        table |= {f"{n}_{i + 1}": shown_cells(one[:, i]) for n, one in cells.items()}
        table[f"error_{i + 1}"] = worst.error[:, i]
    return table


def draw_worst(
    autoencoder: "Autoencoder",
    x: np.ndarray,
    ids: Mapping[str, Any] | None = None,
    numbers: np.ndarray | None = None,
) -> Any:
    """A picture of the five rows with the largest errors, and of their worst columns."""
    from kerasae import anomaly, plots

    errors = autoencoder.reconstruction_error(x)
    rows = np.argsort(-errors, kind="stable")[:5]
    found = anomaly.worst_columns(autoencoder, x[rows], top=5)
    numbers = np.arange(len(x)) if numbers is None else numbers
    titles = [f"row {numbers[row]}{_named(ids, row)}, error {errors[row]:.4g}" for row in rows]
    return plots.worst_columns(*found[:4], titles=titles)


def _named(ids, row):
    return "".join(f", {name} {cells[int(row)].as_py()}" for name, cells in (ids or {}).items())
