"""Names and labels of others, drawn letter by letter: a $ or _ in them has no meaning."""

from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure
from matplotlib.legend import Legend

# For every text of matplotlib that is not ours.
LITERAL: dict[str, Any] = {"parse_math": False, "usetex": False}
LONGEST = 60


def literal(text: Any) -> str:
    r"""A text that can be drawn: cut to 60 characters, with escapes for what has no letters.

    Args:
        text: A name or label; anything that `str` takes.

    Returns:
        The text, for an artist with the properties `LITERAL`.

    Example:
        >>> literal("weight [kg]"), literal("bell" + chr(7)), len(literal("a" * 100))
        ('weight [kg]', 'bell\\x07', 60)
    """
    text = str(text)
    text = text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
    printable = (one if one.isprintable() or one == "\n" else ascii(one)[1:-1] for one in text)
    return "".join(printable)


def literal_legend(figure: Figure, entries: Iterable[tuple[Any, str]], **options: Any) -> Legend:
    """A legend of texts that `literal` made.

    Args:
        figure: The figure.
        entries: Artist and text of each line.
        **options: Those of `Figure.legend`.

    Returns:
        The `Legend`.
    """
    entries = list(entries)
    # Texts that begin with an underscore would be left out: they come afterwards.
    legend = figure.legend([artist for artist, _ in entries], ["a"] * len(entries), **options)
    for drawn, (_, text) in zip(legend.get_texts(), entries, strict=True):
        drawn.set(text=text, **LITERAL)
    return legend
