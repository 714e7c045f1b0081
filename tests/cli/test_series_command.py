"""Series on the command line, from a table to one row a step and a picture."""

import csv
import json

import numpy as np
import pandas as pd
import pytest

import kerasae as library


def written(path, made, first=0, **columns):
    x = np.concatenate([made.x_train, made.x_test])[first:]
    table = pd.DataFrame(x, columns=["load [kW]", "speed"])
    table.insert(0, "timestamp", made.timestamps[first:])
    table.assign(**columns).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def made():
    return library.datasets.make_series(600, 200, 2, period=24, anomalies=2, kinds=["level"])


@pytest.mark.tensorflow
def test_a_series_is_trained_on_and_scored(kerasae, made, tmp_path):
    both = written(tmp_path / "load.csv", made)
    new = written(tmp_path / "new.csv", made, first=600, state="on")
    status, out, err = kerasae(
        *("train", both, "--time", "timestamp", "--window", 24, "--epochs", 2),
        *("--hidden", "8-8-4-8-8", "--model", "denoising"),
    )
    assert status == 0, err
    folder = tmp_path / "saved_models" / "load-denoising" / "1"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["series"] == {"time": "timestamp", "group": None, "stride": 1}
    assert manifest["row_shape"] == [24, 2]
    assert manifest["metrics"]["step_threshold"] > 0
    assert (folder / "plots" / "series.png").stat().st_size > 10_000
    model = library.load_model(folder)
    # Only the last fifth of the steps calibrates, of which no window was trained on.
    assert len(model.steps.normal.scores) == 160

    status, out, err = kerasae(
        *("anomalies", folder, new, "-o", "out.csv", "--max-gap", 5, "--per-feature"),
        *("--label", "state"),
    )
    assert status == 0, err
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert len(rows) == 200
    found = library.series.score(model, made.x_test)
    np.testing.assert_allclose([float(row["score"]) for row in rows], found.score, rtol=1e-4)
    expected = [float(row["expected_load [kW]"]) for row in rows]
    np.testing.assert_allclose(expected, found.expected[:, 0], rtol=1e-4)
    assert rows[0]["time"].startswith("2026-01-07 06:00:00")
    spans = library.series.find_anomalies(found, max_gap=5)
    _check_features(kerasae, folder, new, model, made)
    flagged = sum(row["is_anomaly"] == "true" for row in rows)
    assert flagged == sum(one.end - one.start for one in spans)
    assert f"{len(spans)} anomalies, {flagged} of 200 steps" in " ".join(out.split())
    assert {row["worst_channel"] for row in rows} <= {"load [kW]", "speed"}
    assert (tmp_path / "out-series.png").stat().st_size > 10_000


def _check_features(kerasae, folder, new, model, made):
    """One row a window, as in training, with its time."""
    for stride in (None, 7):
        extra = [] if stride is None else ["--stride", stride]
        status, out, err = kerasae(
            *("features", folder, new, "-o", "features.parquet", "--label", "state", *extra)
        )
        assert status == 0, err
        cut = library.series.windows(made.x_test, 24, stride or 1)
        assert f"{len(cut)} windows, 4 columns" in " ".join(out.split())
        table = pd.read_parquet("features.parquet")
        assert table["row"].tolist() == cut.starts.tolist()
        times = made.timestamps[600:]
        assert (table["time"].to_numpy() == times[cut.starts]).all()
        assert (table["end_time"].to_numpy() == times[cut.starts + 23]).all()
        codings = table[[f"codings_{i}" for i in range(1, 5)]]
        np.testing.assert_allclose(codings, model.encode(cut), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_groups_are_trained_on_and_scored_apart(kerasae, made, tmp_path):
    table = pd.DataFrame(made.x_train[:240], columns=["a", "b"])
    table["t"], table["site"] = np.arange(240) // 2, ["north", "south"] * 120
    table.to_parquet(tmp_path / "sites.parquet")
    status, _, err = kerasae(
        *("train", "sites.parquet", "--time", "t", "--group", "site", "--window", 12),
        *("--epochs", 1, "--recurrent", "gru", "--hidden", "6-3-6", "--name", "sites"),
    )
    assert status == 0, err
    model = library.load_model("saved_models/sites")
    assert model.encoder.layers[0].name == "hidden_1"
    assert type(model.encoder.layers[0]).__name__ == "GRU"
    status, _, err = kerasae("anomalies", "saved_models/sites", "sites.parquet", "-o", "o.parquet")
    assert status == 0, err
    out = pd.read_parquet("o.parquet")
    assert out["group"].tolist() == table["site"].tolist()
    for site, rows in table.groupby("site"):
        alone = library.series.score(model, rows[["a", "b"]])
        got = out.loc[rows.index, "score"]
        np.testing.assert_allclose(got, alone.score, rtol=1e-4, err_msg=site)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--time", "timestamp"], "time must go with a window"),
        (["--recurrent", "gru"], "recurrent must go with a window"),
        (["--window", "24", "--recurrent", "rnn"], "recurrent must be one of gru, lstm"),
        (["--window", "24", "--time", "stamp"], "column must be one of .*Try timestamp"),
        (["--window", "24"], "column 'timestamp' must hold real numbers"),
        (["--window", "0", "--time", "timestamp"], "--window must be a whole number"),
        (["--window", "900", "--time", "timestamp"], "must have at least 900 steps"),
    ],
)
def test_mistakes_are_one_line(mistake, made, tmp_path, arguments, words):
    import re

    data = written(tmp_path / "load.csv", made)
    assert re.search(words, mistake("train", data, *arguments))


def test_times_that_do_not_increase_are_refused(mistake, made, tmp_path):
    data = written(tmp_path / "load.csv", made)
    lines = data.read_text().splitlines()
    lines[5], lines[6] = lines[6], lines[5]
    data.write_text("\n".join(lines))
    error = mistake("train", data, "--time", "timestamp", "--window", 24)
    assert "timestamps must increase" in error
    assert "row 5" in error


@pytest.mark.slow
def test_a_report_is_of_windows_as_in_training(kerasae):
    write_sensor = {"when": np.arange(300), "flow": np.sin(np.arange(300) / 4)}
    pd.DataFrame(write_sensor).to_csv("sensor.csv", index=False)
    kerasae("train", "sensor.csv", "--time", "when", "--window", 12, "--epochs", 1, "--name", "s")
    for data in ((), ("sensor.csv",)):
        status, out, _ = kerasae("report", "saved_models/s", *data)
        assert status == 0, out
        assert "report.html" in out
