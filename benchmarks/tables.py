"""Writes the tables of benchmarks/README.md and of pages in docs from the results of the runs.

    python benchmarks/tables.py            # after a run has written benchmarks/results/NAME.json
    python benchmarks/tables.py --check    # ends with status 1 if a document differs

A table is what lies between `<!-- table NAME -->` and `<!-- end -->`; NAME is in `TABLES`.
"""

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path

from results import FOLDER, read

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "benchmarks" / "README.md"]
DOCUMENTS += [
    ROOT / "docs" / name for name in ("anomalies.md", "families.md", "large.md", "tables.md")
]
MARKED = re.compile(r"(<!-- table (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX"}
FAMILIES = "deep_autoencoder", "variational", "linear_features", "adversarial"
MEASURES = "auc", "average precision"

SERIES_METRICS = "range AUC", "range AUC, sd", "precision", "recall", "f1"
SERIES_METRICS += "spike", "level", "trend", "frequency", "correlation"

MEMORY_GOALS = {"peak, float32": 2.5, "peak, uint8": 0.63, "seconds, uint8 / float32": 1.1}


def rows_of(*names):
    """The rows of several runs, one after the other."""
    return [row for name in names for row in read(name)["rows"]]


# Each function returns the names of the runs, the header and the body. ------------------------------


def plain(name, columns):
    """Rows that have the first column, each number in the format of its column."""
    first = next(iter(columns))
    body = [
        [format(row[key], of) if key in row else "" for key, of in columns.items()]
        for row in rows_of(name)
        if first in row
    ]
    return (name,), list(columns), body


def training(*names):
    """Training time of every contender, as ratios."""
    names = names or ("training_speed", "training_speed-deep")
    rows = [row for row in rows_of(*names) if "ratios" in row]
    pairs = list(dict.fromkeys(pair for row in rows for pair in row["ratios"]))
    body = [
        [f"{row['layout']}, {row['batch']}"]
        + [f"{row['ratios'][pair]:.2f}" if pair in row["ratios"] else "" for pair in pairs]
        + [f"{row['PyTorch, s']:.2f}"]
        for row in rows
    ]
    return names, ["layout, batch", *pairs, "PyTorch, s"], body


def loops():
    """The same beside bare loops of the same backend."""
    return training(*(f"training_speed-loops{of}" for of in ("_32", "", "_deep")))


def short():
    """Whole seconds of short fits."""
    rows = rows_of("training_speed-short")
    names = list(rows[0]["seconds"])
    body = [
        [f"{row['layout']}, {row['batch']}", str(row["epochs"]), str(row["steps"])]
        + [f"{row[name]:.2f}" for name in names]
        for row in rows
    ]
    return ("training_speed-short",), ["layout, batch", "epochs", "steps", *names], body


def accelerator():
    """Seconds of an epoch and of the first one on a GPU, for each contender."""
    names = "kerasae", "JAX scan", "PyTorch", "PyTorch, CUDA graph"
    header = ["layout, batch, type", *(f"{name}, s" for name in names), "kerasae / JAX scan"]
    header += ["first, kerasae, s", "first, JAX scan, s"]
    body = []
    for row in rows_of("gpu"):
        ours, scan = row["kerasae"], row["JAX scan"]
        numbers = [f"{row[name]['median']:.4f}" for name in names]
        numbers += [f"{ours['median'] / scan['median']:.2f}"]
        numbers += [f"{one['first']:.1f}" for one in (ours, scan)]
        body.append([f"{row['layout']}, {row['batch']}, {row['type']}", *numbers])
    return ("gpu",), header, body


def gpu_kernels():
    """Kernels of a step on a GPU, of kerasae and the bare scan."""
    header = ["layout, batch, type", "kerasae", "JAX scan"]
    body = [
        [f"{row['layout']}, {row['batch']}, {row['type']}"]
        + [str(row[name]["kernels"]) for name in header[1:]]
        for row in rows_of("gpu_kernels")
    ]
    return ("gpu_kernels",), header, body


def families():
    """Training time of each family in three ways, on two backends."""
    names = [f"families_speed-{backend}" for backend in BACKENDS]
    ways = "chosen", "XLA loop", "fed by Keras"
    header = ["family", *(f"{name}: {way}" for name in BACKENDS.values() for way in ways)]
    body = [
        [pair[0]["family"], *(f"{row[way]:.3f}" for row in pair for way in ways)]
        for pair in zip(*map(rows_of, names), strict=True)
    ]
    return names, header, body


def inference():
    """Rates of inference over those of NumPy's products."""
    names = [f"inference-{backend}" for backend in BACKENDS]
    found = {
        (row["output"], row["layout"], backend): row["rate / NumPy"]
        for name, backend in zip(names, BACKENDS.values(), strict=True)
        for row in rows_of(name)
    }
    outputs, layouts = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    columns = [(layout, backend) for layout in layouts for backend in BACKENDS.values()]
    header = ["output", *map(", ".join, columns)]
    body = [
        [output, *(between(found[output, *column]) for column in columns)] for output in outputs
    ]
    return names, header, body


