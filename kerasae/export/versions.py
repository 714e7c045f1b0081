"""Numbered folders that appear whole or not at all, and checksums that find damage."""

import functools
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerasae.atomic import write_file, write_folder, write_text
from kerasae.validation import check_count

MANIFEST = "manifest.json"
NUMBER = re.compile("0|[1-9][0-9]*")


def publish(
    write: Callable[[Path], object],
    directory: str | os.PathLike[str],
    version: int | None = None,
) -> Path:
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
    check_count("version", version, 10**18 - 1)  # TF Serving reads 64 bits
    if version is not None and (Path(directory) / str(int(version))).exists():
        raise FileExistsError(_exists(directory, version))

    def write_and_seal(folder: Path) -> None:
        write(folder)
        _seal(folder)

    try:
        return write_folder(directory, _numbers(directory, version), write_and_seal)
    except FileExistsError as error:  # since it was looked for above
        raise FileExistsError(_exists(directory, version)) from error


def _numbers(directory, version):
    """The names to try: the version's alone, or the next free one at each moment."""
    while version is None:
        yield str(next_version(directory))
    yield str(int(version))


def _exists(directory, version):
    return (
        f"version must be a new number. Received: version={version}, which exists ({directory}). "
        f"Try version {next_version(directory)}"
    )


def versions(directory: str | os.PathLike[str]) -> list[int]:
    """The numbers of the versions in a folder, in order; empty where there is no such folder."""
    directory = Path(directory)
    numbers = _numbered(directory)
    return sorted(number for number in numbers if (directory / str(number)).is_dir())


def next_version(directory: str | os.PathLike[str]) -> int:
    """The number after the highest version in a folder, 1 where there is none."""
    return max(_numbered(Path(directory)), default=0) + 1


def _numbered(directory):
    """The numbers that files and folders are named by."""
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return [int(name) for name in names if NUMBER.fullmatch(name)]


def stored_manifest(path: Path) -> dict[str, Any]:
    """The manifest in a file.

    Args:
        path: `pathlib.Path` of the file.

    Returns:
        A dict.

    Raises:
        ValueError: It is not JSON, or JSON of another form.
        OSError: It cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the manifest must be JSON. Received: {error} ({path})") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"the manifest must be a JSON object. Received: a {type(content).__name__} ({path})"
        )
    return content


def verify(directory: str | os.PathLike[str]) -> int:
    """Checks a published version against the checksums in its manifest.

    Args:
        directory: Folder of the version, `saved_models/NAME/1`.

    Returns:
        The number of files that are as they were written, the manifest aside.

    Raises:
        FileNotFoundError: There is no manifest.
        ValueError: A file is missing, was added or was changed, or the manifest is damaged.

    Example:
        >>> verify("saved_models/digits/1")  # doctest: +SKIP
        9
    """
    directory = Path(directory)
    manifest = directory / MANIFEST
    if not manifest.exists():
        raise FileNotFoundError(
            "directory must be the folder of a version, saved_models/NAME/1. "
            f"Received: {directory}, without {MANIFEST}"
        )
    written = stored_manifest(manifest).get("files")
    if not isinstance(written, dict):
        raise ValueError(
            "the manifest must hold the checksums of the files. "
            f"Received: files of type {type(written).__name__} ({manifest})"
        )
    found = _checksums(directory)
    for what, names in (
        ("missing", written.keys() - found.keys()),
        ("added", found.keys() - written.keys()),
        (
            "changed",
            {name for name in written.keys() & found.keys() if written[name] != found[name]},
        ),
    ):
        if names:
            raise ValueError(
                "the files must be as they were written. "
                f"Received: {', '.join(sorted(names))} {what} ({directory}). Try exporting again"
            )
    return len(found)


def _seal(folder):
    """Adds the checksum of every file to the manifest."""
    path = folder / MANIFEST
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content["files"] = _checksums(folder)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def replace_files(directory: str | os.PathLike[str], source: Path) -> None:
    """Brings files that describe a published version into it, and their checksums up to date.

    Each file appears whole, the manifest last. Files of the model itself are not touched.

    Args:
        directory: Folder of the version.
        source: Folder with the new files, in the places that they are to have.

    Raises:
        ValueError: The manifest is damaged, or other files differ from it.
        OSError: The disk is full or not writable.
    """
    directory = Path(directory)
    verify(directory)
    new = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for name in sorted(new):
        write_file(directory / name, functools.partial(shutil.copyfile, source / name))
    content = stored_manifest(directory / MANIFEST)
    content["files"] |= {name.as_posix(): _checksum(directory / name) for name in sorted(new)}
    write_text(directory / MANIFEST, json.dumps(content, indent=2) + "\n")


def _checksums(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: _checksum(path) for name, path in names.items() if name != MANIFEST}


def _checksum(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
