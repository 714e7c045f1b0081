"""Real processes, killed: what no mock of SIGKILL can show."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kerasae.tuning import search
from kerasae.tuning.results import RESULT, read_json, trial_rows

pytestmark = pytest.mark.tensorflow

# One process imports Keras and forks for each run, so that a run costs its training alone.
SWEEPS = """
import json, os, signal, sys
from pathlib import Path
import keras
from kerasae.tuning import results, search, sweep

data, directory, space, *points = sys.argv[1:]

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def at_call(owner, name, number):
    original, calls = getattr(owner, name), []
    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == number:
            kill()
        return original(*args, **kwargs)
    setattr(owner, name, counted)

def half_written(path, text, **_):
    with open(path, "w") as file:
        file.write(text[: len(text) // 2])
    kill()

def prepare(point):
    what, _, number = point.partition(":")
    if what == "training":
        at_call(sweep.StopOnNaN, "on_epoch_end", int(number))
    elif what == "between":
        at_call(sweep.Sweep, "pre_create_trial", int(number))
    elif what == "saving":
        at_call(keras.Model, "save", int(number))
    elif what == "renaming":
        at_call(Path, "replace", int(number))
    elif what == "writing":
        original, calls = Path.write_text, []
        def counted(path, text, **options):
            calls.append(path)
            write = half_written if len(calls) == int(number) else original
            return write(path, text, **options)
        Path.write_text = counted

for number, point in enumerate(points):
    child = os.fork()
    if not child:
        prepare(point)
        search(data, json.loads(space), directory, epochs=1, batch_size=16, resume=number > 0)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    print(point, os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
"""


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, np.random.default_rng(0).normal(size=(80, 12)).astype("float32"))
    return path


def table(directory):
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in trial_rows(directory)
    ]


def killed_and_resumed(rows, directory, space, points):
    done = subprocess.run(
        [sys.executable, "-c", SWEEPS, rows, directory, json.dumps(space), *points, "none"],
        capture_output=True,
        text=True,
        check=True,
    )
    *killed, last = done.stdout.strip().splitlines()
    assert killed == [f"{point} {signal.SIGKILL.value}" for point in points]
    assert last == "none 0", done.stderr[-2000:]
    return table(directory)


@pytest.mark.slow
def test_six_trials_killed_in_training_between_trials_and_while_writing(rows, space, tmp_path):
    # Each point is counted from the start of its own process.
    points = ["training:2", "between:2", "writing:5", "saving:1", "renaming:9"]
    got = killed_and_resumed(rows, tmp_path / "killed", space, points)
    assert len(got) == 6
    assert got == table_of_one(rows, space, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["training", "between", "saving", "renaming", "writing"])
def test_six_trials_killed_at_many_points(rows, space, tmp_path, what):
    step = {"training": 1, "between": 1, "saving": 1, "renaming": 5, "writing": 4}[what]
    want = table_of_one(rows, space, tmp_path)
    for number in range(1, 6):
        points = [f"{what}:{number * step}"]
        assert killed_and_resumed(rows, tmp_path / f"{number}", space, points) == want


def table_of_one(rows, space, tmp_path):
    search(rows, space, tmp_path / "one", epochs=1, batch_size=16)
    return table(tmp_path / "one")


WORKERS = """
import json, sys
from kerasae.tuning import search

data, directory, space, resume = sys.argv[1:]
search(data, json.loads(space), directory, epochs=1, batch_size=16, workers=2, resume=int(resume))
"""


def started(rows, directory, space, resume=0):
    arguments = map(str, (rows, directory, json.dumps(space), resume))
    return subprocess.Popen([sys.executable, "-c", WORKERS, *arguments], stderr=subprocess.PIPE)


def children(process):
    """The ids of a process's children that are worker processes, by their name."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (path / "environ").read_text()
        except OSError:
            continue
        if parent == process.pid and "KERASTUNER_TUNER_ID=" in variables:
            name = variables.split("KERASTUNER_TUNER_ID=")[1].split("\0")[0]
            found[name] = int(path.name)
    return found


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"waited {seconds} seconds"
        time.sleep(0.02)
    return value


def being_trained(directory):
    return [
        path.parent.name
        for path in directory.glob("trial_*/trial.json")
        if not (path.parent / RESULT).exists()
    ]


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_give_the_table_of_one(rows, space, tmp_path):
    directory = tmp_path / "two"
    chief = started(rows, directory, space)
    wait_for(lambda: len(being_trained(directory)) == 2)
    workers = children(chief)
    os.kill(workers["worker1"], signal.SIGKILL)
    wait_for(lambda: children(chief).get("worker1", workers["worker1"]) != workers["worker1"])
    assert chief.wait(timeout=240) == 0, chief.stderr.read()[-2000:]
    assert table(directory) == table_of_one(rows, space, tmp_path)


@pytest.mark.slow
def test_workers_end_with_their_chief_and_the_sweep_goes_on(rows, space, tmp_path):
    directory = tmp_path / "two"
    chief = started(rows, directory, space)
    wait_for(lambda: len(list(directory.glob("trial_*/result.json"))) >= 2)
    orphans = children(chief)
    chief.kill()
    chief.wait()
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in orphans.values()))

    chief = started(rows, directory, space, resume=1)
    assert chief.wait(timeout=240) == 0, chief.stderr.read()[-2000:]
    assert table(directory) == table_of_one(rows, space, tmp_path)


@pytest.mark.slow
def test_a_trial_that_kills_its_process_again_and_again_is_recorded(rows, tmp_path):
    space, directory = {"layout": ["4", "8"], "learning_rate": [0.001]}, tmp_path / "two"
    chief = started(rows, directory, space)

    def kill_the_trainer_of_the_first():
        state = read_json(directory / "oracle.json") or {"ongoing_trials": {}}
        for name, trial in state["ongoing_trials"].items():
            worker = children(chief).get(name)
            done = (directory / "trial_0000" / RESULT).exists()
            if trial == "0000" and worker is not None and not done:
                os.kill(worker, signal.SIGKILL)
                wait_for(lambda name=name, killed=worker: children(chief).get(name) != killed)
        return chief.poll() is not None

    wait_for(kill_the_trainer_of_the_first, 240)
    assert chief.returncode == 0
    completed, failed = trial_rows(directory)
    assert completed["layout"] == "8"
    assert "its process died 3 times, by signal SIGKILL" in failed["cause"]


@pytest.mark.slow
def test_keras_tuners_own_variables_make_a_chief_and_its_worker(rows, space, tmp_path):
    directory = tmp_path / "spread"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
    code = WORKERS.replace(", workers=2", "")
    both = []
    for name in ("chief", "worker0"):
        arguments = map(str, (rows, directory, json.dumps(space), 0))
        environment = {**os.environ, **address, "KERASTUNER_TUNER_ID": name}
        both.append(subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment))
    try:
        assert [process.wait(timeout=240) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    assert table(directory) == table_of_one(rows, space, tmp_path)
