"""Docstrings as Sphinx reads them: sections, `code`, formulas between dollars, and examples.

Stars and bars, as in `(rows, *shape)` or |x|, are no markup.
"""

import inspect
import re
from typing import Any

TEXT = re.compile(r"(`[^`]*`|\$\$.+?\$\$|\$[^$]+\$)", re.DOTALL)


def _formulas(text: str) -> str:
    parts = TEXT.split(text)
    for number, part in enumerate(parts):
        if part.startswith("$$"):
            parts[number] = f"\n\n.. math:: {' '.join(part.strip('$').split())}\n\n"
        elif part.startswith("$"):
            parts[number] = f":math:`{' '.join(part.strip('$').split())}`"
        elif not part.startswith("`"):
            parts[number] = re.sub(r"(?<!\\)([*|])", r"\\\1", part)
    return "".join(parts)


def _read(*event: Any) -> None:
    lines = event[-1]
    text = "\n".join(lines)
    body, separator, example = text.partition("\nExample")
    lines[:] = (_formulas(body) + separator + example).splitlines()


def _signature(app: Any, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str] | None:
    """Of a class, that of its constructor: Keras's own `__new__` hides it."""
    if what != "class" or inspect.signature(obj.__init__) == inspect.signature(object.__init__):
        return None
    signature = inspect.signature(obj.__init__)
    _, *others = (one.replace(annotation=one.empty) for one in signature.parameters.values())
    return str(signature.replace(parameters=others, return_annotation=signature.empty)), ""


def setup(app: Any) -> dict[str, bool]:
    """Runs before the sections of a docstring are read."""
    app.connect("autodoc-process-docstring", _read, priority=1)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
