"""Seconds an epoch, kerasae beside Keras, PyTorch, JAX and the bare matrix products, on full MNIST.

    pip install -e '.[bench]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/training_speed.py [--layouts 300,100] [--batches 128]

All train a mirrored stack, tanh within and linear at the end, from Glorot's kernels by Adam at 0.001 on
mean squared error, on 60,000 rows of pixels / 255 in float32, shuffled, the short batch too; each in a
process of its own (`contenders.py`), in turns. A turn is one `fit`, or one loop, of one epoch more than
--epochs, by default of 1000 steps in all, and its first epoch is not counted: what a call of `fit` costs
once is told apart. The very first turn warms up. The products are NumPy's, of the forward pass and of both
gradients. "First epoch" is what the very first one cost more than the median, compilation and all; "a call",
what a later turn cost beside its epochs; "MB before", the most memory before the first. What it found is in
`README.md` beside.

With --h2o EPOCHS, also H2O's autoencoder, which needs Java and `pip install -e '.[h2o]'`: seconds to
its own error, by its own optimizer, ADADELTA, on batches of one row.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from contenders import MAKERS
from rich.console import Console
from rich.table import Table

NAMES = [name for name in MAKERS if name != "H2O"]
RATIOS = [
    *((name, "PyTorch") for name in NAMES if name != "PyTorch"),
    ("kerasae JAX", "JAX scan"),
    ("Keras", "kerasae"),
]
ROWS, STEPS = 60_000, 1000  # of MNIST; of a turn, from which `compile` chooses XLA
NOISE = 1.05  # of the median error, above which a contender has not trained like the others


class Contender:
    """One process that trains when it is asked to; see `contenders.py`."""

    def __init__(self, name, half, batch_size, log):
        command = (Path(__file__).with_name("contenders.py"), name, half, batch_size)
        self.name, self.turns = name, []
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **MAKERS[name][1]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self.before = self.answer()["megabytes"]

    def answer(self):
        if line := self.process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"{self.name} stopped with {self.process.wait()}; see the log")

    def train(self, epochs):
        print(epochs, file=self.process.stdin, flush=True)
        self.turns.append(self.answer())

    def finish(self):
        """All that was measured, once the process has ended."""
        self.process.stdin.close()
        last = self.answer()
        self.process.wait()
        first, *turns = self.turns
        seconds = [(t["ends"][-1] - t["ends"][0]) / (len(t["ends"]) - 1) for t in turns]
        median = statistics.median(seconds)
        return {
            "seconds": seconds,
            "median": median,
            "first_epoch": first["ends"][0] - median,
            "call": statistics.median(t["wall"] - len(t["ends"]) * median for t in turns),
            "mse": last["mse"],
            "megabytes_before": self.before,
            "megabytes": last["megabytes"],
            "turns": self.turns,
        }

    def stop(self):
        self.process.kill()
        self.process.wait()


def race(names, half, batch_size, settings, log):
    """What each contender measured in one case, all of them taking turns."""
    epochs = settings.epochs or max(1, math.ceil(STEPS / math.ceil(ROWS / batch_size)) - 1)
    with ExitStack() as stack:
        contenders = []
        for name in names:
            contenders.append(Contender(name, half, batch_size, log))
            stack.callback(contenders[-1].stop)
        for turn in range(settings.repeats + 1):
            for contender in contenders:
                contender.train(epochs + 1)
            print(f"  turn {turn} of {settings.repeats}", flush=True)
        return {contender.name: contender.finish() for contender in contenders}


def h2o(half, epochs, log):
    """Seconds of H2O's one training, and the error that it reached."""
    contender = Contender("H2O", half, 1, log)
    try:
        contender.train(epochs)
        contender.process.stdin.close()
        seconds, mse = contender.turns[0]["wall"], contender.answer()["mse"]
        contender.process.wait()  # it stops the server that it started
    finally:
        contender.stop()
    return {"epochs": epochs, "seconds": seconds, "mse": mse}


def worse(results):
    """Names of the contenders whose error is above that of the others by more than noise."""
    errors = {name: r["mse"] for name, r in results.items() if r["mse"] is not None}
    limit = NOISE * statistics.median(errors.values()) if errors else 0
    return [name for name, mse in errors.items() if not mse <= limit]


