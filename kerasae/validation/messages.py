"""Checks of arguments, and the messages that several modules share."""

import difflib
import importlib.util
import numbers
from collections.abc import Collection
from typing import Any, SupportsIndex

# Names of packages that differ from those of their modules.
PACKAGES = {"sklearn": "scikit-learn", "tensorflow_serving": "tensorflow-serving-api"}
# The most that a count of epochs, rows or layers may be, which 32 bits hold.
MOST = 2**31 - 1


def check_count(name: str, value: Any, most: int = MOST) -> None:
    """Refuses what is not a whole number of at least 1; None passes.

    Args:
        name: What the message calls the value.
        value: What came.
        most: The highest number that makes sense.

    Raises:
        ValueError: It is not None and not such a number.
    """
    if value is None:
        return
    number = isinstance(value, numbers.Real | SupportsIndex)
    if not (number and value >= 1 and value % 1 == 0):
        shown = value if number else repr(value)
        raise ValueError(f"{name} must be a whole number of at least 1. Received: {name}={shown}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}. Received: {name}={shortened(value)}")


def shortened(number: float) -> str:
    """A number as text, the end of one of many digits cut."""
    text = str(number)
    return text if len(text) < 20 else f"{text[:10]}... ({len(text)} digits)"


def parse_layout(text: str) -> tuple[int, ...]:
    """Reads the widths of a symmetric stack as people write them.

    Args:
        text: "300-100-300", or "100" for a single hidden layer.

    Returns:
        The encoder's half as builders take it, `(300, 100)`.

    Raises:
        ValueError: It is not a mirrored list of whole numbers of at least 1.

    Example:
        >>> parse_layout("300-100-300")
        (300, 100)
    """
    parts = str(text).split("-")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            "layout must be whole numbers of at least 1 joined by -. "
            f"Received: layout={str(text)!r}. Try 300-100-300"
        )
    widths = tuple(map(int, parts))
    half = widths[: (len(widths) + 1) // 2]
    mirrored = half + half[-2::-1]
    if widths != mirrored:
        full = "-".join(map(str, widths + widths[-2::-1]))
        raise ValueError(f"layout must be mirrored. Received: layout={str(text)!r}. Try {full}")
    return half


def parse_size(text: str) -> tuple[int, int]:
    """Reads the size of images as people write it.

    Args:
        text: "640x480", width by height, or "128" for squares.

    Returns:
        (height, width).

    Raises:
        ValueError: It is not whole numbers of at least 1.

    Example:
        >>> parse_size("640x480"), parse_size("128")
        ((480, 640), (128, 128))
    """
    parts = str(text).lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise ValueError(
            "size must be WIDTHxHEIGHT, whole numbers of at least 1. "
            f"Received: size={str(text)!r}. Try 128x128"
        )
    return int(parts[-1]), int(parts[0])


def unknown(kind: str, name: Any, known: Collection[str], where: Any = None) -> str:
    """The message for a name that is none of those that are known, with the nearest one.

    Args:
        kind: What is named.
        name: The name.
        known: Names that would do.
        where: The file or the option that it came from, or None.

    Returns:
        One line.

    Example:
        >>> unknown("column", "hight", ["height", "age"], "rows.csv")
        "column must be one of age, height. Received: column='hight' (rows.csv). Try height"
    """
    nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0.4)
    hint = f". Try {nearest[0]}" if nearest else ""
    place = "" if where is None else f" ({where})"
    return (
        f"{kind} must be one of {', '.join(one or repr(one) for one in sorted(known))}. "
        f"Received: {kind}={str(name)!r}{place}{hint}"
    )


def required(module: str, use: str, extra: str | None = None) -> None:
    """Refuses to go on without a package that only one use needs.

    Args:
        module: Name of the module to be imported.
        use: What needs it, for the message.
        extra: The extra of kerasae that brings it, or None where the package has the same name.

    Raises:
        ModuleNotFoundError: It is missing; the message has the command that installs it.
    """
    if importlib.util.find_spec(module) is None:
        package = f"'kerasae[{extra}]'" if extra else PACKAGES.get(module, module)
        raise ModuleNotFoundError(
            f"{module} must be installed for {use}. Try pip install {package}", name=module
        )
