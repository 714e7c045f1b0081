"""Files and folders that are there whole or not at all."""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PARTIAL = ".partial-"


def write_file(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Writes beside a file, flushes to disk, and renames over it.

    At a kill or a power cut at any moment the path holds the old content or the new one. What a
    killed write leaves beside it is removed by the next write in the folder.

    Args:
        path: Path of the file; its folder is made if need be.
        write: Function that writes to the path it is given, in the same folder and with the same
            suffix.

    Returns:
        The path.

    Raises:
        OSError: The disk is full or not writable; the old content is whole.

    Reference: Pillai et al. (2014), All file systems are not created equal.

    Example:
        >>> import tempfile
        >>> path = write_file(tempfile.mkdtemp() + "/note.txt", lambda file: file.write_text("a"))
        >>> path.read_text()
        'a'
    """
    path = Path(path)
    with _beside(path.parent, path.name, Path.touch) as partial:
        write(partial)
        _flush(partial)
        partial.replace(path)
    _flush(path.parent)
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Writes a text in UTF-8 as `write_file` does."""
    return write_file(path, lambda file: file.write_text(text, encoding="utf-8"))


def write_folder(
    directory: str | os.PathLike[str], names: Iterable[str], write: Callable[[Path], object]
) -> Path:
    """Fills a folder beside its place, flushes all of it to disk, and renames it.

    Args:
        directory: Where the folder is to be; made if need be.
        names: Names to try, in order: the folder gets the first that is free when it is complete.
        write: Function that fills the folder whose path it is given.

    Returns:
        Path of the folder.

    Raises:
        FileExistsError: None of the names is free; nothing is touched.
        OSError: The disk is full or not writable.
    """
    directory = Path(directory)
    with _beside(directory, "folder", Path.mkdir) as partial:
        write(partial)
        for part in partial.rglob("*"):
            _flush(part)
        final = next((path for name in names if _renamed(partial, path := directory / name)), None)
        if final is None:
            raise FileExistsError(f"the folder must be new. Received: a name in use ({directory})")
    _flush(directory)
    return final


def _renamed(partial, path):
    """Renames a folder unless something else has the name."""
    if path.exists():
        return False
    try:
        partial.rename(path)
    except OSError as error:  # another writer was faster
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


@contextlib.contextmanager
def _beside(directory: Path, name: str, make: Callable[[Path], object]) -> Iterator[Path]:
    """A new file or folder that no other writer has, removed at the end if it is still there."""
    directory.mkdir(parents=True, exist_ok=True)
    remove_partials(directory)
    partial, lock = _locked(directory, name, make)
    try:
        yield partial
    finally:
        _remove(partial)
        os.close(lock)


def _locked(directory, name, make):
    while True:
        partial = directory / f"{PARTIAL}{secrets.token_hex(4)}-{name}"
        make(partial)
        # Until it is locked, `remove_partials` of another writer may take it for a dead one's.
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as opened:
            lock = os.open(partial, os.O_RDONLY)
            opened.callback(os.close, lock)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_ino == partial.stat().st_ino:
                opened.pop_all()
                return partial, lock


def remove_partials(directory: str | os.PathLike[str]) -> None:
    """Removes what writers that were killed have left in a folder, never that of living ones."""
    for partial in Path(directory).glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError):  # locked by its writer, gone, or not ours to remove
            lock = os.open(partial, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(partial)
            finally:
                os.close(lock)


def _remove(partial):
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):  # what went wrong before is the error to report
            partial.unlink(missing_ok=True)


def _flush(path):
    """Makes what was written to a file or folder outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
