"""What `import kerasae` adds to `import keras`, and how soon the command answers.

    python benchmarks/start.py

Each in a new process, in turns, after one that is not counted; where the time goes is told by
`python -X importtime -c "import keras, kerasae"`.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 5
ADDED = (
    "import time, keras; s = time.perf_counter(); import kerasae; print(time.perf_counter() - s)"
)


def run(*command):
    """What it prints, and its seconds."""
    started = time.perf_counter()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout, time.perf_counter() - started


def main():
    found = {"import keras": [], "import kerasae, beyond": [], "kerasae --help": []}
    for _ in range(REPEATS + 1):
        added, whole = run(sys.executable, "-c", ADDED)
        _, helped = run(Path(sys.executable).with_name("kerasae"), "--help")
        values = whole - float(added), float(added), helped
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    for name, (_, *values) in found.items():
        print(f"{name:24}{statistics.median(values):.3f} s, {min(values):.3f}-{max(values):.3f}")


if __name__ == "__main__":
    main()
