"""`kerasae train --resume`, runs that overlap, and the names that outputs get by default."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerasae import load_model
from kerasae.cli.backups import backup_folder
from kerasae.cli.terminal import data_name, model_name

# A run that dies as by kill -9 at one place.
KILLED = """
import os, signal, sys
from kerasae.cli import backups, comparison, main
from kerasae.callbacks import AtomicBackup
import kerasae.export

def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

place, sys.argv = sys.argv[1], ["kerasae", *sys.argv[2:]]
if place.startswith("epoch"):
    begin = AtomicBackup.on_epoch_end
    def on_epoch_end(self, epoch, logs=None):
        if epoch == int(place[5:]):
            kill()
        begin(self, epoch, logs)
    AtomicBackup.on_epoch_end = on_epoch_end
elif place == "comparing":
    comparison.compare_with_pca = kill
elif place == "publishing":
    kerasae.export.publish_model = kill
main()
"""
TRAIN = ("train", "digits", "--hidden", "6", "--epochs", "4", "--corruption", "gaussian:0.2")


def killed(folder, place, *arguments):
    command = [sys.executable, "-c", KILLED, place, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]


@pytest.mark.tensorflow
def test_a_killed_training_goes_on_to_the_same_weights(kerasae, tmp_path):
    """Cases 26, 47 and 60 of faults.md."""
    line = (*TRAIN, "--model", "denoising", "--name", "m")
    for place in ("epoch2", "comparing", "publishing"):
        killed(tmp_path, place, *line, *(() if place == "epoch2" else ("--resume",)))
        assert (tmp_path / "saved_models/.m.backup/backup.npz").exists()
    status, out, err = kerasae(*line, "--resume")
    assert (status, err) == (0, "")
    assert "going on from saved_models/.m.backup/backup.npz" in out
    assert not list(tmp_path.rglob(".*"))
    assert kerasae(*line[:-1], "whole")[0] == 0
    one, other = (load_model(f"saved_models/{name}/1") for name in ("m", "whole"))
    for weight, wanted in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, wanted)
    read = (Path(f"saved_models/{name}/1/manifest.json").read_text() for name in ("m", "whole"))
    metrics = [json.loads(text)["metrics"] for text in read]
    assert metrics[0] == pytest.approx(metrics[1])


def test_runs_that_overlap_have_backups_of_their_own(tmp_path):
    """Cases 46 and 47 of faults.md."""
    output, options = tmp_path / "sm" / "m", {"seed": 0}
    with backup_folder(output, options, resume=False) as first:
        (first / "backup.npz").touch()
        with pytest.raises(ValueError, match="must have been stopped. Received: one that is still"):
            backup_folder(output, options, resume=True).__enter__()
        with backup_folder(output, options, resume=False) as second:
            assert [first.name, second.name] == [".m.backup", ".m.backup-2"]
        assert first.exists()
        assert not second.exists()
    assert not first.exists()
    with pytest.raises(KeyboardInterrupt), backup_folder(output, options, resume=False) as folder:
        (folder / "backup.npz").touch()
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="seed was 0, is now 1 .*m.backup.*. Try these options"):
        backup_folder(output, {"seed": 1}, resume=True).__enter__()
    with backup_folder(output, options, resume=True) as folder:
        assert (folder / "backup.npz").exists()
    with backup_folder(output, options, resume=True) as folder:  # nothing to go on from
        assert not (folder / "backup.npz").exists()
    assert not list(output.parent.iterdir())


def test_a_backup_is_kept_for_what_a_second_try_may_not_meet(tmp_path):
    """Cases 25 and 61 of faults.md."""
    for error, kept in ((OSError("disk full"), True), (ValueError("diverged"), False)):
        with pytest.raises(type(error)), backup_folder(tmp_path / "m", {}, resume=False) as folder:
            (folder / "backup.npz").touch()
            raise error
        assert folder.exists() is kept


@pytest.mark.tensorflow
def test_a_diverged_training_is_not_published(mistake, tmp_path):
    """Case 50 of faults.md."""
    for rate in ("5", "10", "1e2", "1e4", "1e10"):
        err = mistake("train", "--hidden", 4, "--epochs", 2, "--learning-rate", rate)
        assert "Try a learning rate of" in err
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("digits", "digits"),
        ("sales.2024.01.05.csv", "sales.2024.01.05"),
        ("sales.2024.01.06.csv.gz", "sales.2024.01.06"),
        ("folder.v2/rows.npy", "rows"),
        ("ROWS.NPZ", "ROWS"),
        ("train-images-idx3-ubyte.gz", "train-images-idx3-ubyte"),
        ("parts.v1/", "parts.v1"),
        (".csv", ".csv"),
    ],
)
def test_data_is_named_by_its_whole_file_name(data, name):
    assert data_name(data) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("saved_models/m", "m"),
        ("saved_models/m.v2", "m.v2"),
        ("saved_models/m/1", "m"),
        ("saved_models/m/12/model.keras", "m"),
        ("sweeps/s.2024", "s.2024"),
        ("sweeps/s/trial_0003/model.keras", "s-trial_0003"),
        ("runs/best.model.keras", "best.model"),
        ("runs/x/model.keras", "x"),
        ("saved_models/m/2/../1", "m"),
    ],
)
def test_models_are_named_by_what_sets_them_apart(path, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert model_name(Path(path)) == name


def test_the_folder_that_one_is_in_has_a_name(tmp_path, monkeypatch):
    folder = tmp_path / "saved_models" / "m" / "1"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert os.fspath(Path()) == "."
    assert model_name(Path()) == "m"
    assert data_name(".") == "1"
