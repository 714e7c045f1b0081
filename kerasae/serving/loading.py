"""A new version of a model, loaded and tried apart from all others."""

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kerasae.serving.saved_model import Bundle, time_limit

# Seconds behind its time after which a version is given up that does not stop.
GRACE = 5.0
NUMBER = re.compile("[0-9]{1,18}")
# What models in other formats are written to, by `kerasae export` and others.
OTHER_FORMATS = {".onnx", ".tflite", ".keras", ".h5", ".pt", ".pkl", ".joblib"}


class Loader(threading.Thread):
    """Loads and tries a version apart from all others, for a limited time.

    Args:
        folder: Folder of the version.
        root: Folder of the models.
        seconds: The time.
        ended: Function that is called at the end.
    """

    def __init__(
        self, folder: Path, root: Path, seconds: float, ended: Callable[[], object]
    ) -> None:
        super().__init__(name="loader", daemon=True)
        self.footprint = footprint(folder)
        self.began = time.monotonic()
        self.bundle: Bundle | None = None
        self.error = f"it must load within {seconds:g} seconds. Received: one that takes longer"
        self._arguments = folder, root
        self._seconds = seconds
        self._ended = ended
        self._done = threading.Event()
        self.cancel: Callable[[], None] = lambda: None

    def run(self) -> None:
        """Fills `bundle`, or `error` with the reason why it cannot be served."""
        try:
            with time_limit(self._seconds) as self.cancel:
                bundle = Bundle(*self._arguments)
                bundle.probe()
            self.bundle = bundle
        except Exception as error:
            self.error = " ".join(str(error).split()) or type(error).__name__
        self._done.set()
        self._ended()

    def seconds(self) -> float:
        """The time since it began."""
        return time.monotonic() - self.began

    def is_done(self) -> bool:
        """Whether it has ended, or an operator in it does not stop when its time is over."""
        return self._done.is_set() or self.seconds() > self._seconds + GRACE


def versions(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The folders of the versions of a model by number; empty where it has none.

    Those of other formats, such as ONNX, are left out.
    """
    numbered = (Path(folder) / name for name in folders_in(folder) if NUMBER.fullmatch(name))
    return {int(path.name): path for path in numbered if not _is_foreign(path)}


def folders_in(folder: str | os.PathLike[str]) -> list[str]:
    """Names of the folders in a folder, by one look at it.

    Where this one is moved meanwhile, each path that is asked by itself is no folder any more.
    """
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def _is_foreign(folder):
    """Whether a version is the export of another format, and has no SavedModel beside it."""
    names = {path.suffix for path in folder.iterdir()}
    return bool(names & OTHER_FORMATS) and not (folder / "saved_model.pb").exists()


def footprint(folder: Path) -> tuple:
    """Names, sizes and times of a version's files, which differ once it was changed."""
    stats = ((str(path), path.lstat()) for path in sorted(folder.rglob("*")))
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
