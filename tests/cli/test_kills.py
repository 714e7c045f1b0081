"""A hundred kills of train, export and tune: nothing is lost, nothing is half written.

Every run is forked from a process that has imported all there is, so that it costs the work alone.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from kerasae import load_model, verify
from kerasae.export.versions import versions
from kerasae.tuning.results import read_json, read_result, trial_rows

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
FORKS = """
import json, os, sys
import keras, tensorflow, sklearn.decomposition, matplotlib.figure, pyarrow.csv, rich.progress
import kerasae.export, kerasae.tuning, kerasae.models, kerasae.callbacks, kerasae.plots
from kerasae import cli

for line in sys.stdin:
    folder, *arguments = json.loads(line)
    if not (child := os.fork()):
        os.chdir(folder)
        for number, name in ((1, "out.txt"), (2, "err.txt")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["kerasae", *arguments]
        try:
            cli.main()
        except SystemExit as end:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(end.code or 0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
DATA = ("rows.csv", "--epochs")
TRAIN = ("train", *DATA, "30", "--hidden", "2", "--learning-rate", "0.02", "--name", "m")
TUNE = ("tune", "search", *DATA, "3", "--set", "layout=1,2", "--set", "learning_rate=0.02,0.05")
TUNE += ("--name", "s")
EXPORT = ("export", "whole/m/1/model.keras", "--name", "m")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 1)) * [1, 2, 3, 4] + 0.1 * rng.normal(size=(200, 4))
    pd.DataFrame(x, columns=list("abcd")).to_csv(folder / "rows.csv", index=False)
    return folder


class Runs:
    """Runs commands in forks, of which some are killed, and counts how they ended.

    Attributes:
        ends: How often a run ended in which way.
        seconds: How long a whole run of a command takes, by its first word.
    """

    def __init__(self, folder, process):
        self.folder, self.process = folder, process
        self.ends = Counter()
        self.seconds = {}
        self.random = random.Random(0)

    def run(self, *arguments, after=None, number=signal.SIGKILL):
        """Status of a run that gets a signal after some seconds, unless it has ended before."""
        began = time.monotonic()
        self.process.stdin.write(json.dumps([str(self.folder), *arguments]) + "\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        if after is not None:
            time.sleep(after)
            with contextlib.suppress(ProcessLookupError):  # it has ended
                os.kill(child, number)
        status = int(self.process.stdout.readline())
        if status == 0:
            self.seconds[arguments[0]] = time.monotonic() - began
        return status

    def kill(self, *arguments):
        """Status of a run that is killed at a random moment, or of a whole one."""
        number = signal.SIGTERM if self.random.random() < 0.2 else signal.SIGKILL
        after = self.random.uniform(0, self.seconds[arguments[0]])
        status = self.run(*arguments, after=after, number=number)
        self.ends[arguments[0], number.name if status else "whole before it"] += 1
        if number == signal.SIGTERM and status == 128 + number:
            assert self.text("err.txt").splitlines()[-1] == "error: interrupted"
        else:
            assert status in (0, -number), self.text("err.txt")
        return status

    def text(self, name):
        return (self.folder / name).read_text()

    def killed(self, command):
        return sum(n for (first, end), n in self.ends.items() if first == command and end[0] == "S")


@pytest.fixture(scope="module")
def runs(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    runs = Runs(folder, process)
    assert runs.run(*TRAIN, "--output", "whole") == 0, runs.text("err.txt")  # warms the disk up
    assert runs.run(*TRAIN, "--output", "whole") == 0
    yield runs
    process.stdin.close()
    process.wait()


def check_versions(folder):
    """Every version that there is must be whole."""
    numbers = versions(folder)
    for number in numbers:
        verify(folder / str(number))
    return numbers


def hidden(folder):
    """What a killed run may leave until the next one."""
    return list(folder.rglob(".*"))


def test_kills_of_train(runs, folder):
    """Cases 26, 34, 47 and 60: it goes on to the weights of the run without a kill."""
    wanted = load_model(folder / "whole/m/1").get_weights()
    output = folder / "saved_models"
    chains = 0
    while runs.killed("train") < 40:
        before = check_versions(output / "m")
        if runs.kill(*TRAIN, "--resume") == 0:
            chains += 1
            assert hidden(output) == []
        after = check_versions(output / "m")
        assert after[: len(before)] == before
    assert runs.run(*TRAIN, "--resume") == 0, runs.text("err.txt")
    assert hidden(output) == []
    for number in check_versions(output / "m"):
        for weight, other in zip(
            load_model(output / "m" / str(number)).get_weights(), wanted, strict=True
        ):
            np.testing.assert_array_equal(weight, other)
    print(f"\ntrain: {dict(runs.ends)}, {chains} went on to their end, {len(after)} versions")


def test_kills_of_export(runs, folder):
    """Cases 34 and 47: each version is whole, and what a killed one leaves goes with the next."""
    output = folder / "exported"
    line = (*EXPORT, "--output", "exported")
    assert runs.run(*line) == 0
    while runs.killed("export") < 30:
        before = check_versions(output / "m")
        runs.kill(*line)
        after = check_versions(output / "m")
        assert after[: len(before)] == before
        assert len(after) - len(before) in (0, 1)
    assert runs.run(*line) == 0
    assert hidden(output) == []
    numbers = check_versions(output / "m")
    assert numbers == list(range(1, len(numbers) + 1))
    print(f"\nexport: {dict(runs.ends)}, {len(numbers)} versions")


def test_kills_of_tune(runs, folder):
    """Cases 27 and 28: no trial is lost, and the table is that of the sweep without a kill."""
    names = ("trial", "layout", "learning_rate", "val_mse", "epochs", "status")
    assert runs.run(*TUNE, "--output", "whole") == 0, runs.text("err.txt")
    wanted = [[row[name] for name in names] for row in trial_rows(folder / "whole/s")]
    assert len(wanted) == 4
    sweeps = 0
    while runs.killed("tune") < 30:
        line = (*TUNE, "--output", f"sweeps-{sweeps}", "--resume")
        directory = folder / f"sweeps-{sweeps}" / "s"
        done = whole_results(directory)
        status = runs.kill(*line)
        assert done <= whole_results(directory)
        for path in directory.glob("*.json"):
            assert read_json(path) is not None
        if status == 0:
            check_sweep(directory, names, wanted)
            sweeps += 1
    assert runs.run(*line) == 0, runs.text("err.txt")
    check_sweep(directory, names, wanted)
    print(f"\ntune: {dict(runs.ends)}, {sweeps + 1} sweeps to their end")


def whole_results(directory):
    """The results that there are, none of which may be half written."""
    found = list(directory.glob("trial_*/result.json"))
    assert all(read_result(path) is not None for path in found)
    return {(path.parent.name, path.read_text()) for path in found}


def check_sweep(directory, names, wanted):
    assert [[row[name] for name in names] for row in trial_rows(directory)] == wanted
    assert hidden(directory) == []
