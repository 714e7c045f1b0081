"""The models of a folder: the highest version of each, renewed while the server runs."""

import contextlib
import functools
import gc
import logging
import os
import threading
import time
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerasae.serving.batching import Batcher
from kerasae.serving.loading import Loader, folders_in, footprint, versions
from kerasae.serving.requests import RefusedError, invalid
from kerasae.serving.saved_model import Bundle

log = logging.getLogger("kerasae.serving")
# Seconds after which a version that still loads holds up neither the start nor the one below it.
PATIENCE = 30.0


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
        self.loading: dict[int, Loader] = {}
        self.states: dict[int, State] = {}
        self.bad: dict[int, tuple] = {}


class Store:
    """Serves the highest version of every model of a folder, and those that have labels.

    Args:
        folder: Folder of `NAME/VERSION/` SavedModels.
        labels: Versions by name of the model and label, `{("digits", "stable"): 3}`.
        poll: Seconds between looks at the folder.
        batching: Options of `Batcher`.
        load_limit: Seconds that a version may take to load and to run a row of each signature.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        labels: Mapping[tuple[str, str], int] | None = None,
        poll: float = 1.0,
        batching: Mapping[str, Any] | None = None,
        load_limit: float = 120.0,
    ) -> None:
        self.folder = Path(folder)
        self.labels = labels or {}
        self.poll = poll
        self.load_limit = load_limit
        self._batcher = functools.partial(Batcher, **(batching or {}))
        self._models: dict[str, Any] = {}
        self._retired: list[Any] = []
        self._warned = ""
        self._released = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._changed = threading.Event()
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
        self._changed.set()
        if self._thread.ident:
            self._thread.join(seconds)
        with self._lock:
            loaders = [one for model in self._models.values() for one in model.loading.values()]
            batchers = [
                one.batcher for model in self._models.values() for one in model.loaded.values()
            ]
            batchers += [one.batcher for one in self._retired]
        for loader in loaders:
            loader.cancel()
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

    def every_state(self) -> dict[str, dict[int, State]]:
        """The states of the versions of every model, by its name; the highest version first."""
        with self._lock:
            return {
                name: dict(sorted(model.states.items(), reverse=True))
                for name, model in sorted(self._models.items())
                if model.states
            }

    def _watch(self):
        while not self._stop.is_set():
            self._changed.wait(self.poll)
            self._changed.clear()
            try:
                self.refresh()
            except OSError as error:
                self._warn(f"cannot look at {self.folder}: {error}")

    def refresh(self) -> None:
        """Looks at the folder; loads what is new and releases what was replaced.

        It waits until all that is new is loaded, for 30 seconds at most, except in the thread that
        watches the folder: there it looks again soon.
        """
        end = time.monotonic() + PATIENCE
        self._look()
        wait = threading.current_thread() is not self._thread
        while wait and not self._stop.is_set() and (loaders := self._loaders(end)):
            for loader in loaders:
                loader.join(max(0, end - time.monotonic()))
            self._look()

    def _loaders(self, end):
        if time.monotonic() > end:
            return []
        with self._lock:
            return [one for model in self._models.values() for one in model.loading.values()]

    def _look(self):
        if self._released:
            # A SavedModel in memory refers to itself: only this frees its weights.
            self._released = False
            gc.collect()
        names = {name for name in folders_in(self.folder) if not name.startswith(".")}
        for name in sorted(names | self._models.keys()):
            if self._stop.is_set():
                return
            try:
                self._renew(name, versions(self.folder / name) if name in names else {})
            except OSError as error:
                folders_in(self.folder)  # raises where all of it is gone, which is said once
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
        for number in labelled & folders.keys():
            self._load(name, model, number, folders)
        newest = self._newest(name, model, folders)
        keep = labelled & folders.keys() & model.loaded.keys()
        # Where nothing on disk can be read yet, the versions in memory stay.
        keep |= set(model.loaded) if folders and newest is None else {newest}
        with self._lock:
            for number in model.loaded.keys() - keep:
                self._retired.append(model.loaded.pop(number))
                model.states[number] = State("END")
                log.info("released %s version %d", name, number)
            self._release()
            for number in model.loading.keys() - folders.keys():
                del model.loading[number]
            gone = model.states.keys() - folders.keys() - model.loaded.keys()
            for number in gone:
                del model.states[number]
                model.bad.pop(number, None)
            if not model.states:
                del self._models[name]

    def _newest(self, name, model, folders):
        """The highest version in memory, once those above it are known to be bad."""
        for number in sorted(folders, reverse=True):
            if self._load(name, model, number, folders):
                return number
            loader = model.loading.get(number)
            if loader and (model.loaded or loader.seconds() < PATIENCE):
                return None
        return None

    def _load(self, name, model, number, folders):
        """Whether the version is in memory; begins to load it, where it is not known to be bad."""
        if number in model.loaded:
            return True
        loader = model.loading.get(number)
        if loader is None:
            if model.bad.get(number) != footprint(folders[number]):
                log.info("loading %s version %d", name, number)
                loader = Loader(folders[number], self.folder, self.load_limit, self._changed.set)
                with self._lock:
                    model.states[number] = State("LOADING")
                    model.loading[number] = loader
                loader.start()
            return False
        if loader.is_done():
            self._end(name, model, number, loader)
        return number in model.loaded

    def _end(self, name, model, number, loader):
        """Serves what was loaded, or notes why it cannot be."""
        bundle = loader.bundle
        with self._lock:
            del model.loading[number]
            if bundle is None:
                model.states[number] = State("END", loader.error)
                model.bad[number] = loader.footprint
            else:
                model.loaded[number] = Loaded(number, bundle, self._batcher(bundle.run))
                model.states[number] = State("AVAILABLE")
                model.bad.pop(number, None)
        if bundle is None:
            log.error("bad version %d of %s is not served: %s", number, name, loader.error)
        else:
            log.info("serving %s version %d", name, number)

    def _release(self):
        """Ends the replaced versions that no request uses any more; the lock is held."""
        for one in [one for one in self._retired if not one.users]:
            self._retired.remove(one)
            one.batcher.close()
            self._released = True
