"""CSV files with a header, as spreadsheets and programs write them."""

import itertools
import re
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from kerasae.datasets.archives import damaged, one_line
from kerasae.datasets.files.dialect import SEPARATORS, Source, find_source
from kerasae.datasets.files.table import labels_of, rows_of_table, shown
from kerasae.validation import required

NUMBER = {
    mark: re.compile(rf"[+-]?((\d+{sign}?\d*|{sign}\d+)(e[+-]?\d+)?|nan|inf)", re.I)
    for mark, sign in ((".", r"\."), (",", ","))
}
DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
MISSING = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN"}
MISSING |= {"N/A", "NA", "NULL", "n/a", "null"}  # and NaN, which is a number
BOOLEANS = {"true", "false"}
# What `kerasae` writes before a name that a spreadsheet would take for a formula.
APOSTROPHE = re.compile(r"'+[=+\-@\t\r]")
MEGABYTE, LARGEST_BLOCK = 1 << 20, 1 << 30


def read_csv(
    path: Path,
    label: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """Reads a CSV file with a header.

    UTF-8 and UTF-16 are recognised; what is neither is read as Windows-1252, which has the letters
    of Latin-1, with a warning. Cells are separated by commas, semicolons, tabs or bars. With any
    but commas, the decimal mark may be a comma.

    Args:
        path: `pathlib.Path` of the file, which may be gzipped.
        label: Column that holds labels, several such, or None; see `rows_of_table`.
        columns: Columns to read, in this order, or None for all but those that number the rows.
        keep: Columns that stay though they number the rows.

    Returns:
        A dict with "x", "y" and "columns".

    Raises:
        ValueError: It has no header or rows, lines of different lengths, or is damaged.
        TypeError: A column is not of numbers.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    table, source = csv_table(path, label)

    def place(row: int) -> str:
        lines = (line for line, _ in source.records())
        return f"row {row}, line {next(itertools.islice(lines, row + 1, None), '?')}"

    def is_number(cell: Any) -> bool:
        return isinstance(cell, str) and _is_cell(cell, source.decimal)

    return rows_of_table(
        table, source.place, label, columns, keep, place=place, is_number=is_number
    )


def csv_table(
    path: Path, label: str | Sequence[str] | None = None, texts: bool = False
) -> tuple[Any, Source]:
    """Reads a CSV file as a table of Arrow.

    Args:
        path: `pathlib.Path` of the file, which may be gzipped.
        label: Column in which commas are no decimal marks, or None.
        texts: Whether cells of texts may be missing, too.

    Returns:
        A `pyarrow.Table`, and how the file is written.

    Raises:
        ValueError: It has no header or rows, lines of different lengths, or is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: pyarrow is missing.
    """
    required("pyarrow", ".csv files")
    source = find_source(path)
    table = _table(source, texts)
    if not _is_utf8(table):
        source = source.as_windows()
        warnings.warn(f"the encoding is a guess ({source.place})", UserWarning, stacklevel=2)
        table = _table(source, texts)
    if source.separator != "," and has_decimal_commas(table, label):
        source = source._replace(decimal=",")
        table = _table(source, texts)
    check_header(table, source)
    names = table.column_names
    shown = [name[1:] if APOSTROPHE.match(name) else name for name in names]
    return table.rename_columns(shown), source


def _table(source, texts):
    from pyarrow import ArrowInvalid, BufferReader, csv  # noqa: PLC0415

    def read(**options):
        return csv.read_csv(
            source.path if source.content is None else BufferReader(source.content),
            read_options=csv.ReadOptions(**options),
            parse_options=csv.ParseOptions(delimiter=source.separator),
            convert_options=csv.ConvertOptions(
                decimal_point=source.decimal, strings_can_be_null=texts
            ),
        )

    with damaged(source.path):
        try:
            return read()
        except ArrowInvalid:
            # A line over a megabyte, or a column whose type shows late, needs a larger block.
            size = source.path.stat().st_size if source.content is None else len(source.content)
            try:
                return read(block_size=min(max(size, MEGABYTE), LARGEST_BLOCK), use_threads=False)
            except ArrowInvalid as error:
                message = _refusal(source, error)
    raise ValueError(message)


def _refusal(source, error):
    """What is wrong with a file that Arrow does not read, with the number of the line."""
    records = source.records()
    _, names = next(records, (0, []))
    first = next(records, None)
    if not names:
        return f"the file must have a header. Received: an empty file ({source.place})"
    if first is None:
        return f"the table must have at least one row. Received: 0 rows ({source.place})"
    for line, cells in itertools.chain([first], records):
        if len(cells) != len(names):
            return (
                f"every line must have {len(names)} cells separated by "
                f"{SEPARATORS[source.separator]}, as the header has. Received: {len(cells)} in "
                f"line {line} ({source.place})"
            )
    return f"the file must be a table. Received: {one_line(error)} ({source.place})"


def _is_utf8(table):
    """Whether names and cells are; a column that is not has another type."""
    try:
        return bool(table.column_names) and "binary" not in map(str, table.schema.types)
    except UnicodeDecodeError:
        return False


def has_decimal_commas(table: Any, label: str | Sequence[str] | None) -> bool:
    """Whether a column of texts, other than that of labels, holds numbers with commas in them."""
    from pyarrow import compute  # noqa: PLC0415

    texts = (table[i] for i, name in enumerate(table.column_names) if name not in labels_of(label))
    return any(
        compute.any(compute.match_substring_regex(values, DECIMAL_COMMA)).as_py()
        for values in texts
        if values.type == "string"
    )


def check_header(table: Any, source: Source) -> None:
    """Refuses a first line of values: one where each column of numbers has a value for its name."""
    names = table.column_names
    numeric, texts = [], {}
    for i, kind in enumerate(map(str, table.schema.types)):
        if kind in ("int64", "double", "bool", "null"):
            numeric.append(names[i])
        else:
            texts[names[i]] = table[i]
    if not numeric or not all(_is_cell(name, source.decimal) for name in numeric):
        return
    # What pandas writes of columns without names: that of the index, which is empty, and numbers.
    of_pandas = names[0] == "" and names[1:] == [*map(str, range(len(names) - 1))]
    index_alone = numeric == [""] == names[:1] and _differ_from_cells(texts)
    if of_pandas or index_alone or _are_years(numeric, texts):
        return
    line = next(source.records())[0]
    raise ValueError(
        "the header must hold the names of the columns. Received: "
        f"{shown(source.separator.join(names))} in line {line} ({source.place}). "
        "Try adding a line with the names"
    )


def _are_years(numeric, texts):
    """Whether columns of numbers are named by numbers in equal steps, beside texts with a name."""
    if not texts or len(numeric) < 2 or not all(name.strip().isdecimal() for name in numeric):
        return False
    steps = {int(b) - int(a) for a, b in itertools.pairwise(numeric)}
    return len(steps) == 1 and _differ_from_cells(texts)


def _differ_from_cells(texts):
    """Whether no column of texts has its name as a cell."""
    return not any(name in values.cast("string").to_pylist() for name, values in texts.items())


def _is_cell(text, decimal):
    """Whether a text is what a column of numbers may hold."""
    text = text.strip()
    return text in MISSING or text.lower() in BOOLEANS or bool(NUMBER[decimal].fullmatch(text))
