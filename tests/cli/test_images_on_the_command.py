"""Folders of images and colour in the command."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kerasae import load_model
from kerasae.cli import scored_files, train

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def photos(tmp_path):
    """Forty smooth images of 20x26, of which `odd` has one with a spot."""
    slopes = np.random.default_rng(0).random((40, 2, 3))
    down, across = np.mgrid[:26, :20] / 26
    for i, (a, b) in enumerate(slopes):
        image = 255 * (a * down[..., None] + b * across[..., None]) / 2
        for name in ("photos", "odd")[: 1 + (i < 6)]:
            (tmp_path / name).mkdir(exist_ok=True)
            if name == "odd" and i == 3:
                image[10:14, 4:8] = 255
            Image.fromarray(image.astype("uint8")).save(tmp_path / name / f"{i:02}.png")
    return tmp_path


def test_a_folder_is_trained_on_and_scored_by_name_and_region(kerasae, photos, monkeypatch):
    learning = ("--epochs", 60, "--learning-rate", 0.005)
    options = ("--size", "13x17", *learning, "--hidden", "8-8-16-8-8", "--name", "p")
    status, _, err = kerasae("train", "photos/", *options)
    assert (status, err) == (0, "")
    model = load_model("saved_models/p")
    assert model.row_shape == (17, 13, 3)
    manifest = json.loads(Path("saved_models/p/1/manifest.json").read_text())
    assert "anomaly_map" in manifest["signatures"]
    status, out, err = kerasae("anomalies", "saved_models/p", "odd", "-o", "scores.csv")
    assert (status, err) == (0, "")
    scores = pd.read_csv("scores.csv")
    assert scores.file.tolist() == [f"{i:02}.png" for i in range(6)]
    assert scores.anomaly_score.argmax() == 3
    assert scores.is_anomaly[3]
    assert scores.worst_region[3].startswith("rows ")
    assert "03.png" in out
    for name in ("maps", "worst", "errors"):
        assert Path(f"scores-{name}.png").read_bytes().startswith(b"\x89PNG")
    # What memory does not hold is decoded piece by piece, to the same.
    monkeypatch.setattr(scored_files, "IMAGE_BYTES", 2 * 17 * 13 * 3)
    for command, name in (("anomalies", "scores"), ("features", "features")):
        tables = []
        for way in ("--stream", "--no-stream"):
            output = f"{name}{way}.csv"
            status, _, err = kerasae(command, "saved_models/p", "odd", "-o", output, way)
            assert (status, err) == (0, "")
            tables.append(pd.read_csv(output))
        assert tables[0].file.tolist() == scores.file.tolist()
        pd.testing.assert_frame_equal(*tables, rtol=1e-4, atol=1e-5)


def test_a_denoising_model_shows_what_it_gains(kerasae, photos):
    options = ("--model", "denoising", "--hidden", "4-4-4", "--epochs", 2, "--name", "d")
    status, out, err = kerasae("train", "photos", *options)
    assert (status, err) == (0, "")
    assert "PCA" not in out  # with more codings than columns it is the identity
    assert Path("saved_models/d/1/plots/denoised.svg").exists()
    assert load_model("saved_models/d").encoder.output_shape[1:] == (26, 20, 7)


def test_what_memory_does_not_hold_is_streamed(kerasae, photos, monkeypatch):
    from kerasae.datasets import archives

    monkeypatch.setattr(archives, "memory", lambda: train.HELD * 15 * 20 * 26 * 3)
    learning = ("--epochs", 40, "--learning-rate", 0.01)
    options = (*learning, "--hidden", "4-8-4", "--name", "s")
    status, out, err = kerasae("train", "photos", *options)
    assert (status, err) == (0, "")
    assert "streaming 37 images; scaler and plots see 15 of them" in out
    assert load_model("saved_models/s").row_shape == (26, 20, 3)


@pytest.mark.slow
def test_colour_arrays_are_convolved_unless_refused(kerasae):
    slopes = np.random.default_rng(0).random((40, 1, 1, 3)) * np.linspace(0, 255, 7)[:, None]
    np.save("x.npy", np.broadcast_to(slopes, (40, 9, 7, 3)).astype("uint8"))
    learning = ("--epochs", 40, "--learning-rate", 0.01)
    common = ("train", "x.npy", *learning, "--hidden", "4-3-4")
    for options, shape in (((), (9, 7, 3)), (("--no-images",), (189,))):
        status, _, err = kerasae(*common, *options, "--name", "m")
        assert (status, err) == (0, "")
        assert load_model("saved_models/m").row_shape == shape


def test_mistakes_are_one_line(mistake, photos):
    Path("photos/07.png").write_bytes(b"not an image")
    assert "a damaged 07.png" in mistake("train", "photos")
    assert "size must be WIDTHxHEIGHT" in mistake("train", "photos", "--size", "12y7")
    Path("photos/07.png").unlink()
    Image.new("RGB", (5, 5)).save("photos/07.png")
    assert "one size. Received: 20x26 in 00.png, 5x5 in 07.png" in mistake("train", "photos")
    Path("empty").mkdir()
    assert "a folder with .png" in mistake("train", "empty/")
