"""Texts that are numbers or dates, as people write them: "$1,234.50", "12 %", "03/31/2021"."""

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

# What stands for a missing cell in a column of numbers or dates.
MARKS = {"", "?", "-", "--", "---", ".", "..", "...", "*", "na", "n/a", "n.a.", "nan", "<na>"}
MARKS |= {"#n/a", "none", "null", "nil", "missing", "unknown", "not available"}
# Grouped and plain digits, by what a form is called: the way in which it writes this number.
NUMBERS = {
    "1,234.5": r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+",
    "1.234,5": r"(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d*)?",
    "1 234,5": r"(?:\d{1,3}(?:[\s'\u2019]\d{3})+|\d+)(?:[.,]\d*)?",
}
CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|AUD|CAD|NZD|SEK|NOK|DKK|PLN|BRL|ZAR|KRW|MXN"


def _pattern(digits):
    """A number with its sign, in brackets where that is how it is negative, currency and unit."""
    minus = "[\\-\u2212]"
    before = f"[A-Z]{{0,2}}[$\u20ac\u00a3\u00a5\u20b9\u20a9]|{CODES}"
    return re.compile(
        rf"(?P<open>\()?(?P<sign>\+|{minus})?\s*(?P<before>{before})?\s*(?P<minus>{minus})?"
        rf"(?P<digits>{digits})\s*(?P<after>[^\d\s.,+\-()]{{0,4}})(?P<close>\))?",
        re.IGNORECASE,
    )


PATTERNS = {form: _pattern(digits) for form, digits in NUMBERS.items()}
DAYS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y"),
    *("%b %d, %Y", "%b %d %Y", "%Y-%m", "%m/%Y", "%b %Y", "%b-%Y"),
)
TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %I:%M %p")
DATES = [day + time for time, day in itertools.product(TIMES, DAYS)]
YEARS = 1700, 2200
FEW = 100  # texts that are looked at first


def form_of(values: "pa.Array") -> tuple[str, str] | None:
    """How a column of texts writes numbers or date-times.

    Texts that are numbers alone, without a mark for missing cells, are left as they are: somebody
    wanted them to be texts.

    Args:
        values: Array of strings of Arrow.

    Returns:
        "number" or "datetime", and the form: a key of `NUMBERS`, or a format of `strptime`. None
        where the texts are something else.

    Example:
        >>> import pyarrow as pa
        >>> form_of(pa.array(["$1,200.50", "?", "$7"])), form_of(pa.array(["31.12.2021"]))
        (('number', '1,234.5'), ('datetime', '%d.%m.%Y'))
        >>> form_of(pa.array(["red", "$7"])), form_of(pa.array(["7", "8"]))
        (None, None)
    """
    texts = [text for text in values.unique().to_pylist() if text is not None]
    known = [text for text in texts if not _is_mark(text)]
    if not known:
        return None
    for form in NUMBERS:
        if _affixes(known[:FEW], form) and (found := _affixes(known, form)):
            plain = found == {("", "")} and all(map(_is_plain, known))
            return None if plain and len(texts) == len(known) else ("number", form)
    for form in DATES:
        if _are_dates(known[:FEW], form) and _are_dates(known, form):
            return "datetime", form
    return None


def numbers_in(values: "pa.Array", form: str) -> tuple[np.ndarray, Any]:
    """Texts as float64, NaN where they are missing.

    Args:
        values: Array of strings of Arrow.
        form: Key of `NUMBERS`.

    Returns:
        The numbers, and the first text that is none, or None.
    """
    coded = values.dictionary_encode()
    levels = coded.dictionary.to_pylist()
    numbers = np.array([_number(text, form) for text in levels] + [np.nan])
    wrong = next((t for t in levels if not _is_mark(t) and np.isnan(_number(t, form))), None)
    return numbers[coded.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)], wrong


def dates_in(values: "pa.Array", form: str) -> tuple["pa.Array", Any]:
    """Texts as timestamps in microseconds, null where they are missing.

    Args:
        values: Array of strings of Arrow.
        form: Format of `strptime`.

    Returns:
        The timestamps, and the first text that is none, or None.
    """
    from pyarrow import compute  # noqa: PLC0415

    trimmed = compute.utf8_trim_whitespace(values)
    dates = compute.strptime(trimmed, format=form, unit="us", error_is_null=True)
    if dates.null_count == values.null_count:
        return dates, None
    lost = values.filter(compute.and_(dates.is_null(), values.is_valid())).unique().to_pylist()
    return dates, next((text for text in lost if not _is_mark(text)), None)


def _is_mark(text):
    return text is None or text.strip().lower() in MARKS


def _is_plain(text):
    """Whether a text is digits alone, as numbers are kept as texts: so "007" is no number."""
    return bool(re.fullmatch(r"\s*[+-]?\d+(\.\d+)?(e[+-]?\d+)?\s*", text, re.IGNORECASE))


def _affixes(texts, form):
    """The currencies and units of numbers, one at most, or an empty set for other texts."""
    found = set()
    for text in texts:
        match = PATTERNS[form].fullmatch(text.strip())
        if (
            not match
            or re.match(r"0\d", match["digits"])
            or bool(match["open"]) != bool(match["close"])
        ):
            return set()
        found.add(((match["before"] or "").upper(), match["after"]))
    units = [one for one in found if one != ("", "")]
    return found if len(units) < 2 else set()


def _number(text, form):
    match = None if _is_mark(text) else PATTERNS[form].fullmatch(text.strip())
    if match is None:
        return np.nan
    digits = re.sub(r"[\s'\u2019]", "", match["digits"])
    digits = digits.replace(",", "") if form[1] == "," else digits
    digits = digits.replace(".", "").replace(",", ".") if form[1] == "." else digits
    negative = match["open"] or (match["sign"] or match["minus"] or "+") != "+"
    return float(digits.replace(",", ".")) * (-1 if negative else 1)


def _are_dates(texts, form):
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import compute  # noqa: PLC0415

    dates, _ = dates_in(pa.array(texts), form)
    if dates.null_count:
        return False
    years = compute.min_max(compute.year(dates)).as_py()
    return YEARS[0] <= years["min"] and years["max"] <= YEARS[1]
