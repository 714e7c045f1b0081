"""A page that is one file: no scripts, no requests, every picture inside it."""

import base64
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

STYLE = Path(__file__).with_name("style.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; \
img-src data:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
{lead}
</header>
<nav aria-label="Contents"><ul>{contents}</ul></nav>
<main>
{body}
</main>
</body>
</html>
"""


class Part(NamedTuple):
    """A section of a page.

    Attributes:
        title: Its heading.
        html: Its content.
        anchor: What a link to it ends in, letters, digits and hyphens; by default of the title.
    """

    title: str
    html: str
    anchor: str = ""


def page(title: str, lead: str, parts: Sequence[Part]) -> str:
    """A whole page, with its contents at the top.

    Args:
        title: Heading, as plain text.
        lead: HTML below it.
        parts: The sections.

    Returns:
        HTML.
    """
    anchors = [one.anchor or anchor(one.title) for one in parts]
    links = [
        f'<li><a href="#{name}">{escape(one.title)}</a></li>'
        for name, one in zip(anchors, parts, strict=True)
    ]
    sections = [
        f'<section id="{name}">\n<h2><a href="#{name}">{escape(one.title)}</a></h2>\n{one.html}\n'
        "</section>"
        for name, one in zip(anchors, parts, strict=True)
    ]
    return PAGE.format(
        title=escape(title),
        style=STYLE.read_text(encoding="utf-8"),
        lead=lead,
        contents="".join(links),
        body="\n".join(sections),
    )


def anchor(title: str) -> str:
    """What a link to a heading ends in.

    Example:
        >>> anchor("19.2.1 Two codings")
        'section-19-2-1-two-codings'
    """
    return "section-" + "-".join(re.findall("[a-z0-9]+", title.lower()))


def paragraphs(*texts: str) -> str:
    """Plain texts as paragraphs."""
    return "\n".join(f"<p>{escape(text)}</p>" for text in texts)


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """A few numbers that are seen first, each with what it is."""
    items = (f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in pairs)
    return f'<dl class="facts">{"".join(items)}</dl>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of plain texts.

    Args:
        header: Headings of the columns.
        rows: Cells.
        numbers: Positions of the columns that hold numbers, which are set to the right.

    Returns:
        HTML.
    """

    def cells(tag, texts, more=""):
        return "".join(
            f"<{tag}{more}{' class=number' if i in numbers else ''}>{escape(text)}</{tag}>"
            for i, text in enumerate(texts)
        )

    head = cells("th", header, ' scope="col"')
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return (
        f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def picture(svg: str, caption: str) -> str:
    """An SVG with its caption, which is its alternative text too."""
    return _figure(f'<img class="wide" src="{_data_url(svg.encode(), "svg+xml")}"', caption)


def photograph(png: bytes, caption: str, width: int, height: int) -> str:
    """A PNG on a white ground with its caption; width and height in CSS pixels."""
    image = f'<img class="wide on-white" width="{width}" height="{height}"'
    return _figure(f'{image} src="{_data_url(png)}"', caption)


def _data_url(content, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _figure(image, caption):
    text = escape(caption)
    return (
        f'<figure><div class="picture">{image} alt="{text}"></div>\n'
        f"<figcaption>{text}</figcaption></figure>"
    )


def images(cards: Sequence[tuple[str, Sequence[tuple[str, bytes]]]]) -> str:
    """Small images side by side, which wrap on a narrow screen.

    Args:
        cards: Caption and (alternative text, PNG) of each image of every card.

    Returns:
        HTML.
    """
    items = []
    for caption, pngs in cards:
        drawn = "".join(f'<img alt="{escape(alt)}" src="{_data_url(png)}">' for alt, png in pngs)
        items.append(f"<li>{drawn}{escape(caption)}</li>")
    return f'<ul class="images">{"".join(items)}</ul>'
