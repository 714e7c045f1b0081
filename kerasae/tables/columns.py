"""One column of a table: what it holds, its cells as codes, and codes as cells."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.tables.layout import CATEGORY, NUMBER
from kerasae.tables.texts import dates_in, numbers_in
from kerasae.validation import FLOAT32_MAX
from kerasae.validation.tables import not_a_number

if TYPE_CHECKING:
    import pyarrow as pa

DAY = 86_400_000_000  # in microseconds
# Periods of a date-time in days, each used where the dates span at least so many of it.
PERIODS = {1.0: 2, 7.0: 3, 365.2425: 1.5}
# Where values are this many times their spread, float32 would keep few of their digits.
WIDE = 100


@dataclasses.dataclass(frozen=True)
class Column:
    """What a schema knows of one column.

    Attributes:
        name: Name of the column.
        kind: "number", "boolean", "category" or "datetime".
        type: Type of its values, in Arrow's words: "int64", "double", "string", "timestamp[us]".
        levels: The levels of a category, in the order of their codes.
        origin: What is subtracted from a number; of a date-time the day, counted from 1970, from
            which its code counts days.
        periods: Lengths in days of the cycles in which a date-time is looked at too.
        missing: Number of missing cells that were seen.
        low: The lowest number that was seen, or None.
        high: The highest one, or None.
        rare: Number of levels that were seen too seldom to be kept.
        form: How texts are read as numbers or date-times, as `kerasae.tables.texts` says it; empty
            where cells are no texts.
    """

    name: str
    kind: str
    type: str
    levels: tuple[Any, ...] = ()
    origin: float = 0.0
    periods: tuple[float, ...] = ()
    missing: int = 0
    low: float | None = None
    high: float | None = None
    rare: int = 0
    form: str = ""

    @property
    def coded_as(self) -> tuple[str, int]:
        """The kind and the count that a `Layout` takes: booleans have no unseen level."""
        if self.kind in ("boolean", "category"):
            return CATEGORY, len(self.levels) + (self.kind == "category")
        return NUMBER, len(self.periods)

    def codes(self, cells: "pa.Array | None", where: Any = "x") -> np.ndarray:
        """The cells as float32 codes, (rows,), NaN where they are missing.

        Numbers are as they are, less the origin. A level is its position among the levels, and one
        that was not seen the number of levels. Date-times are days from the origin.

        Args:
            cells: Array of Arrow.
            where: What the messages call the table.

        Returns:
            The codes.

        Raises:
            TypeError: Cells of another kind.
            ValueError: Infinite numbers, or those beyond float32.
        """
        if self.kind in ("boolean", "category"):
            return self._level_codes(cells, where)
        read = days if self.kind == "datetime" else numbers_of
        numbers = read(cells, self, where)
        with np.errstate(invalid="ignore", over="ignore"):
            codes = numbers - self.origin
        beyond = np.abs(codes) > FLOAT32_MAX
        if beyond.any():
            row = int(np.argmax(beyond))
            raise ValueError(
                f"{where} must hold finite numbers that float32 can hold. Received: "
                f"{numbers[row]:g} in row {row}, column '{self.name}'. Try a missing cell instead"
            )
        return codes.astype("float32")

    def _level_codes(self, cells, where):
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import compute  # noqa: PLC0415

        values = _flat(cells, self, where)
        if pa.types.is_dictionary(values.type):
            codes = self._codes_of(values.dictionary, where)
            index = values.indices
            position = index.fill_null(0).to_numpy(zero_copy_only=False)
            found = codes[position] if len(codes) else np.full(len(values), np.nan, "float32")
            if index.null_count:
                found[compute.is_null(index).to_numpy(zero_copy_only=False)] = np.nan
            return found
        return self._codes_of(values, where)

    def _codes_of(self, values, where):
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import compute  # noqa: PLC0415

        kind = pa.string() if self.type == "string" else _type(self.type)
        if values.type != kind:
            try:
                values = values.cast(kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
                if pa.types.is_string(kind) or self.kind == "boolean":
                    raise TypeError(_wrong(self, _first_text(values), where)) from None
                values, kind = values.cast(pa.string()), pa.string()
        levels = pa.array(self.levels, _type(self.type)).cast(kind)
        index = compute.index_in(values, value_set=levels)
        codes = index.fill_null(len(self.levels)).to_numpy(zero_copy_only=False).astype("float32")
        missing = compute.is_null(values, nan_is_null=True)
        if kind == pa.string():
            missing = compute.or_(missing, compute.equal(values, "").fill_null(True))
        codes[missing.to_numpy(zero_copy_only=False)] = np.nan
        return codes

    def cells(self, codes: np.ndarray) -> "pa.Array":
        """The inverse of `codes`: an array of the column's own type, null where a code is NaN.

        Args:
            codes: Array of shape (rows,).

        Returns:
            Array of Arrow.
        """
        import pyarrow as pa  # noqa: PLC0415

        codes = np.asarray(codes, "float64")
        if self.kind in ("boolean", "category"):
            inside = (codes >= 0) & (codes < len(self.levels))
            index = pa.array(np.where(inside, codes, 0).astype("int32"), mask=~inside)
            levels = pa.array(self.levels, _type(self.type))
            return levels.take(index)
        numbers, missing = codes + self.origin, np.isnan(codes)
        numbers = np.where(missing, 0, numbers)
        if self.kind == "datetime":
            micros = pa.array(np.round(numbers * DAY).astype("int64"), mask=missing)
            return _from_micros(micros, self)
        kind = _type(self.type)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return pa.array(numbers, mask=missing).cast(kind, safe=False)
        least = 0 if pa.types.is_unsigned_integer(kind) else -np.inf
        whole = np.maximum(np.round(numbers), least).astype("int64")
        short = pa.types.is_temporal(kind) and kind.bit_width == 32
        return pa.array(whole, pa.int32() if short else pa.int64(), mask=missing).cast(
            kind, safe=False
        )


def days(cells: Any, column: Column, where: Any) -> np.ndarray:
    """Date-times as days since 1970 by their own clock, NaN where they are missing."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    values = _flat(cells, column, where)
    if column.form and _is_text(values.type):
        values, wrong = dates_in(values, column.form)
        if wrong is not None:
            raise TypeError(_wrong(column, wrong, where))
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        values = compute.local_timestamp(values)
    try:
        values = values.cast(pa.timestamp("us"), safe=False)
        micros = values.cast(pa.int64()).cast(pa.float64(), safe=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise TypeError(_wrong(column, _first_text(values), where)) from None
    return micros.to_numpy(zero_copy_only=False) / DAY


def _from_micros(micros, column):
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    values, kind = micros.cast(pa.timestamp("us")), _type(column.type)
    if column.form:
        units = {"%S": "second", "%M": "minute"}
        unit = next((unit for sign, unit in units.items() if sign in column.form), "day")
        rounded = compute.round_temporal(values, unit=unit).cast(pa.timestamp("s"))
        return compute.strftime(rounded, format=column.form)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return compute.assume_timezone(
            values, kind.tz, ambiguous="earliest", nonexistent="earliest"
        ).cast(kind, safe=False)
    return values.cast(kind, safe=False)


def numbers_of(cells: Any, column: Column, where: Any) -> np.ndarray:
    """Numbers as float64, NaN where they are missing; durations and times in their own units."""
    import pyarrow as pa  # noqa: PLC0415

    values = _flat(cells, column, where)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if column.form and _is_text(values.type):
        numbers, wrong = numbers_in(values, column.form)
        if wrong is not None:
            raise TypeError(_wrong(column, wrong, where))
        return numbers
    try:
        if pa.types.is_temporal(values.type):
            values = values.cast(pa.int32() if values.type.bit_width == 32 else pa.int64())
        return values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise TypeError(_wrong(column, _first_text(values), where)) from None


def _flat(cells, column, where):
    """The cells as one array without chunks."""
    if cells is None:
        raise TypeError(
            f"{where} must have columns of one type each. Received: mixed types in column "
            f"'{column.name}'. Try converting it"
        )
    return cells.combine_chunks() if hasattr(cells, "combine_chunks") else cells


def _first_text(values):
    return next((cell for cell in values.to_pylist() if not _is_number(cell)), None)


def _is_text(kind):
    import pyarrow as pa  # noqa: PLC0415

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _wrong(column, cell, where):
    if column.kind == "number":
        return not_a_number(f"column '{column.name}'", cell, where)
    return (
        f"{where} must hold {column.type} in column '{column.name}'. Received: {cell!r}. "
        "Try converting the column"
    )


def _is_number(cell):
    if cell is None:
        return True
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return True


def _type(name):
    """The Arrow type of a name as `str(type)` writes it."""
    import pyarrow as pa  # noqa: PLC0415

    short = name.split("[", maxsplit=1)[0].split("(", maxsplit=1)[0]
    inside = name[len(short) + 1 : -1]
    if short == "timestamp":
        unit, _, zone = inside.partition(", tz=")
        return pa.timestamp(unit, zone or None)
    if short.startswith("decimal"):
        digits, scale = map(int, inside.split(","))
        return getattr(pa, short)(digits, scale)
    if short in ("duration", "time32", "time64"):
        return getattr(pa, short)(inside)
    plain = {"double": "float64", "float": "float32", "halffloat": "float16", "bool": "bool_"}
    return getattr(pa, plain.get(short, short))()
