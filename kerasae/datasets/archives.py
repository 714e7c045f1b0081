"""Files of others: what they claim to hold is checked before memory is taken for it."""

import contextlib
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasae.validation import required

# What unpacks to more bytes than both is a decompression bomb. Deflate packs 1,032 to 1 at most,
# measured data seldom over 20 to 1.
MOST_TIMES = 100
HARMLESS = 128 << 20
ZIP64 = 0xFFFF
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@contextlib.contextmanager
def damaged(path: Path, word: str = "damaged") -> Iterator[None]:
    """Turns whatever a reader raises at a damaged or foreign file into one error that names it."""
    try:
        yield
    # A reader of a foreign format can raise any class, up to MemoryError and RecursionError.
    except Exception as error:
        raise ValueError(damage(error, path, word)) from error


@contextlib.contextmanager
def reading(path: Path, package: str | None = None) -> Iterator[None]:
    """Reads a file or folder with a package: what is missing or may not be read is not damaged.

    Args:
        path: `pathlib.Path` of the file or folder.
        package: Package that the format needs, or None.

    Raises:
        ValueError: It is damaged.
        OSError: It cannot be opened.
        ModuleNotFoundError: The package is missing.
    """
    if package:
        required(package, f"{path.suffix or '.parquet'} files")  # a folder holds Parquet files
    if not path.is_dir():
        path.open("rb").close()
    with damaged(path):
        yield


def damage(error: Exception, path: Path, word: str = "damaged") -> str:
    """The message for a file that is not whole, with what its reader says of it."""
    return (
        f"the file must be a whole {path.suffix or 'IDX'} file. Received: a {word} one, "
        f"{one_line(error)} ({path}). Try copying or downloading it again"
    )


def one_line(error: Any) -> str:
    """The message of an error on one line of at most 200 characters, or its class."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def check_unpacked(unpacked: int, packed: int, path: Path) -> None:
    """Refuses what unpacks to far more than its size, or to more than the memory.

    Args:
        unpacked: Bytes that the content claims to have.
        packed: Bytes that it has in the file.
        path: Path of the file, for the message.

    Raises:
        ValueError: It is a decompression bomb, or does not fit in memory.
    """
    if unpacked > max(HARMLESS, MOST_TIMES * packed):
        raise ValueError(
            f"the file must unpack to at most {MOST_TIMES} times its size. Received: {packed:,} "
            f"bytes that unpack to {unpacked:,} ({path}). Try writing it without compression"
        )
    check_memory(unpacked, path)


def check_memory(size: int, path: Path) -> None:
    """Refuses bytes for which this machine has no memory."""
    if size > memory():
        raise ValueError(
            f"the content must fit in memory, {memory():,} bytes. Received: {size:,} bytes ({path})"
        )


def memory() -> int:
    """Bytes of memory that this machine or its container has."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in map(Path, MEMORY_LIMITS):
        with contextlib.suppress(OSError, ValueError):  # another system, or "max"
            sizes.append(int(limit.read_text()))
    return min(sizes)


def free_memory() -> int:
    """Bytes of memory that this machine or its container has left."""
    left = memory()
    with contextlib.suppress(OSError, ValueError, StopIteration):  # not on Linux
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        left = min(left, 1024 * int(free.split()[1]))
    with contextlib.suppress(OSError, ValueError):
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        left = min(left, memory() - used)
    return max(left, 0)


@contextlib.contextmanager
def open_zip(path: Path, word: str = "damaged") -> Iterator[zipfile.ZipFile]:
    """Opens a zip file whose members are all sound in name, method and claimed size.

    Args:
        path: Path of the file.
        word: What the messages call a file that is not whole.

    Yields:
        The `zipfile.ZipFile`.

    Raises:
        ValueError: It is damaged, encrypted or a decompression bomb.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        with damaged(path, word):
            archive = zipfile.ZipFile(file)
            for member in archive.infolist():
                # Compares the two headers, and refuses what is encrypted or of another method.
                archive.open(member).close()
            members = archive.infolist()
            if len(members) > len(set(archive.namelist())):
                raise zipfile.BadZipFile("two members of the same name")
            if _counted(file) not in (len(members), ZIP64):
                raise zipfile.BadZipFile("a member is lost")
        for member in members:
            check_unpacked(member.file_size, member.compress_size, path)
        # Members that overlap are packed into the same bytes.
        check_unpacked(sum(one.file_size for one in members), os.fstat(file.fileno()).st_size, path)
        with archive:
            yield archive


def _counted(file):
    """How many members the end of an archive counts: a damaged list of them may hide some."""
    file.seek(-min(os.fstat(file.fileno()).st_size, 1 << 16), os.SEEK_END)
    tail = file.read()
    return struct.unpack_from("<H", tail, tail.rfind(b"PK\5\6") + 10)[0]
