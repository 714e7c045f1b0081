"""The figure that every plot returns."""

import io
import re

import matplotlib as mpl
import matplotlib.figure

# What is black or white in a picture follows the colour scheme of whoever looks at it.
SCHEME = (
    "<style>svg { color: #1b1d21; fill: currentColor; --paper: #fff } "
    "@media (prefers-color-scheme: dark) { svg { color: #e4e6ea; --paper: #17191d } } "
    "@media print { svg { color: #000; --paper: #fff } }</style>"
)
INK, PAPER = re.compile("#000000|(?<=: )black"), re.compile("#ffffff|(?<=: )white")


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that notebooks show, with or without pyplot."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=90)
        return picture.getvalue()

    def svg(self) -> str:
        """The picture as SVG for light and dark pages: its text stays text, without scripts."""
        picture = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "none"}):
            metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            self.savefig(picture, format="svg", transparent=True, metadata=metadata)
        text = picture.getvalue()
        text = text[text.index("<svg") :]
        start = text.index(">") + 1
        drawn = PAPER.sub("var(--paper)", INK.sub("currentColor", text[start:]))
        return text[:start] + SCHEME + drawn
