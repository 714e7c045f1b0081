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

COLUMNS, FITS, SCORES = 36, 5, 3
MOST_SCORED, MOST_FITTED = 1_000_000, 10_000_000


def draw(rows):
    return np.random.default_rng(0).normal(size=(rows, COLUMNS)).astype("float32")


def timed(call):
    """What a call returns, and its seconds on the clock and of the processor."""
    started = time.perf_counter(), time.process_time()
    result = call()
    ended = time.perf_counter(), time.process_time()
    return result, tuple(end - start for start, end in zip(started, ended, strict=True))


def fitted(x, contamination=0.0):
    from kerasae.anomaly import Detector

    return Detector(contamination=contamination).fit(x, verbose=0)


def row(what, seconds):
    clock, processor = zip(*seconds, strict=True)
    numbers = {"median, s": statistics.median(clock), "from": min(clock), "to": max(clock)}
    return {"what": what, **numbers, "processor, s": statistics.median(processor)}


def fit():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    x = draw(4000)
    first, *others = (timed(lambda: fitted(x))[1] for _ in range(1 + FITS))
    return [
        row("fit of 4,000 rows on one core", others),
        row("the first of a process, imports included", [first]),
    ]


def score():
    detector, rows = fitted(draw(6000)), draw(MOST_SCORED)
    detector.score(rows[:10_000])
    seconds = [timed(lambda: detector.score(rows))[1] for _ in range(SCORES)]
    return [row("scores of 1,000,000 rows", seconds)]


def large():
    x = draw(MOST_FITTED)
    _, seconds = timed(lambda: fitted(x, 0.05))
    return [{**row("fit of 10,000,000 rows, contaminated", [seconds]), "MB": megabytes()}]


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
        print(part, done.stdout)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
