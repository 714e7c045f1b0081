"""What a table is made of, read from the table: the kind of each column, and what is left out."""

import dataclasses
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.datasets.files import read_table
from kerasae.datasets.row_source import RowSource
from kerasae.tables.columns import Column
from kerasae.tables.frames import arrow_columns, as_frame, as_library, library_of
from kerasae.tables.kinds import column_of, identifiers
from kerasae.tables.survey import Survey, survey
from kerasae.validation import is_table, left_out, names_of, unknown

VERSION = 1


class Schema:
    """The columns of a table, in order, and how each becomes one column of numbers.

    `codes` turns a table into a matrix with one column for each of the table's, which all that
    works on rows takes; `table` turns such a matrix back. Missing cells are NaN in it.

    | kind | code |
    |---|---|
    | number | the number itself, less an origin where float32 would lose its digits |
    | boolean, category | the position of its level; the number of levels for an unseen one |
    | datetime | days from a day in the middle, by its own clock |

    Args:
        columns: The columns.
        left_out: Why each other column is not learnt, by name.
        ids: Columns that identify a row, which outputs carry along.
        library: "pandas", "polars" or "pyarrow": what tables are made of where none is given.

    Example:
        >>> table = {"size": [1.5, 2.0, None], "colour": ["red", "blue", "red"]}
        >>> schema = Schema.infer(table)
        >>> schema.codes({"colour": ["red", "green", None], "size": [1.0, 2.0, 3.0]}).tolist()
        [[1.0, 1.0], [2.0, 2.0], [3.0, nan]]
    """

    def __init__(
        self,
        columns: Sequence[Column],
        left_out: Mapping[str, str] | None = None,
        ids: Sequence[str] = (),
        library: str = "pyarrow",
    ) -> None:
        self.columns = tuple(columns)
        self.left_out = dict(left_out or {})
        self.ids = tuple(ids)
        self.library = library

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        if name not in self.names:
            raise KeyError(unknown("column", name, self.names))
        return self.columns[self.names.index(name)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash(json.dumps(self.get_config(), sort_keys=True))

    @classmethod
    def infer(
        cls,
        table: Any,
        *,
        columns: Sequence[str] | None = None,
        drop: Sequence[str] = (),
        ids: Sequence[str] = (),
        categorical: Sequence[str] = (),
        keep: Sequence[str] = (),
        max_levels: int = 100,
        where: Any = "x",
    ) -> "Schema":
        """Reads the schema of a table.

        Texts are categories, unless nearly every row has its own. Row indices, identifiers, free
        texts and columns without values are left out with a warning; constant columns are kept.

        Args:
            table: Table of pandas, polars or pyarrow, rows as dicts, the path of a file, or a
                `RowSource` of tables, over which one pass is taken: extremes and missing cells are
                those of all rows, kinds and levels those of 200,000 rows drawn at random.
            columns: Names of the columns to learn, which are kept whatever they hold; by default
                all.
            drop: Names of columns to leave out.
            ids: Names of columns that identify a row: left out, and carried along.
            categorical: Names of columns whose numbers are levels.
            keep: Names of columns to learn though they number or name the rows.
            max_levels: The most levels of a category: the most frequent ones; all others are one.
            where: What the messages call the table.

        Returns:
            A `Schema`.

        Raises:
            ValueError: A name is unknown or given twice, or no column can be learnt.

        Warns:
            UserWarning: Columns are left out.
        """
        if isinstance(table, str | os.PathLike):
            where, table = str(table), read_table(Path(table))
        surveyed = survey(table) if isinstance(table, RowSource) else None
        surveyed = table if isinstance(table, Survey) else surveyed
        table = table if surveyed is None else surveyed.table
        table = as_frame(table, where)
        cells = arrow_columns(table, where=where)
        if cells and not len(table):
            raise ValueError(f"the table must have at least one row. Received: 0 rows ({where})")
        given = {"columns": columns or (), "drop": drop, "ids": ids, "categorical": categorical}
        _check_names(list(cells), given)
        _check_names(list(cells), {"keep": keep})
        out = {**dict.fromkeys(drop, "dropped"), **dict.fromkeys(ids, "an identifier: as given")}
        chosen = [name for name in (columns or cells) if name not in out]
        sure = {*(columns or ()), *categorical, *keep}
        unsure = [name for name in chosen if name not in sure]
        numbering = identifiers({name: cells[name] for name in unsure})
        if surveyed is not None:
            numbering |= {name: why for name, why in surveyed.indices.items() if name in unsure}
        found = {
            name: numbering.get(name)
            or column_of(
                name,
                cells[name],
                categorical=name in categorical,
                kept=name in sure,
                max_levels=max_levels,
            )
            for name in chosen
        }
        reasons = {name: why for name, why in found.items() if isinstance(why, str)}
        kept = [one for one in found.values() if isinstance(one, Column)]
        kept = kept if surveyed is None else [surveyed.mended(one) for one in kept]
        if not kept:
            why = "; ".join(f"'{name}', {why}" for name, why in {**out, **reasons}.items())
            raise ValueError(
                f"the table must have a column that can be learnt. Received: {why or 'no column'} "
                f"({where})"
            )
        if reasons:
            hint = f"keep=[{next(iter(reasons))!r}] (--keep)"
            warnings.warn(left_out(reasons, where, hint), stacklevel=2)
        out |= reasons
        others = [name for name in cells if name not in chosen and name not in out]
        out |= dict.fromkeys(others, "not asked for")
        return cls(kept, out, [*ids, *numbering], library_of(table))

    # Cells and codes -----------------------------------------------------------------------------

    def codes(self, x: Any, where: Any = "x") -> np.ndarray:
        """A table as a matrix of codes; a matrix of codes is checked.

        Args:
            x: Table of pandas, polars or pyarrow, whose columns are matched by name; rows as
                dicts; or an array of codes, shape (rows, columns).
            where: What the messages call `x`.

        Returns:
            float32 array of shape (rows, columns), NaN where cells are missing.

        Raises:
            ValueError: A column is missing, there are no rows, or numbers are not finite.
            TypeError: Cells of another kind than the column's.
        """
        if not is_table(x):
            return self._checked(x, where)
        x = as_frame(x, where)
        cells = arrow_columns(x, self.names, where, self.left_out)
        if not len(x):
            raise ValueError(f"{where} must have at least one row. Received: 0 rows")
        codes = np.empty((len(x), len(self)), "float32")
        for i, column in enumerate(self.columns):
            codes[:, i] = column.codes(cells[column.name], where)
        return codes

    def _checked(self, x, where):
        try:
            codes = np.asarray(x, "float32")
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"{where} must be a table with the columns {', '.join(self.names[:5])}, or an "
                f"array of codes. Received: {' '.join(str(error).split())[:100]}"
            ) from None
        if codes.ndim != 2 or codes.shape[1] != len(self) or not len(codes):
            raise ValueError(
                f"{where} must be a table, or codes of shape (rows, {len(self)}). "
                f"Received: shape {codes.shape}"
            )
        if np.isinf(codes).any():
            row, i = np.argwhere(np.isinf(codes))[0]
            raise ValueError(
                f"{where} must hold finite numbers, or NaN where cells are missing. Received: "
                f"infinity in row {row}, column '{self.names[i]}'"
            )
        for column, cells in zip(self.columns, codes.T, strict=True):
            most = len(column.levels)
            if most and not (good := (cells % 1 == 0) & (cells >= 0) & (cells <= most)).all():
                wrong = ~good & ~np.isnan(cells)
                if wrong.any():
                    row = int(np.argmax(wrong))
                    raise ValueError(
                        f"{where} must hold the positions of levels in column '{column.name}', "
                        f"whole numbers from 0 to {most}. Received: {cells[row]:g} in row {row}. "
                        "Try a table"
                    )
        return codes

    def table(self, codes: np.ndarray, like: Any = None) -> Any:
        """A matrix of codes as a table: the inverse of `codes`.

        Args:
            codes: Array of shape (rows, columns).
            like: Table whose library, dtypes and index the result gets; by default the library is
                that of the table that the schema was read from.

        Returns:
            A table of pandas, polars or pyarrow, without the columns that are left out.
        """
        cells = {one.name: one.cells(codes[:, i]) for i, one in enumerate(self.columns)}
        like = like if like is None or names_of(like) is not None else as_frame(like)
        return as_library(cells, like, self.library)

    def numbers(self, values: np.ndarray, name: str, like: Any = None) -> Any:
        """Numbers for each row, such as codings, as a table with the index of another.

        Args:
            values: Array of shape (rows, n).
            name: What its columns are called, "codings" for `codings_1`, `codings_2` and so on.
            like: As in `table`.

        Returns:
            A table of the library of `like`.
        """
        import pyarrow as pa  # noqa: PLC0415

        cells = {f"{name}_{i}": pa.array(one) for i, one in enumerate(values.T, start=1)}
        like = like if like is None or names_of(like) is not None else as_frame(like)
        return as_library(cells, like, self.library)

    # JSON ----------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The schema as plain JSON holds it."""
        columns = []
        for column in self.columns:
            lists = {"levels": list(column.levels), "periods": list(column.periods)}
            columns.append({**dataclasses.asdict(column), **lists})
        return {
            "version": VERSION,
            "columns": columns,
            "left_out": [list(pair) for pair in self.left_out.items()],
            "ids": list(self.ids),
            "library": self.library,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Schema":
        """Makes the schema that `get_config` described."""
        if (version := config.get("version")) != VERSION:
            raise ValueError(f"version must be {VERSION} in a schema. Received: version={version}")
        columns = [
            Column(**{**one, "levels": tuple(one["levels"]), "periods": tuple(one["periods"])})
            for one in config["columns"]
        ]
        left = dict(config["left_out"])
        return cls(columns, left, config["ids"], config["library"])

    def to_json(self) -> str:
        """The schema as JSON."""
        return json.dumps(self.get_config(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Schema":
        """Makes the schema that `to_json` wrote."""
        return cls.from_config(json.loads(text))

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, kind, values and number of missing cells of each column, as texts to show."""
        return [(one.name, one.kind, _values(one), str(one.missing)) for one in self.columns]

    def __repr__(self) -> str:
        lines = [("column", "kind", "values", "missing"), *self.rows()]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        text = "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )
        out = "".join(f"\nleft out: {name} ({why})" for name, why in self.left_out.items())
        return text + out


def _values(column):
    if column.levels:
        shown = ", ".join(" ".join(str(level).split()) for level in column.levels[:4])
        more = len(column.levels) - 4
        rest = f", ... {more} more" if more > 0 else ""
        rare = f"; {column.rare} rare ones as one" if column.rare else ""
        return f"{len(column.levels)}: {shown}{rest}{rare}"
    if column.low is None or column.high is None:
        return ""
    if column.kind == "datetime":
        ends = (np.datetime64(round(end * 86400), "s") for end in (column.low, column.high))
        return " to ".join(str(end).removesuffix("T00:00:00") for end in ends)
    return f"{column.low:.6g} to {column.high:.6g}"


def _check_names(names, given):
    taken: dict[str, str] = {}
    for argument, wanted in given.items():
        for name in wanted:
            if name not in names:
                option = "--id" if argument == "ids" else f"--{argument}"
                raise ValueError(unknown("column", name, names, f"{argument}, {option}"))
            other = taken.get(name)
            if other is not None and {argument, other} != {"columns", "categorical"}:
                raise ValueError(
                    f"a column must be given once. Received: '{name}' in {other} and {argument}"
                )
            taken[name] = argument
