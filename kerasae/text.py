"""Names and messages of others, which a terminal or a spreadsheet must not take for commands."""

import re

FORMULA = re.compile(r"'*[=+\-@\t\r]")


def printable(text: str, kept: str = "\n") -> str:
    r"""A text that a terminal shows letter by letter, with escapes for what moves its cursor.

    Args:
        text: Any text.
        kept: Characters that are not escaped, though they do not print.

    Returns:
        The text; that of most names is the same.

    Example:
        >>> printable("größe [kg]"), printable(chr(27) + "[2J")
        ('größe [kg]', '\\x1b[2J')
    """
    return "".join(one if one.isprintable() or one in kept else ascii(one)[1:-1] for one in text)


def as_cell(text: str) -> str:
    """A text as a cell of a CSV, with an apostrophe before what would be a formula.

    `kerasae.datasets` takes the apostrophe off the names of columns again.

    Args:
        text: Any text.

    Returns:
        The cell.

    Reference: OWASP, CSV injection.

    Example:
        >>> as_cell("=1+1"), as_cell("weight"), as_cell("'=1+1")
        ("'=1+1", 'weight', "''=1+1")
    """
    return f"'{text}" if FORMULA.match(text) else text
