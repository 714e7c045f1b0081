"""Scores or features of tables that come in batches, in processes that share nothing."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae import anomaly
from kerasae.anomaly.worst_columns import typical_errors
from kerasae.export import load_model
from kerasae.methods import deep_features
from kerasae.methods.features import feature_columns
from kerasae.models import Autoencoder
from kerasae.validation import unknown

WHAT = ("anomalies", "features")


class Scorer:
    """A function from tables to tables of anomaly scores or deep features, for map functions.

    It is small until it is called first: each process loads the model then, once. The outputs of a
    row are those of one process, within the rounding of float32, however rows are put into batches.

    Args:
        model: Path of the model, which each process can read; or the model, which is sent along.
        what: "anomalies" or "features".
        ids: Columns that identify a row, which are carried along; by default those of the model's
            schema.
        layer: Features: "codings", or the name of another layer.
        batch_size: Rows a step.

    Raises:
        ValueError: `what` is unknown; when called, a column is missing, or the model is not
            calibrated.

    Example:
        >>> import pyarrow as pa, kerasae
        >>> rows = {"a": np.arange(9.0), "b": np.arange(9.0), "order": np.arange(9)}
        >>> model = kerasae.table_autoencoder(rows, (4, 1), schema=kerasae.tables.Schema.infer(
        ...     rows, ids=["order"]))
        >>> Scorer(model, "features")(pa.table(rows)).column_names
        ['order', 'codings_1']
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Autoencoder,
        what: str = "anomalies",
        *,
        ids: Sequence[str] = (),
        layer: str = "codings",
        batch_size: int = 2048,
    ) -> None:
        if what not in WHAT:
            raise ValueError(unknown("what", what, WHAT))
        self.given = str(Path(model).absolute()) if isinstance(model, str | os.PathLike) else model
        self.what, self.ids, self.layer = what, tuple(ids), layer
        self.batch_size = batch_size

    @property
    def model(self) -> Autoencoder:
        """The model, loaded once a process."""
        return _loaded(self.given) if isinstance(self.given, str) else self.given

    def id_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that are carried along, of a table with these columns.

        Args:
            names: Names of the columns of the table.

        Raises:
            ValueError: One of them is missing.
        """
        schema = self.model.schema
        ids = self.ids or (() if schema is None else [n for n in schema.ids if n in names])
        for name in ids:
            if name not in names:
                raise ValueError(unknown("id", name, names))
        return list(ids)

    def row_columns(self, names: Sequence[str]) -> list[str]:
        """The columns that the model takes, of a table with these columns.

        Args:
            names: Names of the columns of the table.

        Raises:
            ValueError: One of them is missing.
        """
        ids = self.id_columns(names)
        wanted = self.model.columns or [name for name in names if name not in ids]
        for name in wanted:
            if name not in names:
                raise ValueError(unknown("column", name, names))
        return list(wanted)

    def __call__(self, table: Any) -> Any:
        """The outputs for a table of pyarrow, or of pandas, as a table of the same library.

        Args:
            table: Rows with the columns of the model; others are left out, but for `ids`.

        Returns:
            A table of the ids, and `anomaly_score`, `reconstruction_error`, `p_value`,
            `is_anomaly` and, where the columns have names, `worst_column`; or of the features.
        """
        of_pandas = hasattr(table, "iloc")
        names = list(map(str, table.columns if of_pandas else table.column_names))
        wanted, ids = self.row_columns(names), self.id_columns(names)
        rows = self.model._checked_rows(table[wanted] if of_pandas else table.select(wanted), "x")
        found = self._scores(rows, wanted) if self.what == "anomalies" else self._features(rows)
        if of_pandas:
            return table[ids].assign(**found)
        import pyarrow as pa  # noqa: PLC0415

        return pa.table({**{name: table[name] for name in ids}, **found})

    def _features(self, rows):
        found = deep_features(self.model, rows, self.layer, self.batch_size)
        return feature_columns(found, self.layer)

    def _scores(self, rows, names):
        scores = anomaly.score(self.model, rows, self.batch_size)
        found = scores.per_row()
        if len(self.model.row_shape) == 1:
            found["worst_column"] = self._worst(rows, scores, names)
        return found

    def _worst(self, rows, scores, names):
        if self.model.anomaly.parts is not None:
            explained = anomaly.explain(self.model, rows, batch_size=self.batch_size)
            return np.array(names)[explained.contributions.argmax(axis=1)]
        relative = scores.feature_errors
        if self.model.columns is not None:
            relative = relative / typical_errors(self.model)
        return np.array(names)[relative.argmax(axis=1)]


@functools.lru_cache(maxsize=1)
def _loaded(path: str) -> Autoencoder:
    return load_model(Path(path))
