"""Parquet as pandas, Spark and databases write it."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from kerasae.datasets import load

V = pa.array([1.0, 2.0])


@pytest.fixture
def save(tmp_path):
    def save(name="rows.parquet", **columns):
        parquet.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return save


@pytest.mark.parametrize(
    "values",
    [
        pa.array([decimal.Decimal("1.50"), decimal.Decimal("2.25")]),
        pa.array([1.5, 2.25], pa.float16()),
        pa.array([1.5, 2.25], pa.float32()),
        pa.array([1.5, 2.25]).dictionary_encode(),
    ],
    ids=["decimal", "float16", "float32", "dictionary"],
)
def test_numbers_of_every_type_are_numbers(save, values):
    """Case 7."""
    assert load(save(v=V, p=values), test_fraction=0).x.tolist() == [[1, 1.5], [2, 2.25]]


@pytest.mark.parametrize("kind", ["decimal", "bool", "null", "int"])
def test_gaps_are_counted(save, kind):
    """Case 1."""
    first = {"decimal": decimal.Decimal("1.50"), "bool": True, "null": None, "int": 1}[kind]
    gaps = 2 if kind == "null" else 1
    with pytest.raises(ValueError, match=f"Received: {gaps} NaN .*column 1 'p'") as raised:
        load(save(v=V, p=pa.array([None, first])))
    assert "None" not in str(raised.value)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["x" * 5000] * 2),
        pa.array([None, "x" * 5000]),
        pa.array([[1.0] * 5000] * 2),
        pa.array([b"\xff" * 5000] * 2),
        pa.array([{"a": "x" * 5000}] * 2),
        pa.array(["x" * 5000] * 2).dictionary_encode(),
        pa.array(pd.date_range("2026", periods=2)),
        pa.array(["1", "2"]),
    ],
    ids=["text", "gap", "list", "bytes", "struct", "dictionary", "date", "digits"],
)
def test_cells_that_are_not_numbers_are_shown_and_cut(save, values):
    """Case 8."""
    path = save(v=V, t=values)
    with pytest.raises(
        TypeError, match="column 't' must hold real numbers. Received: '?"
    ) as raised:
        load(path)
    assert len(str(raised.value).replace(str(path), "")) < 200
    assert "None" not in str(raised.value)


def test_a_folder_of_spark_is_read(save, tmp_path):
    """Case 11."""
    folder = tmp_path / "spark.parquet"
    folder.mkdir()
    (folder / "_SUCCESS").touch()
    for part in range(2):
        save(f"spark.parquet/part-{part}.parquet", v=pa.array([part, part + 10.0]))
    assert load(folder, test_fraction=0).x[:, 0].tolist() == [0, 10, 1, 11]
    (folder / "part-1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"damaged one.*part-1\.parquet"):
        load(folder)


def test_the_index_of_pandas_is_left_out_with_a_warning(tmp_path):
    """Case 40."""
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [4.0, 5, 6, 7]})
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    assert load(path).columns == ["a", "b"]
    for filtered, name in ((frame[frame.b != 6], "__index_level_0__"), (frame.set_index("b"), "b")):
        filtered.to_parquet(path)
        with pytest.warns(UserWarning, match=f"left out .*: '{name}', a row index. Try keep="):
            data = load(path, test_fraction=0)
        assert data.columns == list(filtered.columns)
        np.testing.assert_array_equal(data.x, filtered)


def test_columns_that_are_not_wanted_are_not_read(save):
    """Case 15."""
    path = save(v=V, t=pa.array(["x", None]), w=V)
    with pytest.warns(UserWarning, match="1 column .*: t"):
        assert load(path, columns=["w", "v"]).columns == ["w", "v"]


def test_rows_beyond_the_memory_are_refused_before_they_are_read(save, monkeypatch):
    """Case 52: a run of equal values takes a few bytes in the file."""
    path = save(v=pa.array(np.zeros(1_000_000)))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("kerasae.datasets.archives.memory", lambda: 1_000_000)
    monkeypatch.setattr(parquet, "read_table", None)
    with pytest.raises(ValueError, match=r"fit in memory, 1,000,000 bytes. Received: 8,000,000"):
        load(path)
