"""Speed and memory of rows in Parquet that are read in pieces, beside rows in memory.

    python benchmarks/larger_than_memory.py --folder FOLDER --rows 5000000 --columns 128

A file of so many rows of float32, and one with a tenth of them, are written to the folder and removed at the end.
On as many rows as memory holds easily, fits on the file and on the same rows as an array take turns in one
process. Then each has a process of its own that reports its peak memory: a fit on 2,000 rows in memory, which
takes all the memory of the framework and the compiled programs; a fit, and then scores of all rows written to
another Parquet file, on the small file and on the large one.

    python benchmarks/larger_than_memory.py --part command --folder FOLDER --rows 20000000 --columns 128

does the same by `kerasae train --stream` and `kerasae anomalies --stream`, beside a file of 20,000 rows: peak memory
above that of the small file, rows and megabytes a second, and how many processors were at work.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import results
from contenders import megabytes, race

BATCH, REPEATS, UNITS = 256, 5, (64, 16)
BLOCK = 100_000


def write_file(path, rows, columns):
    """Writes rows that 16 numbers each and noise make, in row groups of 100,000."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(16, columns)).astype("float32")
    noise = 0.1 * rng.normal(size=(BLOCK, columns)).astype("float32")
    schema = pa.schema([(f"c{i}", pa.float32()) for i in range(columns)])
    with parquet.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for first in range(0, rows, BLOCK):
            count = min(BLOCK, rows - first)
            x = rng.normal(size=(count, 16)).astype("float32") @ mixing + noise[:count]
            writer.write_table(pa.table([*np.ascontiguousarray(x.T)], schema=schema))


def build(columns, x):
    """A small model, for which reading the rows takes more of the time than for a large one."""
    import keras

    import kerasae

    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    scaler.adapt(x)
    model = kerasae.stacked_autoencoder((columns,), UNITS, scaler=scaler)
    model.compile()
    return model


def warm(path):
    """All that the framework and its compiled programs take."""
    import kerasae

    few = next(iter(kerasae.datasets.open(path)))[:2000]
    model = build(few.num_columns, few)
    model.fit(few, batch_size=BATCH, epochs=30, verbose=0)
    kerasae.anomaly.calibrate(model, few)
    kerasae.anomaly.score(model, few, BATCH)


def large(path):
    """Seconds of adapting, a fit of one epoch, and scores that are written."""
    import kerasae

    warm(path)
    own = megabytes()
    source = kerasae.datasets.open(path)
    started = time.perf_counter()
    model = build(len(source.columns), source)
    adapted = time.perf_counter()
    model.fit(source, batch_size=BATCH, verbose=0)
    fitted = time.perf_counter()
    kerasae.anomaly.calibrate(model, source)
    calibrated = time.perf_counter()
    scores = (
        {"score": one.anomaly_score, "p": one.p_value}
        for one in kerasae.anomaly.score(model, source, 2048)
    )
    output = Path(path).with_suffix(".scores.parquet")
    kerasae.datasets.write(output, scores)
    ended = time.perf_counter()
    output.unlink()
    seconds = adapted - started, fitted - adapted, calibrated - fitted, ended - calibrated
    print(own, megabytes(), *seconds)


def turns(path, columns):
    """Seconds of fits on a file and on the same rows in memory, in turns."""
    import kerasae

    source = kerasae.datasets.open(path)
    x = np.concatenate([piece.to_pandas().to_numpy() for piece in source])
    model = build(columns, x)

    def fit(rows):
        return lambda: model.fit(rows, batch_size=BATCH, verbose=0)

    return {
        name: others
        for name, (_, others) in race({"memory": fit(x), "file": fit(source)}, REPEATS).items()
    }