LARGER = [f"rows/s, {one}" for one in ("memory", "file", "adapt", "fit", "calibrate", "score")]


def between(value):
    """A number, or the range of several."""
    values = sorted({f"{one:.2f}" for one in (value if isinstance(value, list) else [value])})
    return " to ".join(values)


def memory():
    """Memory and time of fits from float32 and from bytes."""
    names = [f"memory-{backend}" for backend in BACKENDS]
    found = [{row["what"]: row["value"] for row in rows_of(name)} for name in names]
    body = [
        [what, *(f"{values[what]:.2f}" for values in found), str(goal)]
        for what, goal in MEMORY_GOALS.items()
    ]
    return names, ["ratio", *BACKENDS.values(), "goal, at most"], body


def larger():
    """Speed and memory of rows in files beside rows in memory."""
    names = [f"larger_than_memory-{part}" for part in ("speed", "memory")]
    names = [name for name in names if (FOLDER / f"{name}.json").exists()]
    body = [
        [row["what"], f"{row['value']:.2f}" if row["value"] < 10 else f"{row['value']:.0f}"]
        + [f"{row[one]:,.0f}" if one in row else "" for one in LARGER]
        for name in names
        for row in rows_of(name)
    ]
    return names, ["what", "value", *LARGER], body


def anomaly(protocol, of="kerasae", run="anomaly"):
    """Means over the sets in a protocol that one of kerasae's has, and how often it is ahead."""
    found = {
        (row["detector"], row["set"]): row for row in rows_of(run) if row["protocol"] == protocol
    }
    found = {key: row for key, row in found.items() if (of, key[1]) in found}
    header = ["detector", "sets", "AUC, %", "average precision, %"]
    header += ["wins, losses of kerasae", "kerasae on these sets", "seconds of the processor"]
    body = []
    for detector in dict.fromkeys(name for name, _ in found):
        sets = [one for name, one in found if name == detector]
        rows = [found[detector, one] for one in sets]
        ours = [found[of, one] for one in sets]
        seconds = sum(row["fit seconds"] + row["score seconds"] for row in rows)
        measures = [mean_and_error(rows, name) for name in MEASURES]
        beside = ", ".join(f"{mean_of(ours, name):.2f}" for name in MEASURES)
        compared = [score_of(ours, rows, MEASURES[1]), beside]
        compared = ["", ""] if detector == of else compared
        body.append([detector, str(len(sets)), *measures, *compared, f"{seconds:,.0f}"])
    return (run,), header, body


def mean_of(rows, name):
    return sum(row[name] for row in rows) / len(rows)


def mean_and_error(rows, name):
    """The mean over sets, and its standard error."""
    mean = mean_of(rows, name)
    variance = sum((row[name] - mean) ** 2 for row in rows) / max(1, len(rows) - 1)
    return f"{mean:.2f} ± {(variance / len(rows)) ** 0.5:.2f}"


def score_of(ours, others, name):
    """On how many sets ours is above and below, by more than a hundredth."""
    gains = [mine[name] - other[name] for mine, other in zip(ours, others, strict=True)]
    return f"{sum(gain > 0.01 for gain in gains)}, {sum(gain < -0.01 for gain in gains)}"


def contamination():
    """What leaving rows out brings, by the share of anomalies among the training rows."""
    rows = [row for row in rows_of("anomaly") if row["protocol"].endswith("%")]
    found = {(row["detector"], row["protocol"], row["set"]): row for row in rows}
    names, shares, sets = (list(dict.fromkeys(key[i] for key in found)) for i in range(3))
    shares = sorted(shares, key=lambda share: float(share.strip("%")))
    body = []
    for name in names:
        if not all((name, share, one) in found for share in shares for one in sets):
            continue
        parts = [[found[name, share, one] for one in sets] for share in shares]
        body.append([name, *(cell for part in parts for cell in both_means(part))])
    header = [f"{share}: {name}, %" for share in shares for name in ("AUC", "AP")]
    return (), ["detector", *header], body


def both_means(rows):
    return [f"{mean_of(rows, name):.2f}" for name in MEASURES]


def beside_papers():
    """The families' results that a paper reports, too."""
    header = ["model", "measure, test rows", "paper", "kerasae", "seconds to train"]
    body = [
        [row["model"], row["measure"], row["paper"], measured(row), f"{row['seconds']:,.0f}"]
        for row in rows_of(*FAMILIES)
        if "paper" in row
    ]
    return FAMILIES, header, body


def beyond_papers():
    """The families' other results."""
    rows = [row for row in rows_of(*FAMILIES) if "paper" not in row]
    body = [[row["model"], row["measure"], measured(row)] for row in rows]
    return (), ["model", "measure, test rows", "kerasae"], body


