"""The models of a folder: the highest version of each, renewed while the server runs."""

import contextlib
import functools
import gc
import logging
import os
import re
import threading
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerasae.serving.batching import Batcher
from kerasae.serving.requests import RefusedError, invalid
from kerasae.serving.saved_model import Bundle

log = logging.getLogger("kerasae.serving")


class State(typing.NamedTuple):
    """The state of a version.

    Attributes:
        name: LOADING, AVAILABLE, UNLOADING or END.
        error: Why it could not be loaded, or empty.
    """

    name: str
    error: str = ""


class Loaded:
    """A version in memory, released when it was replaced and its last request has ended.

    Args:
        number: Number of the version.
        bundle: Its SavedModel.
        batcher: The queue of its requests.
    """

    def __init__(self, number: int, bundle: Bundle, batcher: Batcher) -> None:
        self.number = number
        self.bundle = bundle
        self.batcher = batcher
        self.users = 0


class Model:
    """The versions of one model: those in memory, the states of all, footprints of bad ones."""

    def __init__(self) -> None:
        self.loaded: dict[int, Loaded] = {}
        self.states: dict[int, State] = {}
        self.bad: dict[int, tuple] = {}


class Store:
    """Serves the highest version of every model of a folder, and those that have labels.

    Args:
        folder: Folder of `NAME/VERSION/` SavedModels.
        labels: Versions by name of the model and label, `{("digits", "stable"): 3}`.
        poll: Seconds between looks at the folder.
        batching: Options of `Batcher`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        labels: Mapping[tuple[str, str], int] | None = None,
        poll: float = 1.0,
        batching: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.labels = labels or {}
        self.poll = poll
        self._batcher = functools.partial(Batcher, **(batching or {}))
        self._models = {}
        self._retired = []
        self._warned = ""
        self._released = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="versions", daemon=True)

    def start(self) -> None:
        """Loads the models, and begins to watch the folder."""
        self.refresh()
        self._thread.start()

    def close(self, seconds: float | None = None) -> None:
        """Stops watching and releases every version after its queue has ended.

        Args:
            seconds: The most to wait for each thread, or None for no limit.
        """
        self._stop.set()
        if self._thread.ident:
            self._thread.join(seconds)
        with self._lock:
            batchers = [
                one.batcher for model in self._models.values() for one in model.loaded.values()
            ]
            batchers += [one.batcher for one in self._retired]
        for batcher in batchers:
            batcher.close()
        for batcher in batchers:
            batcher.join(seconds)

    def available(self) -> dict[str, list[int]]:
        """Numbers of the versions that are served, by name of the model."""
        with self._lock:
            return {name: sorted(one.loaded) for name, one in self._models.items() if one.loaded}

    @contextlib.contextmanager
    def lease(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> Iterator[Loaded]:
        """A version that stays in memory until the request has ended.

        Args:
            name: Name of the model.
            version: Number of the version, by default the highest one.
            label: Label of the version.

        Yields:
            The `Loaded` version.

        Raises:
            RefusedError: There is none.
        """
        version = self._number(name, version, label)
        with self._lock:
            model = self._models.get(name)
            number = max(model.loaded, default=None) if model and version is None else version
            if model is None or number not in model.loaded:
                wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise RefusedError("NOT_FOUND", f"Servable not found for request: {wanted}")
            loaded = model.loaded[number]
            loaded.users += 1
        try:
            yield loaded
        finally:
            with self._lock:
                loaded.users -= 1
                self._release()

    def states(
        self, name: str, version: int | None = None, label: str | None = None
    ) -> dict[int, State]:
        """The states of the versions of a model.

        Args:
            name: Name of the model.
            version: Number of the version, by default all of them.
            label: Label of the version.

        Returns:
            A `State` by number, the highest first.

        Raises:
            RefusedError: The model, version or label does not exist.
        """
        version = self._number(name, version, label)
        with self._lock:
            states = dict(self._models[name].states) if name in self._models else {}
        if not states:
            raise RefusedError("NOT_FOUND", f"Could not find any versions of model {name}")
        if version is None:
            return dict(sorted(states.items(), reverse=True))
        if version not in states:
            raise RefusedError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return {version: states[version]}

    def _number(self, name, version, label):
        if label and version is not None:
            raise invalid(
                "a request must name a version or a label. "
                f"Received: version={version}, label={label!r}"
            )
        if label and (name, label) not in self.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return self.labels[name, label] if label else version

    def _watch(self):
        while not self._stop.wait(self.poll):
            try:
                self.refresh()
            except OSError as error:
                self._warn(f"cannot look at {self.folder}: {error}")

    def refresh(self) -> None:
        """Looks at the folder once; loads what is new and releases what was replaced."""
        if self._released:
            # A SavedModel in memory refers to itself: only this frees its weights.
            self._released = False
            gc.collect()
        paths = (path for path in self.folder.iterdir() if not path.name.startswith("."))
        names = {path.name for path in paths if path.is_dir()}
        for name in sorted(names | self._models.keys()):
            if self._stop.is_set():
                return
            try:
                self._renew(name, versions(self.folder / name) if name in names else {})
            except OSError as error:
                # The model is served as before.
                self._warn(f"cannot look at {self.folder / name}: {error}")

    def _warn(self, message):
        if message != self._warned:
            log.warning(message)
        self._warned = message

    def _renew(self, name, folders):
        with self._lock:
            model = self._models.setdefault(name, Model())
        labelled = {number for (owner, _), number in self.labels.items() if owner == name}
        keep = {one for one in labelled & folders.keys() if self._load(name, model, one, folders)}
        descending = sorted(folders, reverse=True)
        newest = next((one for one in descending if self._load(name, model, one, folders)), None)
        # Where nothing on disk can be read, the versions in memory stay.
        keep |= set(model.loaded) if folders and newest is None else {newest}
        with self._lock:
            for number in model.loaded.keys() - keep:
                self._retired.append(model.loaded.pop(number))
                model.states[number] = State("END")
                log.info("released %s version %d", name, number)
            self._release()
            gone = model.states.keys() - folders.keys() - model.loaded.keys()
            for number in gone:
                del model.states[number]
                model.bad.pop(number, None)
            if not model.states:
                del self._models[name]

    def _load(self, name, model, number, folders):
        """Whether the version is in memory, loaded now if need be; a bad one waits for a change."""
        if number in model.loaded:
            return True
        footprint = _footprint(folders[number])
        if model.bad.get(number) == footprint:
            return False
        with self._lock:
            model.states[number] = State("LOADING")
        log.info("loading %s version %d", name, number)
        try:
            bundle = Bundle(folders[number], self.folder)
            bundle.probe()
        except Exception as error:
            with self._lock:
                model.states[number] = State("END", " ".join(str(error).split()))
                model.bad[number] = footprint
            log.error("bad version %d of %s is not served: %s", number, name, error)
            return False
        with self._lock:
            model.loaded[number] = Loaded(number, bundle, self._batcher(bundle.run))
            model.states[number] = State("AVAILABLE")
            model.bad.pop(number, None)
        log.info("serving %s version %d", name, number)
        return True

    def _release(self):
        """Ends the replaced versions that no request uses any more; the lock is held."""
        for one in [one for one in self._retired if not one.users]:
            self._retired.remove(one)
            one.batcher.close()
            self._released = True


def versions(folder: str | os.PathLike[str]) -> dict[int, Path]:
    """The folders of the versions of a model by number; empty where it has none."""
    return {
        int(path.name): path
        for path in Path(folder).iterdir()
        if re.fullmatch("[0-9]{1,18}", path.name) and path.is_dir()
    }


def _footprint(folder):
    """Names, sizes and times of a version's files, which differ once it was changed."""
    stats = ((str(path), path.lstat()) for path in sorted(folder.rglob("*")))
    return tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