def speed(path, count, columns):
    """How fast a fit is on a file, beside one on the same rows in memory."""
    found = turns(path, columns)
    ratios = [a / b for a, b in zip(found["memory"], found["file"], strict=True)]
    speeds = {name: count / statistics.median(values) for name, values in found.items()}
    print(
        f"fit: {speeds['memory']:,.0f} rows/s in memory, {speeds['file']:,.0f} from Parquet, "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    )
    named = {f"rows/s, {name}": value for name, value in speeds.items()}
    what = "speed of fit, Parquet / memory"
    return {"what": what, "value": statistics.median(ratios), "ratios": ratios, **named}


def memory(path, count):
    """The most memory of a process that trains on a file and scores it, beside a small fit."""
    command = [sys.executable, __file__, "--large", str(path)]
    own, whole, *seconds = map(float, subprocess.check_output(command).split()[-6:])
    size = path.stat().st_size / 1e9
    speeds = [count / one for one in seconds]
    print(
        f"{count:,} rows, {size:.2f} GB: {whole - own:.0f} MB above the {own:.0f} of the framework; "
        f"adapt, fit, calibrate, score: {', '.join(f'{one:,.0f}' for one in speeds)} rows/s",
        flush=True,
    )
    named = zip(("adapt", "fit", "calibrate", "score"), speeds, strict=True)
    return {
        "what": f"MB above the framework, {count:,} rows",
        "value": whole - own,
        "GB of the file": size,
        "framework MB": own,
        **{f"rows/s, {name}": value for name, value in named},
    }


def command(path, *arguments):
    """Peak MB, seconds and seconds of the processors of one command in a process of its own."""
    line = [sys.executable, "-m", "kerasae", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(line, cwd=path.parent, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(line)} must end well. Received: {process.returncode}")
    return used.ru_maxrss / 1024, seconds, used.ru_utime + used.ru_stime


def by_commands(folder, rows, columns):
    """Train and score of a large file by the command, beside those of a small one."""
    options = ("--stream", "--epochs", "1", "--batch-size", "1024", "--hidden", "64-16-64")
    found, size = {}, 0.0
    for count in (20_000, rows):
        path = folder / f"rows{count}.parquet"
        write_file(path, count, columns)
        size = path.stat().st_size / 1e6
        trained = command(path, "train", path.name, *options, "--allow-short")
        model = f"saved_models/{path.stem}-stacked"
        scores = "scores.parquet"
        scored = command(path, "anomalies", model, path.name, "--stream", "-o", scores)
        found[count] = {"train": trained, "anomalies": scored}
    lines = []
    for name, (peak, seconds, processor) in found[rows].items():
        own, start, _ = found[20_000][name]
        line = {
            "what": f"kerasae {name}, {size / 1000:.1f} GB: MB above 20,000 rows",
            "value": peak - own,
            "peak MB": peak,
            "seconds": seconds,
            "rows/s": rows / (seconds - start),
            "MB/s": size / (seconds - start),
            "processors": processor / seconds,
        }
        print(", ".join(f"{k} {v if isinstance(v, str) else round(v, 2)}" for k, v in line.items()))
        lines.append(line)
    return lines


def main():
    parser = results.parser(__doc__, "larger_than_memory")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--columns", type=int, default=128)
    parser.add_argument(
        "--part", choices=("speed", "memory", "command"), help="By default the first two."
    )
    parser.add_argument("--large", help=argparse.SUPPRESS)  # of one file, in a process of its own
    settings = parser.parse_args()
    if settings.large:
        large(settings.large)
        return
    few, rows = settings.rows // 10, []
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        if settings.part == "command":
            lines = by_commands(Path(folder), settings.rows, settings.columns)
            results.write(settings.output, lines)
            return
        paths = {count: Path(folder) / f"{count}.parquet" for count in (few, settings.rows)}
        if settings.part == "speed":
            del paths[settings.rows]
        for count, path in paths.items():
            write_file(path, count, settings.columns)
        if settings.part != "memory":
            rows.append(speed(paths[few], few, settings.columns))
        if settings.part != "speed":
            rows += [memory(path, count) for count, path in paths.items()]
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
