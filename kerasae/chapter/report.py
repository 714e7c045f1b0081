"""A report that is one file: no scripts, no requests, every picture inside it."""

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from kerasae.atomic import write_text
from kerasae.chapter.result import Section

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.55 system-ui, sans-serif; max-width: 56rem; margin: 0 auto; padding: 1rem; }
h1, h2 { line-height: 1.2; text-wrap: balance; }
h2 { margin-top: 2.5rem; break-after: avoid; }
.table, .picture { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
th { border-bottom-width: 2px; vertical-align: bottom; }
td:nth-child(2) { min-width: 13rem; }
td:nth-child(n+3), th:nth-child(n+3) { text-align: right; font-variant-numeric: tabular-nums; }
td:not(:nth-child(2)) { white-space: nowrap; }
figure { margin: 1.5rem 0; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #fff;
  border-radius: 4px; padding: 6px; box-sizing: border-box; }
figcaption { font-size: .92rem; margin-top: .5rem; }
@media (max-width: 40rem) {
  tr { display: grid; grid-template-columns: 4.2rem repeat(4, 1fr); padding: .25rem 0;
    border-bottom: 1px solid #8886; }
  th, td { border: 0; padding: 0 .2rem; }
  td:nth-child(2), th:nth-child(2) { grid-column: 2 / -1; }
  td:nth-child(3), th:nth-child(3) { grid-column-start: 2; }
  .picture img { max-width: 180%; }
}
@media print {
  html { font-size: 10pt; }
  body { max-width: none; padding: 0; }
  img { max-width: 80%; }
  .table, .picture { overflow: visible; }
  tr { break-inside: avoid; }
}
"""
# Dots an inch of the pictures: sharp on a phone, and twice what a plain screen shows.
DPI = 160


def write_report(
    path: Path,
    title: str,
    about: Sequence[str],
    header: Sequence[str],
    sections: Mapping[str, Section],
) -> None:
    """Writes the report whole, over an earlier one.

    Args:
        path: Where to write, ending in .html.
        title: Heading of the report.
        about: Paragraphs under it.
        header: Headings of the table's columns.
        sections: Dict of `Section` by number.
    """
    rows = [[number, *row.texts()] for number, section in sections.items() for row in section.rows]
    parts = [
        f"<h1>{escape(title)}</h1>",
        *_paragraphs(about),
        _table(header, rows),
        *(_section(number, section) for number, section in sections.items()),
    ]
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )
    write_text(path, page)


def _section(number, section):
    heading = f"<h2>{escape(f'{number} {section.title}')}</h2>"
    pictures = [_figure(picture) for picture in section.pictures]
    return "\n".join([heading, *_paragraphs(section.text), *pictures])


def _paragraphs(texts):
    return [f"<p>{escape(text)}</p>" for text in texts]


def _table(header, rows):
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "\n".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _figure(picture):
    file = io.BytesIO()
    picture.figure.savefig(file, format="png", dpi=DPI)
    data = base64.b64encode(file.getvalue()).decode()
    width, height = (round(96 * inches) for inches in picture.figure.get_size_inches())
    caption = escape(picture.caption)
    return (
        f'<figure><div class="picture"><img width="{width}" height="{height}" alt="{caption}" '
        f'src="data:image/png;base64,{data}"></div>\n<figcaption>{caption}</figcaption></figure>'
    )
