"""Several processes on one machine: KerasTuner's chief in this one, and its workers beside it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from kerasae.tuning.results import PLAN, RESULT, read_json, write_json
from kerasae.tuning.sweep import Sweep, make_oracle

# A trial whose process died this often is recorded as failed.
DEATHS = 3
WORK = "import sys; from kerasae.tuning.workers import work; sys.exit(work(sys.argv[1]))"
STOPS = 2  # the exit status of a worker that must not be started again


def run_workers(plan: Mapping[str, Any], directory: Path, count: int) -> None:
    """Runs a sweep with worker processes, and starts a dead one again under its own name.

    Without that the other workers would wait for ever for the trial of a dead one. The oracle
    lives in this process; workers end by themselves when this process does.

    The cores are divided among them. Fewer threads take some sums in another order: of the five
    layouts on MNIST, three came out the same to the last bit with one worker and with two, and the
    others to four digits.

    Args:
        plan: Dict as `search` writes it to `sweep.json`.
        directory: Folder of the sweep.
        count: Number of workers.

    Raises:
        OSError: A worker cannot write its files, or dies before its first trial.
    """
    oracle = make_oracle(plan)
    oracle._set_project_dir(str(directory.parent), directory.name)
    oracle.reload()
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    running = {}
    try:
        for number in range(count):
            name = f"worker{number}"
            running[name] = _start(name, directory, port, count)
        _attend(running, oracle, lambda name: _start(name, directory, port, count), directory)
    finally:
        for process in running.values():
            process.kill()
            process.wait()
        server.stop(None)


def _start(name, directory, port, count):
    threads = str(max(1, (os.cpu_count() or 1) // count))
    with _log(directory, name).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-c", WORK, str(directory)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                "KERASTUNER_TUNER_ID": name,
                "KERASTUNER_ORACLE_IP": "127.0.0.1",
                "KERASTUNER_ORACLE_PORT": str(port),
                "TF_NUM_INTRAOP_THREADS": threads,
                "OMP_NUM_THREADS": threads,
            },
        )


def _log(directory, name):
    return Path(directory) / f"{name}.log"


def _attend(running, oracle, start, directory):
    deaths = {}
    while running:
        time.sleep(0.1)
        for name, process in list(running.items()):
            status = process.poll()
            if status is None:
                continue
            del running[name]
            if status == 0:
                continue
            trial = oracle.ongoing_trials.get(name)
            place = (name, None) if trial is None else trial.trial_id
            deaths[place] = deaths.get(place, 0) + 1
            if status == STOPS or (trial is None and deaths[place] >= DEATHS):
                raise OSError(f"{_last_line(directory, name)} ({_log(directory, name)})")
            if deaths[place] >= DEATHS:
                _record_death(trial, Path(oracle._get_trial_dir(trial.trial_id)), status)
            running[name] = start(name)


def _record_death(trial, folder, status):
    how = f"by signal {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
    cause = f"its process died {DEATHS} times, {how}. Try fewer workers, or a smaller layout"
    nothing = dict.fromkeys(("val_mse", "spread", "test_mse", "fold_mse", "epochs", "fit_seconds"))
    values = trial.hyperparameters.values
    result = {"trial": trial.trial_id, "values": values, "status": "failed", **nothing}
    write_json(folder / RESULT, {**result, "cause": cause, "seconds": 0.0})


def _last_line(directory, name):
    lines = _log(directory, name).read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "a worker must end with status 0. Received: a death, no message"


def work(directory: str | os.PathLike[str]) -> int:
    """Trains trials of the chief until there are none; this is what a worker process runs.

    Args:
        directory: Folder of the sweep.

    Returns:
        The exit status: 2 if the sweep must stop.
    """
    threading.Thread(target=_end_with_the_chief, daemon=True).start()
    directory = Path(directory)
    try:
        Sweep(read_json(directory / PLAN), directory).search()
    except grpc.RpcError:
        return 1
    except (OSError, RuntimeError, ValueError) as error:
        print(" ".join(str(error).split()), flush=True)
        return STOPS
    return 0


def _end_with_the_chief():
    # The pipe closes when the chief ends, however it does.
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)
