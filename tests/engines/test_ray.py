import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from kerasae import anomaly, stacked_autoencoder
from kerasae.engines import Scorer, score_folder

NAMES = list("abcde")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(900, 5)).astype("float32"), columns=NAMES)
    model = stacked_autoencoder((5,), (4, 2), codings_activation="linear")
    model.fit(frame, epochs=2, verbose=0)
    anomaly.calibrate(model, frame[:300])
    model.save(folder / "model.keras")
    frame["order"] = rng.permutation(900)
    (folder / "rows").mkdir()
    for i in range(3):
        part = frame[i * 300 : (i + 1) * 300]
        part.to_parquet(folder / "rows" / f"{i}.parquet", row_group_size=100)
    scores = anomaly.score(model, frame[NAMES]).anomaly_score
    return folder, frame.assign(anomaly_score=scores)


def command(folder, *arguments):
    line = [sys.executable, "-m", "kerasae", *map(str, arguments)]
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_the_command_scores_a_folder_by_two_processes(folder):
    pytest.importorskip("ray", reason="needs the extra ray")
    folder, frame = folder
    ray = ("--engine", "ray", "--workers", 2, "--id", "order")
    done = command(folder, "anomalies", "model.keras", "rows", "-o", "scores", *ray)
    assert done.returncode == 0, done.stderr
    assert "900 rows: scores" in done.stdout
    found, wanted = pd.read_parquet(folder / "scores"), frame.sort_values("order")
    np.testing.assert_array_equal(found.order, wanted.order)
    np.testing.assert_allclose(found.anomaly_score, wanted.anomaly_score, rtol=1e-5)
    done = command(folder, "anomalies", "model.keras", "rows", "-o", "scores", *ray)
    assert done.returncode == 2
    assert "output must be a new folder" in done.stderr


@pytest.mark.slow
def test_an_error_of_a_worker_is_one_line_and_leaves_nothing(folder):
    pytest.importorskip("ray", reason="needs the extra ray")
    folder, frame = folder
    (folder / "wrong").mkdir()
    frame.to_parquet(folder / "wrong" / "0.parquet")
    frame.assign(c="text").to_parquet(folder / "wrong" / "1.parquet")
    options = ("--engine", "ray", "--workers", 1)
    done = command(folder, "features", "model.keras", "wrong", "-o", "codings", *options)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "must" in done.stderr
    assert not (folder / "codings").exists()
    assert not list(folder.glob(".partial*"))


def test_what_cannot_be_is_said_before_ray_starts(folder, tmp_path):
    pytest.importorskip("ray", reason="needs the extra ray")
    folder, frame = folder
    model = stacked_autoencoder((5,), (2,))
    with pytest.raises(ValueError, match="must be calibrated"):
        score_folder(Scorer(model, ids=["order"]), folder / "rows", tmp_path / "scores")
    with pytest.raises(ValueError, match="folder must hold .parquet files.* neither"):
        score_folder(Scorer(model, "features"), tmp_path, tmp_path / "scores")
    frame[:0].to_parquet(tmp_path / "0.parquet")
    with pytest.raises(ValueError, match="folder must hold rows"):
        score_folder(Scorer(model, "features"), tmp_path, tmp_path / "scores")


def test_options_of_engines_go_with_an_engine(folder):
    folder, _ = folder
    done = command(folder, "features", "model.keras", "rows", "-o", "x", "--workers", 2)
    assert done.returncode == 2
    assert "workers must go with an engine" in done.stderr
