"""Seconds an epoch, kerasae beside Keras, PyTorch, JAX and the bare matrix products, on full MNIST.

    pip install -e '.[bench]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/training_speed.py [--layouts 300,100] [--batches 128]

All train a mirrored stack, tanh within and linear at the end, from Glorot's kernels by Adam at 0.001 on
mean squared error, on 60,000 rows of pixels / 255 in float32, shuffled, the short batch too. Each runs in a
process of its own (`contenders.py`), and they take turns. A turn is one `fit`, or one loop, of one epoch
more than --epochs, by default of 1000 steps in all. Its first epoch is not counted, so that what a call of
`fit` costs once is kept apart. The very first turn warms up. The products are NumPy's, of the forward pass
and of both gradients. In the table, "first epoch" is what the very first epoch cost more than the median,
compilation included; "a call" is what a later turn cost beyond its epochs; "MB before" is the peak memory
before the first turn.

With --short EPOCHS, instead, the whole time of one fit of as many epochs in a fresh process, compilation and all,
but not the imports: what a short fit costs.

With --h2o EPOCHS, also H2O's autoencoder, which needs Java and `pip install -e '.[h2o]'`: seconds to
its own error, by its own optimizer, ADADELTA, on batches of one row.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import results
from contenders import MAKERS
from rich.console import Console
from rich.table import Table

NAMES = [name for name in MAKERS if name != "H2O"]
RATIOS = [
    *((name, "PyTorch") for name in NAMES if name != "PyTorch"),
    ("kerasae JAX", "JAX scan"),
    ("kerasae", "TensorFlow loop"),
    ("Keras", "kerasae"),
]
ROWS, STEPS = 60_000, 1000  # of MNIST; of a turn, enough for `fit` to choose XLA
NOISE = 1.05  # of the median error, above which a contender has not trained like the others


class Contender:
    """One process that trains on request; see `contenders.py`."""

    def __init__(self, name, half, batch_size):
        command = (Path(__file__).with_name("contenders.py"), name, half, batch_size)
        self.name, self.turns = name, []
        self.process = subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **MAKERS[name][1]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.before = self.reply()["megabytes"]

    def reply(self):
        if line := self.process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"{self.name} stopped with status {self.process.wait()}")

    def train(self, epochs):
        print(epochs, file=self.process.stdin, flush=True)
        self.turns.append(self.reply())

    def finish(self):
        """All measurements, once the process has ended."""
        self.process.stdin.close()
        last = self.reply()
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
        }

    def stop(self):
        self.process.kill()
        self.process.wait()


def race(names, half, batch_size, settings):
    """The measurements of each contender in one case, all of them taking turns."""
    epochs = settings.epochs or max(1, math.ceil(STEPS / math.ceil(ROWS / batch_size)) - 1)
    with ExitStack() as stack:
        contenders = []
        for name in names:
            contenders.append(Contender(name, half, batch_size))
            stack.callback(contenders[-1].stop)
        for turn in range(settings.repeats + 1):
            for contender in contenders:
                contender.train(epochs + 1)
            print(f"  turn {turn} of {settings.repeats}", flush=True)
        return {contender.name: contender.finish() for contender in contenders}


def short(names, half, batch_size, epochs, repeats):
    """Seconds of whole fits, each the first of its process, the contenders taking turns."""
    seconds = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            contender = Contender(name, half, batch_size)
            try:
                contender.train(epochs)
                seconds[name].append(contender.turns[0]["wall"])
            finally:
                contender.stop()
    return seconds


def short_row(layout, batch_size, epochs, seconds):
    """What is written of short fits: medians, and all that was measured."""
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    steps = epochs * math.ceil(ROWS / batch_size)
    line = ", ".join(f"{name} {value:.2f}" for name, value in medians.items())
    print(f"{layout}, batch {batch_size}, {epochs} epochs, {steps} steps: {line}", flush=True)
    case = {"layout": layout, "batch": batch_size, "epochs": epochs, "steps": steps}
    return {**case, **medians, "seconds": seconds}


def h2o(half, layout, epochs):
    """Seconds of H2O's one training, and the error that it reached."""
    contender = Contender("H2O", half, 1)
    try:
        contender.train(epochs)
        contender.process.stdin.close()
        seconds, mse = contender.turns[0]["wall"], contender.reply()["mse"]
        contender.process.wait()  # it stops the server that it started
    finally:
        contender.stop()
    return {"H2O, layout": layout, "epochs": epochs, "seconds": seconds, "mse": mse}


def worse(measured):
    """Names of the contenders whose error is above that of the others by more than noise."""
    errors = {name: r["mse"] for name, r in measured.items() if r["mse"] is not None}
    limit = NOISE * statistics.median(errors.values()) if errors else 0
    return [name for name, mse in errors.items() if not mse <= limit]


