"""The command on files that are read in pieces: the same numbers as from whole files."""

import json

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from kerasae import datasets
from kerasae.cli import streamed
from kerasae.datasets.openers import size_of

ROWS = 3000


@pytest.fixture(scope="module")
def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(ROWS, 6))
    frame = pd.DataFrame(x, columns=list("abcdef")).astype("float32")
    frame.loc[7, "c"] = 50.0
    return frame.assign(id=np.arange(ROWS), label=(np.arange(ROWS) == 7).astype(int))


def manifest(folder):
    return json.loads((folder / "1" / "manifest.json").read_text())


def test_numbers_in_parquet(kerasae, numbers, tmp_path):
    numbers.to_parquet(tmp_path / "rows.parquet", row_group_size=500)
    options = ["--label", "label", "--epochs", 6, "--batch-size", 32, "--hidden", "16-2-16"]
    status, out, err = kerasae("train", "rows.parquet", *options, "--stream")
    assert status == 0, err
    assert "2,364 rows" in out.replace("\n", " ") or "rows an epoch" in out
    model = tmp_path / "saved_models" / "rows-stacked"
    found = manifest(model)
    assert found["columns"] == list("abcdef")
    assert found["metrics"]["test_mse"] < 2 * found["metrics"]["pca_test_mse"]
    for name in ("features", "anomalies"):
        tables = []
        for how in ("--stream", "--no-stream"):
            output = tmp_path / f"{name}{how}.parquet"
            label = ["--label", "label"]
            status, out, err = kerasae(name, model, "rows.parquet", "-o", output, *label, how)
            assert status == 0, err
            assert "ROC AUC 1.0000" in out or name == "features"
            tables.append(parquet.read_table(output).to_pandas())
        assert list(tables[0]) == list(tables[1])
        for column in tables[0]:
            one, other = (table[column] for table in tables)
            if one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4, err_msg=column)
            elif not column.startswith(("value", "expected", "worst")):
                assert (one == other).all(), column
    assert tables[0]["anomaly_score"].idxmax() == 7
    assert not list(tmp_path.glob(".partial*"))
    assert {one.name for one in tmp_path.glob("*.png")} >= {"anomalies--stream-errors.png"}


@pytest.mark.slow
def test_a_table_in_csv(kerasae, tmp_path):
    rng = np.random.default_rng(1)
    kind = rng.choice(["red", "blue"], 2000)
    table = pd.DataFrame(
        {
            "key": [f"k{i:05d}" for i in range(2000)],
            "size": np.where(rng.random(2000) < 0.1, np.nan, rng.normal(kind == "red")),
            "kind": kind,
            "day": pd.date_range("2024-01-01", periods=2000, freq="D"),
        }
    )
    table.to_csv(tmp_path / "t.csv", index=False)
    options = ["--epochs", 2, "--id", "key", "--stream", "--hidden", "8-2-8"]
    status, out, err = kerasae("train", "t.csv", *options)
    assert status == 0, err
    assert "category" in out
    model = tmp_path / "saved_models" / "t-denoising"
    status, out, err = kerasae("anomalies", model, "t.csv", "-o", "s.csv", "--stream")
    assert status == 0, err
    found = pd.read_csv(tmp_path / "s.csv")
    assert found["key"].tolist() == table["key"].tolist()
    assert found["row"].tolist() == [*range(2000)]


@pytest.mark.slow
def test_images_in_a_memory_map(kerasae, digits, tmp_path):
    np.save(tmp_path / "digits.npy", np.uint8(16 * digits).reshape(-1, 8, 8))
    options = ["--epochs", 1, "--images", "--hidden", "8-8-4-8-8", "--stream", "--allow-short"]
    status, _, err = kerasae("train", "digits.npy", *options)
    assert status == 0, err
    model = tmp_path / "saved_models" / "digits-stacked"
    status, _, err = kerasae("features", model, "digits.npy", "-o", "f.npy", "--stream")
    assert status == 0, err
    assert np.load(tmp_path / "f.npy").shape == (1797, 4)


def test_what_cannot_be_streamed_is_said(mistake, tmp_path):
    (tmp_path / "rows.txt").write_text("1")
    assert "stream (--stream) must go with files" in mistake("train", "rows.txt", "--stream")
    assert "must go without a window" in mistake("train", "x.csv", "--window", 5, "--stream")


def test_large_files_are_streamed_by_themselves(numbers, tmp_path, monkeypatch):
    path = tmp_path / "rows.parquet"
    numbers.to_parquet(path)
    assert size_of(path) == 8 * ROWS * 8
    assert not streamed.is_streamed(str(path), None)
    monkeypatch.setattr("kerasae.datasets.archives.free_memory", lambda: 4 * 8 * ROWS * 8)
    assert streamed.is_streamed(str(path), None)
    assert not streamed.is_streamed(str(path), False)
    assert not streamed.is_streamed("digits", None)


def test_what_is_written_is_whole_or_not_at_all(tmp_path):
    def broken():
        yield np.zeros((3, 2))
        raise RuntimeError("no more")

    for name in ("a.parquet", "a.csv", "a.npy"):
        (tmp_path / name).write_text("before")
        with pytest.raises(RuntimeError, match="no more"):
            datasets.write(tmp_path / name, broken())
        assert (tmp_path / name).read_text() == "before"
        assert datasets.write(tmp_path / name, np.split(np.arange(20.0).reshape(10, 2), 5)) == 10
    whole = np.arange(20.0).reshape(10, 2)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), whole)
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "a.csv"), whole)
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "a.parquet"), whole)
    with pytest.raises(ValueError, match="at least one row"):
        datasets.write(tmp_path / "b.csv", [])
    assert not list(tmp_path.glob(".partial*"))
    assert not (tmp_path / "b.csv").exists()


def test_a_csv_has_no_formulas(tmp_path):
    datasets.write(tmp_path / "a.csv", [{"=x": ["=1+1", "a"], "n": [1, 2]}])
    assert (tmp_path / "a.csv").read_text() == '"\'=x","n"\n"\'=1+1",1\n"a",2\n'
