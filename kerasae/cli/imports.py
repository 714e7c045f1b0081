"""What the command imports at which time, as importing is most of the time of a short training."""

import contextlib
import importlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What Keras and TensorFlow import where it is installed, for uses that no command makes: Keras's
# wrappers of scikit-learn, DataFrames, a gallery of images, a file editor in notebooks, and
# TensorFlow's converter of JAX functions. It is two fifths of what Keras takes to import.
OPTIONAL = ("sklearn", "pandas", "matplotlib", "IPython", "jax")


@contextlib.contextmanager
def without_optional_imports() -> Iterator[None]:
    """Keeps optional packages from being imported within, as if they were not installed.

    They can be imported as usual afterwards. What was imported before stays.
    """
    chosen = _backend()
    hidden = [name for name in OPTIONAL if name not in sys.modules and name not in chosen]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(hidden))  # None stands for what cannot be imported
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def imported_beside(*names: str) -> Iterator[None]:
    """Imports modules in a thread, beside what is done within, and waits for them at its end.

    Args:
        *names: Modules. One that cannot be imported is left to who needs it.
    """

    def work():
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _backend():
    """A text with the name of Keras's backend in it, of the environment or Keras's own file."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    with contextlib.suppress(OSError):
        return (Path(home) / "keras.json").read_text()
    return ""
