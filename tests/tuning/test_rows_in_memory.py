"""Sweeps on arrays and tables, and the leaderboard as a table."""

import json

import numpy as np
import pandas as pd
import pytest

from kerasae.datasets import load, split
from kerasae.tuning import best_model, leaderboard, search
from kerasae.tuning.results import read_json
from kerasae.tuning.rows import load_rows

pytestmark = pytest.mark.tensorflow

SPACE = {"layout": ["2", "3"]}


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=(80, 6)).astype("float32")


def stored(directory):
    return load_rows(read_json(directory / "sweep.json"), directory)


@pytest.mark.slow
def test_an_array_is_swept_as_its_file_is(x, tmp_path):
    np.save(tmp_path / "x.npy", x)
    options = {"epochs": 2, "batch_size": 16}
    of_file = search(tmp_path / "x.npy", SPACE, tmp_path / "file", **options)
    of_array = search(x, SPACE, tmp_path / "array", **options)
    columns = ["layout", "val_mse", "test_mse", "epochs", "status"]
    pd.testing.assert_frame_equal(of_array[columns], of_file[columns])
    assert (of_array["status"] == "completed").all()
    assert best_model(tmp_path / "array").encode(x).shape == (80, int(of_array["layout"][0]))


def test_a_sweep_is_resumed_with_its_own_rows_alone(x, tmp_path, untrained):
    search(x, {"layout": ["2", "3", "4"]}, tmp_path / "s", max_trials=1)
    table = search(x, {"layout": ["2", "3", "4"]}, tmp_path / "s", max_trials=3, resume=True)
    assert len(table) == 3 == len(untrained)
    with pytest.raises(ValueError, match="rows was"):
        search(x + 1, {"layout": ["2", "3", "4"]}, tmp_path / "s", resume=True)
    with pytest.raises(ValueError, match="rows was"):
        search((x[:40], x[40:]), {"layout": ["2", "3", "4"]}, tmp_path / "s", resume=True)
    np.testing.assert_array_equal(stored(tmp_path / "s").x, x)


def test_a_pair_is_trained_and_measured_on(x, tmp_path, untrained):
    search((x[:50], x[50:]), SPACE, tmp_path / "s")
    rows = stored(tmp_path / "s")
    np.testing.assert_array_equal(rows.x_train, x[:50])
    np.testing.assert_array_equal(rows.x_test, x[50:])


def test_a_table_keeps_its_names_and_images_their_shape(x, tmp_path, untrained):
    table = pd.DataFrame(x, columns=list("abcdef"))
    search(table, SPACE, tmp_path / "table", load_options={"test_fraction": 0.25})
    assert stored(tmp_path / "table").columns == list("abcdef")
    assert stored(tmp_path / "table").is_test.sum() == 20
    search(load("digits").x.reshape(-1, 8, 8), SPACE, tmp_path / "images")
    assert stored(tmp_path / "images").image_shape == (8, 8)
    swapped = split(table, table[["b", "a", "c", "d", "e", "f"]])
    np.testing.assert_array_equal(swapped.x_test, x)


def test_images_in_colour_are_swept_with_convolutions(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 9, 7, 3), "uint8")
    table = search(images, {"layout": ["3-2-3"]}, tmp_path / "colour", epochs=1, batch_size=16)
    assert table["status"].tolist() == ["completed"]
    model = best_model(tmp_path / "colour")
    assert model.row_shape == (9, 7, 3)
    assert type(model.encoder.layers[0]).__name__ == "Conv2D"


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (np.ones((9, 2)), {"label": "a"}, ValueError, "label must go with a file. Received: lab"),
        (np.full((9, 2), np.nan), {}, ValueError, "x must hold finite numbers"),
        (np.ones((9, 2)), {"test_fraction": 1}, ValueError, "test_fraction must lie in"),
        ((np.ones((9, 2)), np.ones((9, 3))), {}, ValueError, "x must hold rows of shape"),
    ],
)
def test_rows_are_refused_before_a_folder_is_made(data, options, error, message, tmp_path):
    with pytest.raises(error, match=message):
        search(data, SPACE, tmp_path / "s", load_options=options)
    assert not (tmp_path / "s").exists()


def test_the_leaderboard_is_a_table_of_numbers(tmp_path):
    results = [
        {"values": {"layout": "8"}, "val_mse": 0.25, "epochs": 3, "status": "completed"},
        {"values": {"layout": "4"}, "val_mse": None, "epochs": None, "status": "failed"},
        {"values": {"layout": "9"}, "val_mse": 0.125, "epochs": 2, "status": "completed"},
    ]
    (tmp_path / "sweep.json").write_text("{}")
    assert leaderboard(tmp_path).empty
    for number, result in enumerate(results):
        name = f"{number:04d}"
        rest = {"trial": name, "spread": None, "test_mse": None, "seconds": 1.0, "cause": None}
        (tmp_path / f"trial_{name}").mkdir()
        (tmp_path / f"trial_{name}" / "result.json").write_text(json.dumps(rest | result))
    table = leaderboard(tmp_path)
    assert table["trial"].tolist() == ["0002", "0000", "0001"]
    assert table["layout"].tolist() == ["9", "8", "4"]
    assert table["val_mse"].min() == 0.125
    assert table.dtypes[["val_mse", "spread", "seconds"]].tolist() == ["float64"] * 3
    assert table["epochs"].tolist()[:2] == [2, 3]
    assert table["epochs"].isna().sum() == table["val_mse"].isna().sum() == 1