def ratios_of(measured):
    """Ratios of the medians of the contenders that ran."""
    return {
        f"{a} / {b}": measured[a]["median"] / measured[b]["median"]
        for a, b in RATIOS
        if a in measured and b in measured
    }


def rows_of(cases, others):
    """What is written: a row a case, and a row for each training of H2O."""
    rows = []
    for (layout, batch), measured in cases.items():
        row = {"layout": layout, "batch": batch, "ratios": ratios_of(measured)}
        if "PyTorch" in measured:
            row["PyTorch, s"] = measured["PyTorch"]["median"]
        rows.append({**row, "contenders": measured})
    return rows + others


def tables(cases):
    """The table of ratios, and that of all measurements."""
    ratios = Table("layout, batch", title="seconds an epoch, ratios of medians")
    for pair in ratios_of(next(iter(cases.values()))):
        ratios.add_column(pair.replace(" / ", "\n/ "), justify="right")
    columns = "seconds", "from-to", "first epoch", "a call", "mse", "MB before", "MB peak"
    table = Table("layout, batch", "contender", title="seconds an epoch, and beside")
    for column in columns:
        table.add_column(column, justify="right")
    for (layout, batch), measured in cases.items():
        case, flagged = f"{layout}, {batch}", worse(measured)
        ratios.add_row(case, *(f"{ratio:.2f}" for ratio in ratios_of(measured).values()))
        for name, r in measured.items():
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
                end_section=name == list(measured)[-1],
            )
    return ratios, table


def panel(axis, raced):
    """Bars of a layout, a group for each batch size, their whole range on top."""
    names = list(next(iter(raced.values())))
    reference = "PyTorch" if "PyTorch" in names else names[0]
    width = 0.84 / len(names)
    for i, name in enumerate(names):
        at = [group + (i - (len(names) - 1) / 2) * width for group in range(len(raced))]
        unit = [measured[reference]["median"] for measured in raced.values()]
        seconds = [measured[name]["seconds"] for measured in raced.values()]
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

    layouts = list(dict.fromkeys(layout for layout, _ in cases))
    size = 3 + 4 * len(layouts), 4.2
    figure, axes = plt.subplots(1, len(layouts), figsize=size, squeeze=False, layout="constrained")
    for axis, layout in zip(axes[0], layouts, strict=True):
        panel(axis, {batch: r for (of, batch), r in cases.items() if of == layout})
        axis.set_title(f"784-{layout}-784", fontsize=10)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def parse():
    parser = results.parser(__doc__, "training_speed")
    half = "Of the encoder: 300,100 trains 300-100-300."
    parser.add_argument(
        "--layouts", nargs="+", default=["100", "300,100", "1000,500,250,30"], help=half
    )
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 128, 512])
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="Epochs a timing.")
    parser.add_argument("--short", nargs="+", type=int, default=[], metavar="EPOCHS")
    parser.add_argument("--h2o", type=int, default=0, metavar="EPOCHS")
    parser.add_argument("--picture", type=Path, help="Where to draw the ratios, a .png.")
    return parser.parse_args()


def report(cases, others):
    console = Console(width=132)
    console.print(*tables(cases))
    for (layout, batch), measured in cases.items():
        for name in worse(measured):
            print(f"! {layout}, {batch}: {name}'s error is more than 5% above the median of all")
    for r in others:
        print(
            f"{r['H2O, layout']}: H2O took {r['seconds']:.1f} s for {r['epochs']} epochs to its own mse of "
            f"{r['mse']:.5f}, by another optimizer, ADADELTA"
        )


def main():
    settings, cases, others = parse(), {}, []
    for half in settings.layouts:
        layout = "-".join([*half.split(","), *half.split(",")[-2::-1]])
        for batch_size in settings.batches:
            if settings.short:
                others += [
                    short_row(
                        *(layout, batch_size, epochs),
                        short(settings.contenders, half, batch_size, epochs, settings.repeats),
                    )
                    for epochs in settings.short
                ]
                continue
            print(f"{layout}, batch {batch_size}", flush=True)
            cases[layout, batch_size] = race(settings.contenders, half, batch_size, settings)
            # After each case, so that a run that is stopped leaves what it has measured.
            results.write(settings.output, rows_of(cases, others))
        if settings.h2o:
            others.append(h2o(half, layout, settings.h2o))
        if others:
            results.write(settings.output, rows_of(cases, others))
    if settings.short:
        return
    report(cases, others)
    if settings.picture:
        picture(cases, settings.picture)


if __name__ == "__main__":
    main()
