"""Keras finds kerasae's classes in saved files, whichever of the two is imported first."""

import importlib
import importlib.abc
import importlib.util
import sys


def register_with_keras():
    """Imports the classes that a saved model can hold, at once or as soon as Keras is imported.

    `keras.saving.load_model` only finds classes that were imported. kerasae imports them lazily, so
    they are imported here if Keras is in use, and after Keras's own import if it is not yet.
    """
    if "keras" in sys.modules:
        # While kerasae itself is being imported, its last step registers what is still missing.
        if not (_importing("kerasae") or _importing("keras")):
            importlib.import_module("kerasae.tables")
    elif not any(isinstance(finder, _AfterKeras) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterKeras())


def _importing(name):
    """Whether a module is being imported, or one inside it."""
    return any(
        f"{other}.".startswith(f"{name}.") and getattr(module.__spec__, "_initializing", False)
        for other, module in sys.modules.copy().items()  # a thread may import, too
        if other != "kerasae" and getattr(module, "__spec__", None)
    )


class _AfterKeras(importlib.abc.MetaPathFinder):
    """Registers the classes when the import of Keras has ended."""

    looking = False

    def find_spec(self, fullname, path=None, target=None):
        if fullname != "keras" or self.looking:
            return None
        self.looking = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self.looking = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module):
                sys.meta_path.remove(self)
                execute(module)
                if not _importing("kerasae"):
                    importlib.import_module("kerasae.tables")

            spec.loader.exec_module = exec_module
        return spec
