"""Compiled programs kept on disk, so that a later process need not compile them."""

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
import warnings
import zlib
from pathlib import Path

# What is kept; the oldest programs go first. One of a small stack takes half a megabyte.
LIMIT = 2**29
XLA_FLAGS = "--tf_xla_persistent_cache_directory={} --tf_xla_persistent_cache_read_only=false"


def cache_programs(folder: str | os.PathLike[str] | None = None) -> Path:
    """Keeps programs that XLA compiles on disk, for later processes and those started from here.

    They are those of `fit` and `evaluate` on JAX, and on TensorFlow of long fits and of
    `jit_compile=True`. A program is found again by its operations, shapes and numbers of rows: the
    second run of a script finds its own. The processor and the versions of the backends have
    folders of their own, below. The files of processes that write at the same time do not mix. The
    command uses it by itself, unless the environment variable KERASAE_PROGRAM_CACHE is "off".

    Args:
        folder: Where to keep them; by default the one that KERASAE_PROGRAM_CACHE names, else
            kerasae in XDG_CACHE_HOME, else in ~/.cache. It may grow to 512 MiB.

    Returns:
        The folder of this processor and these versions.

    Raises:
        OSError: The folder cannot be made.

    Warns:
        UserWarning: TensorFlow is imported already, and keeps what it was told when it began.

    Example:
        >>> from kerasae.program_cache import cache_programs
        >>> folder = cache_programs()  # doctest: +SKIP
        >>> import keras  # doctest: +SKIP
    """
    folder = Path(folder or _default()) / f"{_machine():08x}"
    folder.mkdir(parents=True, exist_ok=True)
    _prune(folder.parent)
    if "tensorflow" in sys.modules:
        warnings.warn(
            "cache_programs has no effect on TensorFlow once it is imported; call it before",
            UserWarning,
            stacklevel=2,
        )
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if "tf_xla_persistent_cache_directory" not in flags:
        os.environ["TF_XLA_FLAGS"] = f"{flags} {XLA_FLAGS.format(folder)}".strip()
    options = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    if importlib.util.find_spec("filelock"):  # what JAX locks the folder with, to keep a limit
        options["jax_compilation_cache_max_size"] = LIMIT
    for name, value in options.items():
        os.environ[name.upper()] = str(value)
    if "jax" in sys.modules:
        for name, value in options.items():
            sys.modules["jax"].config.update(name, value)
    return folder


def _default():
    if named := os.environ.get("KERASAE_PROGRAM_CACHE"):
        return named
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "kerasae" / "programs"


def _machine():
    """A number of the processor and the versions: a program of another one might not run."""
    processor = platform.machine()
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text()
        processor += next((line for line in text.splitlines() if line.startswith("flags")), "")
    for package in ("tensorflow", "jaxlib", "keras"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            processor += importlib.metadata.version(package)
    return zlib.crc32(processor.encode())


def _prune(folder):
    """Removes the oldest programs of all machines and versions beyond the limit."""
    programs = []
    for path in folder.glob("*/*"):
        with contextlib.suppress(OSError):  # another process may have removed it
            programs.append((path.stat().st_mtime, path.stat().st_size, path))
    size = sum(size for _, size, _ in programs)
    for _, own, path in sorted(programs):
        if size <= LIMIT:
            return
        with contextlib.suppress(OSError):
            path.unlink()
        size -= own
