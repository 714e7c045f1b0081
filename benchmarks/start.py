"""What `import kerasae` adds to `import keras`, and how long `kerasae --help` and `kerasae train` take.

    python benchmarks/start.py

Each in a new process, in turns, after a first one that is not counted.
`python -X importtime -c "import keras, kerasae"` shows where the time goes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import results

REPEATS = 5
TRAIN = "kerasae train digits, to the saved model"
ADDED = (
    "import time, keras; s = time.perf_counter(); import kerasae; print(time.perf_counter() - s)"
)


def run(*command):
    """What a command prints, and its seconds."""
    started = time.perf_counter()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return done.stdout, time.perf_counter() - started


def main():
    settings, rows = results.parser(__doc__, "start").parse_args(), []
    names = "import keras", "import kerasae, after import keras", "kerasae --help", TRAIN
    found = {name: [] for name in names}
    kerasae = Path(sys.executable).with_name("kerasae")
    for _ in range(REPEATS + 1):
        added, whole = run(sys.executable, "-c", ADDED)
        _, helped = run(kerasae, "--help")
        with tempfile.TemporaryDirectory() as folder:
            _, trained = run(kerasae, "train", "digits", "--output", folder)
        values = whole - float(added), float(added), helped, trained
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    for name, (_, *values) in found.items():
        median, low, high = statistics.median(values), min(values), max(values)
        print(f"{name:36}{median:.3f} s, {low:.3f}-{high:.3f}")
        rows.append({"what": name, "median, s": median, "from": low, "to": high})
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