def tables(cases):
    """The table of ratios, and that of all that was measured."""
    raced = {name for results in cases.values() for name in results}
    pairs = [pair for pair in RATIOS if raced.issuperset(pair)]
    ratios = Table("layout, batch", title="seconds an epoch, ratios of medians")
    for a, b in pairs:
        ratios.add_column(f"{a}\n/ {b}", justify="right")
    columns = "seconds", "from-to", "first epoch", "a call", "mse", "MB before", "MB peak"
    table = Table("layout, batch", "contender", title="seconds an epoch, and beside")
    for column in columns:
        table.add_column(column, justify="right")
    for case, results in cases.items():
        ratios.add_row(
            case, *(f"{results[a]['median'] / results[b]['median']:.2f}" for a, b in pairs)
        )
        flagged = worse(results)
        for name, r in results.items():
            error = "-" if r["mse"] is None else f"{r['mse']:.5f}{' !' * (name in flagged)}"
            table.add_row(
                case,
                name,
                f"{r['median']:.3f}",
                f"{min(r['seconds']):.3f}-{max(r['seconds']):.3f}",
                f"{r['first_epoch']:+.2f}",
                f"{r['call']:+.2f}",
                error,
                f"{r['megabytes_before']:.0f}",
                f"{r['megabytes']:.0f}",
                end_section=name == list(results)[-1],
            )
    return ratios, table


def panel(axis, raced):
    """Bars of a layout, a group for each batch size, their whole range on top."""
    names = list(next(iter(raced.values())))
    reference = "PyTorch" if "PyTorch" in names else names[0]
    width = 0.84 / len(names)
    for i, name in enumerate(names):
        at = [group + (i - (len(names) - 1) / 2) * width for group in range(len(raced))]
        unit = [results[reference]["median"] for results in raced.values()]
        seconds = [results[name]["seconds"] for results in raced.values()]
        low, height, high = (
            [of(s) / u for s, u in zip(seconds, unit, strict=True)]
            for of in (min, statistics.median, max)
        )
        colour = f"C{NAMES.index(name)}"
        axis.bar(at, height, width, label=name, color=colour)
        axis.vlines(at, low, high, color="black", linewidth=1)
        for x, value, top in zip(at, height, high, strict=True):
            axis.annotate(
                f"{value:.2f}", (x, top), (0, 2), textcoords="offset points", ha="center", size=6
            )
    axis.axhline(1, color="gray", linewidth=0.8, linestyle=":")
    axis.set_xticks(range(len(raced)), list(raced))
    axis.set(xlabel="batch size", ylabel=f"seconds an epoch / {reference}")
    axis.spines[["top", "right"]].set_visible(False)


def picture(cases, path):
    """One panel a layout."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    layouts = list(dict.fromkeys(case.split(", ")[0] for case in cases))
    size = 3 + 4 * len(layouts), 4.2
    figure, axes = plt.subplots(1, len(layouts), figsize=size, squeeze=False, layout="constrained")
    for axis, layout in zip(axes[0], layouts, strict=True):
        panel(axis, {c.split(", ")[1]: r for c, r in cases.items() if c.split(", ")[0] == layout})
        axis.set_title(f"784-{layout}-784", fontsize=10)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    half = "300,100 stands for 300-100-300."
    parser.add_argument(
        "--layouts", nargs="+", default=["100", "300,100", "1000,500,250,30"], help=half
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128, 512])
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="Epochs a timing.")
    parser.add_argument("--h2o", type=int, default=0, metavar="EPOCHS")
    parser.add_argument(
        "--output", type=Path, default=Path("training_speed"), help="Without suffix."
    )
    return parser.parse_args()


def report(cases, others):
    console = Console(width=132)
    console.print(*tables(cases))
    for case, results in cases.items():
        for name in worse(results):
            print(f"! {case}: {name} has an error more than 5% above the median of all")
    for layout, r in others.items():
        print(
            f"{layout}: H2O took {r['seconds']:.1f} s for {r['epochs']} epochs to its own mse of "
            f"{r['mse']:.5f}, by another optimizer, ADADELTA"
        )


def main():
    settings, cases, others = parse(), {}, {}
    packages = ("keras", "tensorflow", "jax", "torch", "numpy")
    machine = {"cores": os.cpu_count(), "machine": platform.platform()}
    machine |= {name: version(name) for name in packages}
    with settings.output.with_suffix(".log").open("w") as log:
        for half in settings.layouts:
            layout = "-".join([*half.split(","), *half.split(",")[-2::-1]])
            for batch_size in settings.batches:
                print(f"{layout}, batch {batch_size}", flush=True)
                results = race(settings.contenders, half, batch_size, settings, log)
                cases[f"{layout}, {batch_size}"] = results
            if settings.h2o:
                others[layout] = h2o(half, settings.h2o, log)
            found = {"machine": machine, "cases": cases, "h2o": others}
            settings.output.with_suffix(".json").write_text(json.dumps(found, indent=1))
    report(cases, others)
    picture(cases, settings.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
