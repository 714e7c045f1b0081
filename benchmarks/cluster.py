"""Rows a second of scoring by one and by two processes on Ray, each on one thread.

    python benchmarks/cluster.py --rows 9000000 --repeats 2

Two processes are compared with one in turn, `--repeats` times: the ratio of each pair is quoted, with
the median. The rate is that of the last two thirds of the rows: the time of all rows less that of a folder with a
third of them, so that Ray's start, the loading of the model and the stagger of the second process are in both.

    python benchmarks/cluster.py --alone --rows 3000000

gives rows a second of the processor for one thread without Ray, reading included, which other work on the
machine hardly changes.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import kerasae
from kerasae.engines import Scorer, score_folder
from kerasae.engines.ray import tables, units_of

COLUMNS = 30


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=9_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--folder", type=Path, help="keeps rows and model for the next run")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.folder or Path(name)
        if not (folder / "model.keras").exists():
            write(folder, arguments.rows)
        scorer = Scorer(folder / "model.keras")
        if arguments.alone:
            print(json.dumps({"processor": processor(), "rows_a_second": alone(scorer, folder)}))
            return
        found = [measured(scorer, folder, Path(name), i) for i in range(arguments.repeats)]
    ratios = [one["rows_a_second"]["2"] / one["rows_a_second"]["1"] for one in found]
    result = {
        "processor": processor(),
        "rows": arguments.rows,
        "columns": COLUMNS,
        "runs": found,
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")


def processor():
    """The model name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def write(folder, rows):
    """Writes the rows in eight files, a third as many in another folder, and a model of them."""
    rng = np.random.default_rng(0)
    names = [f"column_{i}" for i in range(COLUMNS)]
    for kind, count in (("rows", rows), ("third", rows // 3)):
        (folder / kind).mkdir(parents=True)
        for i in range(8):
            x = rng.normal(size=(count // 8, COLUMNS)).astype("float32")
            frame = pd.DataFrame(x, columns=names)
            frame.to_parquet(folder / kind / f"{i}.parquet", row_group_size=100_000)
    keras.utils.set_random_seed(0)
    model = kerasae.stacked_autoencoder((COLUMNS,), (256, 128, 8))
    model.fit(frame, epochs=1, verbose=0)
    kerasae.anomaly.calibrate(model, frame)
    model.save(folder / "model.keras")


def alone(scorer, folder):
    """Rows a second of the processor, of one of the files, in three passes."""
    files = units_of(sorted(map(str, (folder / "rows").glob("*.parquet")))[:1])
    rates = []
    for _ in range(4):
        start, rows = time.process_time(), 0
        for unit in files:
            rows += sum(len(scorer(table)) for table in tables(*unit, None))
        rates.append(rows / (time.process_time() - start))
    return rates[1:]  # in the first, functions are compiled


def measured(scorer, folder, output, number):
    seconds, rates, counts = {}, {}, {}
    for workers in (1, 2):
        for kind in ("third", "rows"):
            start = time.perf_counter()
            counts[kind] = score_folder(
                scorer, folder / kind, output / f"{kind}-{workers}-{number}", workers=workers
            )
            seconds[f"{kind}, {workers}"] = time.perf_counter() - start
        work = seconds[f"rows, {workers}"] - seconds[f"third, {workers}"]
        rates[str(workers)] = (counts["rows"] - counts["third"]) / work
    return {"seconds": seconds, "rows_a_second": rates}


if __name__ == "__main__":
    main()
