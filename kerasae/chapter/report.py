"""The report of the chapter: one file, pictures first, its numbers in a table at the end."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from kerasae.atomic import write_text
from kerasae.chapter.result import Section
from kerasae.report import page

# Dots an inch of the pictures: sharp on a phone, and twice what a plain screen shows.
DPI = 160


def write_report(
    path: Path,
    title: str,
    about: Sequence[str],
    header: Sequence[str],
    sections: Mapping[str, Section],
    *,
    book: bool = True,
) -> None:
    """Writes the report whole, over an earlier one.

    Args:
        path: Where to write, ending in .html.
        title: Heading of the report.
        about: Paragraphs under it.
        header: Headings of the table's columns.
        sections: Dict of `Section` by number.
        book: Whether the table has the book's numbers.
    """
    parts = [
        page.Part(f"{number} {section.title}", _section(section))
        for number, section in sections.items()
    ]
    rows = [
        [number, *row.texts(book)] for number, section in sections.items() for row in section.rows
    ]
    numbers = range(2, len(header))
    parts.append(page.Part("Numbers", page.table(header, rows, numbers), "numbers"))
    write_text(path, page.page(title, page.paragraphs(*about), parts))


def _section(section):
    pictures = [_picture(one) for one in section.pictures]
    return "\n".join([*pictures, page.paragraphs(*section.text)])


def _picture(picture):
    file = io.BytesIO()
    picture.figure.savefig(file, format="png", dpi=DPI)
    width, height = (round(96 * inches) for inches in picture.figure.get_size_inches())
    return page.photograph(file.getvalue(), picture.caption, width, height)
