"""Numbered folders that appear whole or not at all, and tell when they were damaged."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from kerasae.door import check_count

MANIFEST = "manifest.json"


def publish(write, directory, version=None):
    """Makes a numbered folder appear whole: TF Serving loads a new number within a second.

    Args:
        write: Function that fills the folder whose path it is given.
        directory: Folder of the versions; made if need be.
        version: Number of the version, or None for the next free one.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1.
    """
    check_count("version", version)
    directory = Path(directory)
    final = directory / str(next_version(directory) if version is None else int(version))
    _refuse_existing(final)
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f".{final.name}.{os.getpid()}"
    try:
        beside.mkdir()
        write(beside)
        _seal(beside)
        for path in beside.rglob("*"):
            _flush(path)
        _refuse_existing(final)
        beside.rename(final)
        _flush(directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return final


def versions(directory):
    """The numbers of the versions in a folder, in order; empty where there is no such folder."""
    directory = Path(directory)
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


def next_version(directory):
    """The number after the highest version in a folder, 1 where there is none."""
    return max(versions(directory), default=0) + 1


def _refuse_existing(folder):
    if folder.exists():
        raise FileExistsError(
            f"version {folder.name} exists ({folder}); expected a new number; try version "
            f"{next_version(folder.parent)}"
        )


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def verify(directory):
    """Checks a published version against the checksums in its manifest.

    Args:
        directory: Folder of the version, `saved_models/NAME/1`.

    Returns:
        The number of files that are as they were written, the manifest aside.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: A file is missing, was added or was changed, or the manifest is damaged.
    """
    directory = Path(directory)
    manifest = directory / MANIFEST
    if not manifest.exists():
        raise FileNotFoundError(
            f"no manifest ({manifest}); expected the folder of a version, saved_models/NAME/1"
        )
    try:
        written = json.loads(manifest.read_text(encoding="utf-8"))["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"damaged manifest: {error!r} ({manifest}); expected JSON") from error
    found = _checksums(directory)
    for what, names in (
        ("missing", written.keys() - found.keys()),
        ("added", found.keys() - written.keys()),
        ("changed", {name for name in written.keys() & found if written[name] != found[name]}),
    ):
        if names:
            raise ValueError(
                f"{what}: {', '.join(sorted(names))} ({directory}); expected the files as they "
                "were written; try exporting again"
            )
    return len(found)


def _seal(folder):
    """Adds the checksum of every file to the manifest."""
    manifest = folder / MANIFEST
    told = json.loads(manifest.read_text(encoding="utf-8")) if manifest.exists() else {}
    told["files"] = _checksums(folder)
    manifest.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _checksums(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).as_posix() != MANIFEST
    }
