import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from kerasae import datasets, denoising_autoencoder, load_model, stacked_autoencoder
from kerasae.engines import fit_by_processes
from kerasae.engines.shared_loop import share_of


def made(build=stacked_autoencoder):
    keras.utils.set_random_seed(0)
    model = build((6,), (4, 2))
    model.compile(keras.optimizers.Adam(0.01))
    return model


def draw(n):
    return np.random.default_rng(0).normal(size=(n, 6)).astype("float32")


def test_each_process_takes_its_part_of_every_batch():
    x = np.arange(21)
    both = [share_of(x, 4, i, 2) for i in range(2)]
    assert both[0].tolist() == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17]
    assert both[1].tolist() == [4, 5, 6, 7, 12, 13, 14, 15, 18, 19]
    three = [share_of(x, 1, i, 3).tolist() for i in range(3)]
    assert three == [list(range(i, 21, 3)) for i in range(3)]
    assert [len(share_of(x[:5], 4, i, 2)) for i in range(2)] == [2, 2]


def test_what_cannot_be_is_refused():
    pytest.importorskip("jax", reason="needs JAX")
    with pytest.raises(ValueError, match="batch_size must be a multiple of processes"):
        fit_by_processes(made(), draw(9), processes=2, batch_size=3)
    with pytest.raises(ValueError, match="a row for each process"):
        fit_by_processes(made(), draw(1), processes=2)
    with pytest.raises(ValueError, match="processes must"):
        fit_by_processes(made(), draw(9), processes=0)


@pytest.mark.slow
def test_two_processes_give_the_weights_and_metrics_of_one():
    pytest.importorskip("jax", reason="needs JAX")
    # Noise is drawn for whole batches. A run of its own on JAX draws the same; TensorFlow others.
    build = denoising_autoencoder if keras.backend.backend() == "jax" else stacked_autoencoder
    x, (one, two), shown = draw(650), (made(build), made(build)), []
    options = {"epochs": 3, "batch_size": 64, "shuffle": False, "validation_data": x[:100]}
    wanted = one.fit(x, verbose=0, **options).history
    found = fit_by_processes(
        two, x, processes=2, on_epoch=lambda epoch, logs: shown.append(logs["loss"]), **options
    )
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(shown, found["loss"])
    for weight, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(other, weight, atol=1e-5)
    moments = zip(one.optimizer.variables, two.optimizer.variables, strict=True)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in moments)


@pytest.mark.slow
def test_row_groups_are_shared_by_the_processes(tmp_path):
    pytest.importorskip("jax", reason="needs JAX")
    x, path = draw(700), tmp_path / "rows.parquet"
    pq.write_table(pa.table(dict(zip("abcdef", x.T, strict=True))), path, row_group_size=160)
    # Groups 0, 2 and 4 against 1 and 3: each process takes 320 rows, 32 a step.
    first, second = np.concatenate([x[:160], x[320:480]]), np.concatenate([x[160:320], x[480:640]])
    batches = [part.reshape(10, 32, 6) for part in (first, second)]
    one, two = made(), made()
    options = {"epochs": 2, "batch_size": 64, "shuffle": False}
    one.fit(np.concatenate(batches, axis=1).reshape(-1, 6), verbose=0, **options)
    fit_by_processes(two, datasets.open(path), processes=2, **options)
    for weight, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(other, weight, atol=1e-5)


def test_sources_that_cannot_be_shared_are_refused(tmp_path):
    pytest.importorskip("jax", reason="needs JAX")
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(dict(zip("abcdef", draw(50).T, strict=True))), path)
    for source, found in (
        (datasets.open(draw(50)), "not opened from a path"),
        (datasets.open(path, predicate=[("a", ">", 0)]), "with a predicate"),
        (datasets.open(path), "1 row groups, processes=2"),
    ):
        with pytest.raises(ValueError, match=found):
            fit_by_processes(made(), source, processes=2)


@pytest.mark.slow
def test_a_process_that_dies_ends_all_and_the_next_run_goes_on(tmp_path):
    pytest.importorskip("jax", reason="needs JAX")
    x, model, seen = draw(640), made(), []

    def kill(epoch, logs):
        seen.append(epoch)
        if epoch == 3:
            os.kill(children()[-1], signal.SIGKILL)

    options = {"processes": 2, "epochs": 200, "batch_size": 64, "backup": tmp_path}
    with pytest.raises(ChildProcessError, match="ended by signal 9.*Try again"):
        fit_by_processes(model, x, backup_seconds=0, on_epoch=kill, **options)
    assert children() == []
    again = []
    options["epochs"] = max(seen) + 10
    history = fit_by_processes(model, x, on_epoch=lambda epoch, _: again.append(epoch), **options)
    assert again[0] >= 2
    assert again[-1] == options["epochs"] - 1
    assert len(history["loss"]) == options["epochs"]


def children():
    """Numbers of the processes that this one has started to train."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_text()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "kerasae.engines.process" in line and parent == os.getpid():
            found.append(int(folder.name))
    return sorted(found)


def train(folder, *arguments):
    line = [sys.executable, "-m", "kerasae", "train", *arguments, "--output", "models"]
    return subprocess.Popen(
        line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_the_command_trains_by_processes_and_goes_on(tmp_path):
    pytest.importorskip("jax", reason="needs JAX")
    names = [f"c{i}" for i in range(6)]
    table = pa.table(dict(zip(names, draw(4000).T, strict=True)))
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=500)
    options = "rows.parquet --stream --processes 2 --hidden 4-2-4 --epochs 30 --patience 0"
    killed = train(tmp_path, *options.split(), "--batch-size", "66")
    backup = None
    for _ in range(1200):
        backup = next(tmp_path.rglob("backup.npz"), None)
        if backup or killed.poll() is not None:
            break
        time.sleep(0.1)
    killed.kill()
    assert backup, killed.communicate()
    killed.communicate()
    done = train(tmp_path, *options.split(), "--batch-size", "66", "--resume")
    out, err = done.communicate(timeout=300)
    assert done.returncode == 0, err
    assert "going on" in out
    assert "all 30 epochs" in out
    assert load_model(tmp_path / "models" / "rows-stacked").anomaly.fitted
