"""Labels of 0 and 1 say which rows are anomalies; others say nothing."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from kerasae import datasets
from kerasae.cli.score_table import binary_labels, without_anomalies
from kerasae.tables.data import load_data, marks_anomalies
from kerasae.tables.streamed import NormalRows, normal_rows, open_data


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1, 0], True),
        ([0.0, 1.0], True),
        ([False, True], True),
        ([0, 0], False),
        ([0, 1, 2], False),
        ([-1, 1], False),
        (["0", "1"], False),
        (["no", None], False),
        ([0, None], False),
    ],
)
def test_which_labels_mark_anomalies(labels, expected, tmp_path):
    assert marks_anomalies(dict.fromkeys(labels, 1), "bad") is expected
    parquet.write_table(
        pa.table({"x": np.arange(len(labels)), "bad": labels}), tmp_path / "a.parquet"
    )
    found = normal_rows(datasets.open(tmp_path / "a.parquet"), "bad")
    assert isinstance(found, NormalRows) is expected
    if expected:
        assert found.rows == sum(label == 0 for label in labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, None], r"label must be 0 or 1 in every row. Received: 1 missing cells \(bad\)"),
        ([0.0, 1.0, np.nan], "1 missing cells"),
        ([1, 1, 1], "must leave rows to train on, with the label 0. Received: none"),
        ([[0], [1], [0]], "label must have one value a row. Received: list"),
    ],
)
def test_labels_that_leave_open_what_is_normal_are_refused(labels, message, tmp_path):
    table = pa.table({"x": np.arange(3.0), "y": np.ones(3), "bad": pa.array(labels)})
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        without_anomalies(load_data(tmp_path / "a.parquet", label="bad"), "bad")
    with pytest.raises(ValueError, match=message):
        open_data(tmp_path / "a.parquet", label="bad")


def labelled(path, bad):
    frame = pd.DataFrame({"a": np.arange(100.0), "b": np.arange(100.0) % 7, "bad": bad})
    frame.to_parquet(path, row_group_size=20)
    return path


def test_a_sample_without_anomalies_leaves_them_out_all_the_same(tmp_path, monkeypatch, capsys):
    """All labels are looked at, not those of the sample."""
    path = labelled(tmp_path / "a.parquet", np.arange(100) % 10 == 0)
    rows = open_data(path, label="bad")
    rows = rows._replace(y=np.zeros(len(rows.x), bool))  # of a sample that has none
    left = without_anomalies(rows, "bad")
    assert len(left.x) == len(rows.x)
    assert left.source.rows < 90
    assert "rows with bad = 0" in capsys.readouterr().out
    with pytest.raises(
        ValueError, match="processes .--processes. must go with rows that all train"
    ):
        without_anomalies(rows, "bad", processes=2)


def test_it_is_said_where_labels_leave_out_nothing(tmp_path, capsys):
    path = labelled(tmp_path / "a.parquet", np.arange(100) % 3)
    rows = load_data(path, label="bad")
    assert without_anomalies(rows, "bad") is rows
    assert "all rows train: the labels of bad are not 0 and 1" in capsys.readouterr().out
    assert binary_labels(rows.y) is None


def test_rows_to_test_on_are_left(tmp_path):
    rows = load_data(labelled(tmp_path / "a.parquet", 0), label="bad")
    with pytest.raises(ValueError, match="must leave rows to test on, with the label 0"):
        without_anomalies(rows._replace(y=rows.is_test.astype("int64")), "bad")