def wrong_cells():
    """Means over tables of how well wrong cells are found."""
    names = "ROC AUC", "average precision", "right column", "expected", "error"
    rows = [row for row in rows_of("wrong_cells") if row["table"] == "mean"]
    body = [[row["family"], *(f"{row[name]:.3f}" for name in names)] for row in rows]
    return ("wrong_cells",), ["mean of six tables", *names], body


def measured(row):
    """A number with as many digits as its measure has, and its standard error."""
    digits = {"squared": 3, "mse": 4, "Parzen": 1}.get(row["measure"].split()[0], 2)
    error = row.get("standard error")
    return f"{row['value']:.{digits}f}" + (f" ± {error:.1f}" if error else "")


def runs():
    """Date, processor and versions, and the runs that share them."""
    found = {}
    for path in sorted(FOLDER.glob("*.json")):
        run = read(path.stem)
        versions = ", ".join(f"{package} {of}" for package, of in run["versions"].items())
        key = run["date"] or "unknown", run["processor"], versions or "not recorded"
        found.setdefault(key, []).append(path.stem)
    body = [[*key, ", ".join(names)] for key, names in sorted(found.items())]
    return (), ["date", "processor", "versions", "runs"], body


TABLES = {
    "denoising": partial(
        plain, "denoising", {"stddev": "", "by": "", "PSNR": ".2f", "SSIM": ".3f"}
    ),
    "training": training,
    "loops": loops,
    "h2o": partial(
        plain,
        "training_speed-h2o",
        {"H2O, layout": "", "epochs": "", "seconds": ".0f", "mse": ".4f"},
    ),
    "accelerator": accelerator,
    "gpu_kernels": gpu_kernels,
    "short": short,
    "families": families,
    "inference": inference,
    "memory": memory,
    "larger": larger,
    "start": partial(plain, "start", {"what": "", "median, s": ".2g", "from": ".2g", "to": ".2g"}),
    "latency": partial(
        plain, "serving", {"way": "", "clients": "", "p50, ms": ".2f", "p99, ms": ".2f"}
    ),
    "serving": partial(plain, "serving", {"what": "", "value": ".3g"}),
    "sweep": partial(
        plain,
        "sweep_overhead",
        {
            "by": "",
            "fits before, s": ".1f",
            "fits after, s": ".1f",
            "sweep, s": ".1f",
            "overhead": ".1%",
        },
    ),
    "anomaly_normals": partial(anomaly, "normals"),
    "anomaly_half": partial(anomaly, "half"),
    "anomaly_unsupervised": partial(anomaly, "unsupervised", "kerasae, trimmed"),
    "anomaly_contamination": contamination,
    "anomaly_keel": partial(anomaly, "normals", run="anomaly-keel"),
    "anomaly_keel_unsupervised": partial(
        anomaly, "unsupervised", "kerasae, trimmed", run="anomaly-keel"
    ),
    "detector_speed": partial(
        plain,
        "detector_speed",
        {
            "what": "",
            "median, s": ".1f",
            "from": ".1f",
            "to": ".1f",
            "processor, s": ".1f",
            "MB": ",.0f",
        },
    ),
    "series": partial(
        plain,
        "series_anomalies",
        {"detector": "", **dict.fromkeys(SERIES_METRICS, ".1f")},
    ),
    "wrong_cells": wrong_cells,
    "mixed_reconstruction": partial(
        plain,
        "mixed_tables-reconstruction",
        {"table": "", "reconstruction by": "", "R2": ".3f", "right": ".3f", "s": ".1f"},
    ),
    "mixed_anomalies": partial(
        plain,
        "mixed_tables-anomalies",
        {"table": "", "rows": "", "AUC": ".3f", "codings moved": ".2f"},
    ),
    "imputation": partial(
        plain,
        "imputation",
        {"table": "", "imputed by": "", "error": ".3f", "right": ".3f", "s": ".1f"},
    ),
    "papers": beside_papers,
    "others": beyond_papers,
    "runs": runs,
}


def render(name, folder):
    """A table in Markdown, and below it the runs that its numbers come from."""
    names, header, body = TABLES[name]()
    lines = [header, ["---"] * len(header), *body]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    sources = [
        f"- [{one}]({os.path.relpath(FOLDER / f'{one}.json', folder)}): `{read(one)['command']}`\n"
        for one in names
    ]
    return "\n".join([text, "".join(sources)]) if sources else text


def fill(text, folder):
    """A document with its tables made anew; `folder` is where it lies, for the links."""
    return MARKED.sub(lambda found: found[1] + render(found[2], folder) + found[3], text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true", help="Compare, and write nothing.")
    check, differing = parser.parse_args().check, []
    for path in DOCUMENTS:
        before = path.read_text(encoding="utf-8")
        after = fill(before, path.parent)
        if after != before:
            differing.append(path)
            if not check:
                path.write_text(after, encoding="utf-8")
    for path in differing:
        print(f"{path}: {'differs, run python benchmarks/tables.py' if check else 'written'}")
    sys.exit(1 if check and differing else 0)


if __name__ == "__main__":
    main()
