"""Seconds of the anomaly detector: a fit on one core, a million rows to score, ten millions to fit.

    python benchmarks/detector_speed.py

Rows have 36 columns of independent normal numbers. Each part has a process of its own. The fit of 4,000
rows may use one core; the first one imports and compiles, and is not in the median. The ten million rows
are fitted with `contamination=0.05`, imports and compilation included, and take 1,440 MB themselves.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import results
from contenders import megabytes

COLUMNS, FITS = 36, 5
MOST_SCORED, MOST_FITTED = 1_000_000, 10_000_000


def draw(rows):
    return np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype("float32")


def fitted(rows, contamination=0.0):
    """A fitted detector and the seconds that this took."""
    started = time.perf_counter()
    from kerasae.anomaly import Detector

    detector = Detector(contamination=contamination).fit(draw(rows), verbose=0)
    return detector, time.perf_counter() - started


def row(what, values):
    return {
        "what": what,
        "median": statistics.median(values),
        "from": min(values),
        "to": max(values),
    }


def fit():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    first, *others = (fitted(4000)[1] for _ in range(1 + FITS))
    return [
        row("fit of 4,000 rows on one core, s", others),
        row("the first fit of a process, s", [first]),
    ]


def score():
    detector, _ = fitted(6000)
    rows, found = draw(MOST_SCORED), []
    detector.score(rows[:10_000])
    for _ in range(3):
        started = time.perf_counter()
        detector.score(rows)
        found.append(time.perf_counter() - started)
    return [row("scores of 1,000,000 rows, s", found)]


def large():
    seconds = fitted(MOST_FITTED, 0.05)[1]
    return [
        row("fit of 10,000,000 rows, contaminated, s", [seconds]),
        row("the most memory in it, MB", [megabytes()]),
    ]


PARTS = {"fit": fit, "score": score, "large": large}


def main():
    parser = results.parser(__doc__, "detector_speed")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # in this process
    settings, rows = parser.parse_args(), []
    if settings.part:
        print(json.dumps(PARTS[settings.part]()))
        return
    for part in PARTS:
        command = [sys.executable, __file__, "--part", part]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows += json.loads(done.stdout.splitlines()[-1])
        print(*rows, sep="\n")
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
