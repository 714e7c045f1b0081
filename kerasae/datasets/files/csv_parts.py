"""CSV files read block by block, whose types may turn out to be wider than their beginning says."""

import gzip
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.archives import damaged, one_line
from kerasae.datasets.files.csv import APOSTROPHE, check_header, has_decimal_commas
from kerasae.datasets.files.dialect import HEAD, Source, encoding_of, separator_of
from kerasae.datasets.files.parts import Part, Parts, narrowed
from kerasae.validation import check_distinct, required

BLOCK = 2**23
FAILED = re.compile(r"CSV column #(\d+)\b.*conversion error")


def csv_parts(path: Path, first: int = 0) -> Parts:
    """A CSV file as one part, whose number of rows is not known before it was read.

    The types of columns are those of the first 8 MB. Where a later cell does not fit, whole numbers
    become real ones, and what is no number becomes text; pieces from there on have the wider type.

    Args:
        path: `pathlib.Path` of the file, which may be gzipped.
        first: Number of the first row.

    Returns:
        `Parts`.

    Raises:
        ValueError: It has no header or rows, or is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    required("pyarrow", ".csv files")
    file = CsvFile(path)
    return Parts([Part(first, None, file.read)], tuple(file.shown))


class CsvFile:
    """A CSV file, how it is written, and what its columns hold as far as it was read.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as raw, damaged(path):
            is_packed = path.suffix.lower() == ".gz"
            head = gzip.GzipFile(fileobj=raw).read(BLOCK) if is_packed else raw.read(BLOCK)
        self.encoding = encoding_of(head[:HEAD]) or _eight_bits(head)
        text = head.decode(self.encoding, "ignore").lstrip("\ufeff")
        self.source = Source(path, text.encode(), separator_of(text[:HEAD]))
        self.types: dict[str, Any] = {}
        table = next(self._tables(), None)
        if table is None:
            raise ValueError(f"the table must have at least one row. Received: 0 rows ({path})")
        if self.source.separator != "," and has_decimal_commas(table, None):
            self.source = self.source._replace(decimal=",")
            table = next(self._tables())
        check_header(table, self.source)
        check_distinct(table.column_names, path)
        self.names = table.column_names
        self.shown = [name[1:] if APOSTROPHE.match(name) else name for name in self.names]
        self.types = dict(zip(self.names, table.schema.types, strict=True))

    def read(self, columns: Sequence[str] | None, predicate: Any) -> Iterator[Any]:
        """Yields tables; see `Part`."""
        wanted = list(self.shown if columns is None else columns)
        done = 0
        while True:
            seen = 0
            try:
                # A predicate may need columns that are not wanted.
                for table in self._tables(wanted if predicate is None else None):
                    seen += table.num_rows
                    if seen > done:  # of a file that is read again
                        fresh = table.slice(max(0, done - seen + table.num_rows))
                        done = seen
                        yield from narrowed(fresh, wanted, predicate)
                return
            except WiderTypeError as error:
                self._widen(error.column, str(error))

    def _tables(self, shown=None):
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import csv  # noqa: PLC0415

        names = None
        if shown is not None:
            raw = dict(zip(self.shown, self.names, strict=True))
            names = [raw[name] for name in shown]
        options = {
            "read_options": csv.ReadOptions(block_size=BLOCK, encoding=self.encoding),
            "parse_options": csv.ParseOptions(
                delimiter=self.source.separator, newlines_in_values=True
            ),
            "convert_options": csv.ConvertOptions(
                decimal_point=self.source.decimal,
                strings_can_be_null=True,
                column_types={name: self.types[name] for name in names or self.types},
                include_columns=names,
            ),
        }
        with damaged(self.path):
            try:
                for batch in csv.open_csv(self.path, **options):
                    if batch.num_rows:
                        table = pa.Table.from_batches([batch])
                        yield table if shown is None else table.rename_columns(shown)
            except pa.ArrowInvalid as error:
                found = FAILED.search(str(error))
                if found is None:
                    raise
                wider = WiderTypeError(int(found[1]), one_line(error))
            else:
                return
        raise wider

    def _widen(self, column, message):
        import pyarrow as pa  # noqa: PLC0415

        name = self.names[column]
        kind = self.types[name]
        wider = pa.types.is_integer(kind) or pa.types.is_null(kind)
        if pa.types.is_string(kind):
            raise ValueError(
                f"the file must be in {self.encoding} as its beginning is. Received: {message} "
                f"({self.path}). Try saving it in UTF-8"
            )
        self.types[name] = pa.float64() if wider else pa.string()


class WiderTypeError(Exception):
    """A cell does not fit in the type of its column, whose number is given."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


def _eight_bits(head):
    """UTF-8, or Windows-1252 where the beginning of a file is not that."""
    try:
        head[: len(head) - 4].decode()  # a letter at the end may be cut
    except UnicodeDecodeError as error:
        if error.start < len(head) - 8:
            warnings.warn("the encoding is a guess: not UTF-8, read as Windows-1252", stacklevel=2)
            return "cp1252"
    return "utf-8"
