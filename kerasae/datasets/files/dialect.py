"""How a CSV file is written: its encoding, separator and decimal mark, found from its beginning."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kerasae.datasets.archives import check_unpacked, damaged

HEAD = 1 << 16
BLOCK = 1 << 24
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
# UTF-32 first: its mark begins as that of UTF-16 does.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NEWLINES = r"[\r\n]+"


class Source(NamedTuple):
    """A CSV file and how it is written.

    Attributes:
        path: Path of the file.
        content: Its text in UTF-8, or None where the file itself is that.
        separator: What separates cells.
        decimal: What separates the fraction of a number, a point or a comma.
        note: What messages add behind the path.
    """

    path: Path
    content: bytes | None
    separator: str
    decimal: str = "."
    note: str = ""

    @property
    def place(self) -> str:
        """The path and the note, for messages."""
        return f"{self.path}{self.note}"

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The lines that are not blank: the number of each, the last of several, and its cells."""
        raw = self.path.open("rb") if self.content is None else io.BytesIO(self.content)
        longest = csv.field_size_limit(2**31 - 1)
        try:
            with io.TextIOWrapper(raw, "utf-8-sig", "replace", newline="") as text:
                reader = csv.reader(text, delimiter=self.separator)
                yield from ((reader.line_num, cells) for cells in reader if cells)
        finally:
            csv.field_size_limit(longest)

    def as_windows(self) -> "Source":
        """The same file, read as Windows-1252, which has the letters of Latin-1."""
        content = self.path.read_bytes() if self.content is None else self.content
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:  # five bytes that Windows does not use
            text = content.decode("latin-1")
        note = ", not UTF-8, read as Windows-1252"
        return self._replace(content=text.encode(), note=note)


def find_source(path: Path) -> Source:
    """Finds how a file is written, and reads it where it is gzipped or in UTF-16 or UTF-32.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        The `Source`.

    Raises:
        ValueError: It is a damaged gzip file or a decompression bomb, or not text.
        OSError: It cannot be opened.
    """
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as raw:
        content = _unpack(raw, path) if packed else None
        head = raw.read(HEAD) if content is None else content[:HEAD]
        if encoding := encoding_of(head):
            with damaged(path):
                content = (content or head + raw.read()).decode(encoding).encode()
            head = content[:HEAD]
        # A first line that is longer than that, and the second one.
        while content is None and len(re.findall(NEWLINES.encode(), head)) < 2:
            if not (more := raw.readline(BLOCK)):
                break
            head += more
    if b"\0" in head:
        raise ValueError(f"the file must be text. Received: zero bytes ({path})")
    return Source(path, content, separator_of(head.decode("utf-8-sig", "replace")))


def _unpack(raw, path):
    """The content of a gzipped file, as long as it is no decompression bomb."""
    packed = path.stat().st_size
    parts, size = [], 0
    with gzip.open(raw) as file:
        while True:
            with damaged(path):
                part = file.read(BLOCK)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            check_unpacked(size, packed, path)


def encoding_of(head: bytes) -> str | None:
    """The encoding that a mark or zero bytes show; None for all that has the bytes of ASCII."""
    if mark := next((mark for mark in MARKS if head.startswith(mark)), None):
        return MARKS[mark]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if 4 * max(even, odd) > len(head) > 40 * min(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def separator_of(head: str) -> str:
    """The separator that the first line has as often as the second, or else more than others."""
    lines = [line for line in re.split(NEWLINES, head) if line.strip()]
    first, second = (re.sub('"[^"]*"', "", line) for line in [*lines, "", ""][:2])
    equal = [one for one in SEPARATORS if first.count(one) == second.count(one) > 0]
    return equal[0] if equal else max(SEPARATORS, key=first.count)
