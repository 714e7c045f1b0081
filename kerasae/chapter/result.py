"""The results of a section, as the table and the report show them."""

from typing import NamedTuple

from matplotlib.figure import Figure


class Row(NamedTuple):
    """A row of the chapter's table, with None in an empty cell.

    Attributes:
        what: Model and measure.
        ours: What was measured here, a number or a text.
        book: The book's number.
        pca: The same measure for PCA with as many components as the model has codings.
        seconds: How long the model's `fit` took; None where it was trained for an earlier row.
    """

    what: str
    ours: float | str
    book: float | str | None = None
    pca: float | str | None = None
    seconds: float | None = None

    def texts(self, book: bool = True) -> list[str]:
        """The row as a table shows it: what, the book's number or not, PCA, ours, seconds."""
        values = [_text(value) for value in (*[self.book] * book, self.pca, self.ours)]
        return [self.what, *values, "" if self.seconds is None else f"{self.seconds:.0f}"]


class Picture(NamedTuple):
    """A figure, and a caption that says what to see in it.

    Attributes:
        figure: The figure.
        caption: A plain text, which is the picture's alternative text too.
    """

    figure: Figure
    caption: str


class Section(NamedTuple):
    """What one section found.

    Attributes:
        title: Its heading, without the number.
        text: Paragraphs on what was done and what came out.
        rows: Its rows of the table.
        pictures: Its pictures, in order.
    """

    title: str
    text: list[str]
    rows: list[Row]
    pictures: list[Picture]


def _text(value):
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:.5f}"
