"""Results of benchmarks: one JSON file a run, from which `tables.py` makes the documents' tables."""

import argparse
import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).with_name("results")
PACKAGES = "kerasae", "keras", "tensorflow", "jax", "torch", "numpy", "scikit-learn", "pyod"


def parser(description, name):
    """A parser of a benchmark's options, with the option `--output`.

    Args:
        description: The script's docstring, of which the first line is shown.
        name: Name of the JSON file, without folder and suffix.
    """
    made = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    made.add_argument(
        "--output",
        type=Path,
        default=FOLDER / f"{name}.json",
        help=f"JSON file of the results, by default benchmarks/results/{name}.json.",
    )
    return made


def write(path, rows):
    """Writes one run: its command, date, processor, versions and rows.

    Args:
        path: Path of the JSON file.
        rows: Dicts of numbers and their names, each of which gets a line.
    """
    about = {
        "command": command(),
        "date": str(datetime.now(UTC).date()),
        "processor": processor(),
        "versions": versions(),
    }
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(about, indent=1, ensure_ascii=False).removesuffix("\n}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head},\n "rows": [\n  {lines}\n ]\n}}\n', encoding="utf-8")
    print(f"results: {path}")


def read(name):
    """The content of a file that `write` has written, by its name without folder and suffix."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def command():
    """The command that runs now, as from the repository."""
    backend = os.environ.get("KERAS_BACKEND")
    prefix = f"KERAS_BACKEND={backend} " if backend else ""
    return prefix + shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def processor():
    """Name of the processor, and how many cores this process may use."""
    path, name = Path("/proc/cpuinfo"), platform.processor() or platform.machine()
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def versions():
    """Versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
