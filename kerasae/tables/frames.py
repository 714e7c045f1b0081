"""Tables of pandas, polars and pyarrow as columns of Arrow, and back with the dtypes they had."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.validation import check_distinct, column_order, names_of, required

if TYPE_CHECKING:
    import pyarrow as pa

LIBRARIES = ("pandas", "polars", "pyarrow")


def library_of(x: Any) -> str:
    """The library whose tables are returned for `x`, one of `LIBRARIES`."""
    if hasattr(x, "iloc"):
        return "pandas"
    return "polars" if type(x).__module__.split(".")[0] == "polars" else "pyarrow"


def as_frame(x: Any, where: Any = "x") -> Any:
    """A list of dicts or a dict of columns as a table of pyarrow; others as they are."""
    required("pyarrow", "tables")
    import pyarrow as pa  # noqa: PLC0415

    if names_of(x) is not None:
        return x
    try:
        return pa.table(dict(x)) if isinstance(x, Mapping) else pa.Table.from_pylist(list(x))
    except (pa.ArrowInvalid, pa.ArrowTypeError, ValueError, TypeError) as error:
        raise ValueError(
            f"{where} must be a table, or rows as dicts of the same columns. Received: "
            f"{' '.join(str(error).split())[:200]}"
        ) from None


def arrow_columns(
    x: Any,
    wanted: Sequence[str] | None = None,
    where: Any = "x",
    others: Collection[str] = (),
) -> dict[str, "pa.Array | pa.ChunkedArray | None"]:
    """The columns of a table as arrays of Arrow, by name; of others no cell is read.

    Args:
        x: Table of pandas, polars or pyarrow, or a NumPy array with named fields.
        wanted: Names that there must be, in this order, or None for all there are.
        where: What the messages call `x`.
        others: Names that there may be, without a warning.

    Returns:
        A dict, whose values are None for columns of mixed types, which Arrow does not have.

    Raises:
        ValueError: A column is missing, or is there more than once.
    """
    names = names_of(x) or []
    if wanted is None:
        check_distinct(names, where)
        order = list(range(len(names)))
    else:
        kept = [i for i, name in enumerate(names) if name in wanted or name not in others]
        order = [kept[i] for i in column_order([names[i] for i in kept], wanted, where)]
    return {names[i]: _arrow(x, i) for i in order}


def _arrow(x, i):
    import pyarrow as pa  # noqa: PLC0415

    if hasattr(x, "column_names"):
        return x.column(i)
    try:
        if hasattr(x, "iloc"):
            return pa.array(x.iloc[:, i], from_pandas=True)
        if hasattr(x, "get_columns"):
            return x.get_columns()[i].to_arrow()
        return pa.array(x[x.dtype.names[i]], from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return None


def as_library(columns: Mapping[str, "pa.Array"], like: Any = None, library: str = "pandas") -> Any:
    """A table of arrays, with the library, dtypes and index of another table.

    Args:
        columns: Arrays of Arrow by name.
        like: Table whose library, dtypes and index the result has, or None.
        library: "pandas", "polars" or "pyarrow", where `like` is None; pyarrow stands in where the
            library is missing.

    Returns:
        The table.
    """
    import pyarrow as pa  # noqa: PLC0415

    library = library if like is None else library_of(like)
    if library == "pandas":
        return _as_pandas(columns, like)
    if library == "polars":
        return _as_polars(columns, like)
    types = {} if like is None else arrow_types(like)
    return pa.table({name: _cast(one, types.get(name)) for name, one in columns.items()})


def arrow_types(x: Any) -> dict[str, Any]:
    """The types of a table of pyarrow by name, none for tables of others."""
    return dict(zip(x.schema.names, x.schema.types, strict=True)) if hasattr(x, "schema") else {}


def filled(x: Any, columns: Mapping[str, "pa.Array"]) -> Any:
    """A table whose missing cells are those of other columns; all others stay as they are.

    Args:
        x: Table of pandas, polars or pyarrow.
        columns: Arrays of Arrow by name, one cell for each row.

    Returns:
        A new table of the same library, index and dtypes, with all of its columns.
    """
    given = arrow_columns(x, None)
    made = as_library({n: _filled(given[n], one) for n, one in columns.items()}, like=x)
    if hasattr(x, "iloc"):
        out = x.copy()
        for name in made.columns:
            out[name] = made[name]
        return out
    if hasattr(x, "with_columns"):
        return x.with_columns(made.get_columns())
    for name in made.column_names:
        x = x.set_column(x.column_names.index(name), name, made[name])
    return x


def _filled(given, cells):
    """The given array, or cells of another where they are missing in it."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    given = given.combine_chunks() if hasattr(given, "combine_chunks") else given
    if pa.types.is_dictionary(given.type):
        given = given.dictionary_decode()
    missing = compute.is_null(given, nan_is_null=True)
    if _is_text(given.type):
        missing = compute.or_(missing, compute.equal(given, "").fill_null(True))
    return compute.if_else(missing, cells.cast(given.type, safe=False), given)


def _is_text(kind):
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _cast(array, kind):
    import pyarrow as pa  # noqa: PLC0415

    if kind is None or (pa.types.is_floating(array.type) and _is_text(kind)):
        return array
    if pa.types.is_dictionary(kind):
        return array.cast(kind.value_type, safe=False).dictionary_encode().cast(kind)
    return array.cast(kind, safe=False)


def _as_pandas(columns, like):
    import pandas as pd  # noqa: PLC0415

    index = None if like is None else like.index
    series = {}
    for name, array in columns.items():
        one = array.to_pandas()
        one.index = pd.RangeIndex(len(one)) if index is None else index
        names = names_of(like) or []
        if name in names:
            position = names.index(name)
            name, dtype = like.columns[position], like.dtypes.iloc[position]  # noqa: PLW2901
            one = _as_dtype(one, dtype)
        series[name] = one
    return pd.DataFrame(series, index=index)


def _as_dtype(series, dtype):
    """The series in a dtype, where its cells go into it: NaN does not go into integers."""
    if isinstance(dtype, np.dtype) and dtype.kind in "iub" and series.isna().any():
        return series
    if getattr(series.dtype, "kind", "O") == "f" and dtype.name in ("str", "string"):
        return series  # texts that are read as numbers
    return series.astype(dtype)


def _as_polars(columns, like):
    import polars as pl  # noqa: PLC0415

    dtypes = {} if like is None else dict(like.schema)
    made = (pl.Series(name, array) for name, array in columns.items())
    return pl.DataFrame([_as_type(one, dtypes.get(one.name)) for one in made])


def _as_type(series, dtype):
    if dtype is None or (series.dtype.is_float() and str(dtype) == "String"):
        return series
    return series.cast(dtype, strict=False)
