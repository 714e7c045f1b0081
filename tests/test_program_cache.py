"""Compiled programs are kept on disk, where a second process finds them."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasae import program_cache
from kerasae.program_cache import cache_programs

FIT = """
import sys
from kerasae.program_cache import cache_programs
folder = cache_programs(sys.argv[1])
import keras, kerasae, numpy as np
keras.utils.set_random_seed(0)
model = kerasae.stacked_autoencoder((8,), (4,))
model.compile(jit_compile=True)
model.fit(np.random.default_rng(0).random((64, 8)), epochs=2, verbose=0)
print(float(sum(abs(w).sum() for w in model.get_weights())))
"""


def start(folder):
    command = [sys.executable, "-c", FIT, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out


def programs(folder):
    """The programs, by the time they were written."""
    suffixes = (".pb", "-cache")
    found = [path for path in folder.glob("*/*") if path.name.endswith(suffixes)]
    return {path.name: path.stat().st_mtime_ns for path in found}


@pytest.mark.slow
def test_processes_write_at_once_and_later_ones_read(tmp_path):
    first = [output(one) for one in [start(tmp_path), start(tmp_path)]]
    written = programs(tmp_path)
    assert written
    again = output(start(tmp_path))
    assert programs(tmp_path) == written  # nothing was compiled
    assert {*first, again} == {again}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in ("TF_XLA_FLAGS", "KERASAE_PROGRAM_CACHE"):
        monkeypatch.delenv(name, raising=False)
    names = [f"JAX_{name}" for name in ("COMPILATION_CACHE_DIR", "COMPILATION_CACHE_MAX_SIZE")]
    for name in (*names, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "TF_XLA_FLAGS"):
        monkeypatch.setenv(name, "")  # given back after the test
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    monkeypatch.delitem(sys.modules, "jax", raising=False)


def test_the_folder_is_the_users(environment, monkeypatch, tmp_path):
    folder = cache_programs()
    assert folder.parent == tmp_path / "kerasae" / "programs"
    assert folder.is_dir()
    assert str(folder) in os.environ["TF_XLA_FLAGS"]
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == str(folder)
    monkeypatch.setenv("KERASAE_PROGRAM_CACHE", str(tmp_path / "named"))
    assert cache_programs().parent == tmp_path / "named"
    assert cache_programs(tmp_path / "given").parent == tmp_path / "given"
    assert os.environ["TF_XLA_FLAGS"].count("cache_directory") == 1


def test_flags_of_the_user_stay(environment, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    cache_programs()
    assert os.environ["TF_XLA_FLAGS"].startswith("--tf_xla_clustering_debug --tf_xla_persistent")


def test_it_is_said_that_tensorflow_has_begun(environment, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", np)
    with pytest.warns(UserWarning, match="call it before"):
        cache_programs()


def test_the_oldest_programs_go_first(environment, monkeypatch, tmp_path):
    monkeypatch.setattr(program_cache, "LIMIT", 250)
    old = tmp_path / "0badcafe"
    old.mkdir()
    for age in range(4):
        path = old / f"{age}.pb"
        path.write_bytes(bytes(100))
        os.utime(path, (time.time() - age, time.time() - age))
    cache_programs(tmp_path)
    assert sorted(path.name for path in old.iterdir()) == ["0.pb", "1.pb"]
