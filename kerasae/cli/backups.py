"""The backup of a `kerasae train` that is stopped: a folder beside its output, of one run alone."""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kerasae.atomic import write_text

OPTIONS = "options.json"


@contextlib.contextmanager
def backup_folder(output: Path, options: Mapping[str, Any], resume: bool) -> Iterator[Path]:
    """A folder for the backup of one run, which no other run has as long as the context lasts.

    OUTPUT/NAME has its backup in OUTPUT/.NAME.backup; where another run into NAME is going on, in
    OUTPUT/.NAME.backup-2, and so on. It is removed at the end. Where the context ends in an error
    that a second try may not meet, such as a full disk or Ctrl-C, the folder stays.

    Args:
        output: Folder of the versions, OUTPUT/NAME.
        options: What the result depends on, by name, as JSON has it.
        resume: Whether to take the folder of a run that was stopped, if there is one; else what
            stopped runs left is removed.

    Yields:
        Path of the folder.

    Raises:
        ValueError: The stopped run had other options, or it is still going on.
    """
    made = not output.parent.exists()
    with contextlib.ExitStack() as locks:
        if resume:
            folder = _stopped(output, options, locks)
        else:
            remove_stopped(output)
            folder = None
        folder = folder or _new(output, options, locks)
        try:
            yield folder
        except BaseException as error:
            again = isinstance(error, KeyboardInterrupt) or not isinstance(error, ValueError)
            if not (again and (folder / "backup.npz").exists()):
                _remove(folder)
                if made:
                    with contextlib.suppress(OSError):  # others have written there
                        output.parent.rmdir()
            raise
        _remove(folder)


def remove_stopped(output: Path) -> None:
    """Removes the backups that stopped runs into OUTPUT/NAME left, not those of running ones."""
    for folder in _folders(output):
        with contextlib.ExitStack() as locks:
            if _lock(folder, locks):
                _remove(folder)


def _stopped(output, options, locks):
    """The folder of a run with these options that was stopped, or None."""
    running = changes = None
    for folder in _folders(output):
        if not _lock(folder, locks):
            running = folder
        elif found := _changes(folder, options):
            changes = f"{'; '.join(found)} ({folder})"
        else:
            return folder
    if running:
        raise ValueError(
            "a resumed training must have been stopped. "
            f"Received: one that is still running ({running}). Try again when it has ended"
        )
    if changes:
        raise ValueError(
            "a resumed training must have the options that it began with. "
            f"Received: {changes}. Try these options, or leaving out --resume to start anew"
        )
    return None


def _changes(folder, options):
    try:
        before = json.loads((folder / OPTIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        before = None
    if not isinstance(before, dict):
        return [f"a damaged {OPTIONS}"]
    now = json.loads(json.dumps(options))
    return [
        f"{name} was {before.get(name)}, is now {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _new(output, options, locks):
    for number in itertools.count(1):
        folder = output.with_name(_prefix(output) + (f"-{number}" if number > 1 else ""))
        folder.mkdir(parents=True, exist_ok=True)
        if _lock(folder, locks):
            (folder / "backup.npz").unlink(missing_ok=True)
            write_text(folder / OPTIONS, json.dumps(options, indent=1))
            return folder


def _prefix(output):
    return f".{output.name}.backup"


def _folders(output):
    if not output.parent.is_dir():
        return []
    prefix = _prefix(output)
    return sorted(
        path
        for path in output.parent.iterdir()
        if path.name == prefix
        or (path.name.startswith(f"{prefix}-") and path.name[len(prefix) + 1 :].isdecimal())
    )


def _lock(folder, locks):
    """Locks a folder until `locks` is closed; False where another run has it, or it is gone."""
    try:
        lock = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between the two, the run that had it may have removed it.
        held = os.fstat(lock).st_ino == folder.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        held = False
    if held:
        locks.callback(os.close, lock)
    else:
        os.close(lock)
    return held


def _remove(folder):
    shutil.rmtree(folder, ignore_errors=True)
