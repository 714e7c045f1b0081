import csv
import fcntl
import json
import os
import re
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kerasae import load_model
from kerasae.datasets import load
from kerasae.tuning import best_model, report, search, sweep
from kerasae.tuning.results import read_json, trial_rows

pytestmark = pytest.mark.tensorflow

OPTIONS = {"epochs": 3, "batch_size": 128, "scaler": "pixels"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of two layouts and two learning rates, one of which diverges."""
    directory = tmp_path_factory.mktemp("sweeps") / "small"
    space = {"layout": ["4", "12"], "learning_rate": [0.01, 1e30]}
    search("digits", space, directory, **OPTIONS)
    return directory


def test_rows_come_by_their_error_and_failures_last_with_their_cause(swept):
    rows = trial_rows(swept)
    assert [row["layout"] for row in rows[:2]] == ["12", "4"]
    assert 0 < rows[0]["val_mse"] < rows[1]["val_mse"]
    assert [row["status"] for row in rows] == ["completed"] * 2 + ["failed"] * 2
    for row in rows[2:]:
        assert row["learning_rate"] == 1e30
        assert re.fullmatch(
            "loss must stay finite. Received: loss=(nan|inf) in epoch 1. Try a lower learning_rate",
            row["cause"],
        )
        assert row["val_mse"] is None


def test_the_best_model_has_the_error_of_its_row_and_encodes(swept):
    model, digits = best_model(swept), load("digits")
    error = model.reconstruction_error(digits.x_test).mean()
    assert error == pytest.approx(trial_rows(swept)[0]["val_mse"], rel=1e-5)
    assert model.encode(digits.x_test).shape == (359, 12)


def test_the_weights_are_those_of_the_best_epoch(tmp_path, monkeypatch):
    histories = []
    finite = sweep._check_finite
    monkeypatch.setattr(sweep, "_check_finite", lambda h: (histories.append(h), finite(h)))
    # A rate at which the error rises again.
    options = {**OPTIONS, "epochs": 12, "batch_size": 32}
    (row,) = search("digits", {"learning_rate": [0.1]}, tmp_path / "s", **options).to_dict(
        "records"
    )
    (history,) = histories
    assert row["val_mse"] == min(history["val_mse"]) < history["val_mse"][-1]
    assert row["epochs"] == 1 + int(np.argmin(history["val_mse"])) < 12
    error = best_model(tmp_path / "s").reconstruction_error(load("digits").x_test).mean()
    assert error == pytest.approx(row["val_mse"], rel=1e-5)
    (row,) = search(
        "digits", {"learning_rate": [0.1]}, tmp_path / "t", patience=1, **options
    ).to_dict("records")
    assert len(histories[1]["val_mse"]) < 12


def test_what_a_sweep_leaves_behind(swept):
    with (swept / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [row["trial"] for row in trial_rows(swept)]
    assert float(rows[0]["val_mse"]) == trial_rows(swept)[0]["val_mse"]
    assert (swept / "leaderboard.png").read_bytes().startswith(b"\x89PNG")
    trial = rows[0]["trial"]
    events = EventAccumulator(str(swept / "logs" / f"trial_{trial}"))
    events.Reload()
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert {"val_mse", "epoch_mse", "epoch_val_mse"} <= set(events.Tags()["tensors"])
    assert not list(swept.rglob(".*"))


def test_a_worker_that_is_faster_than_its_chief_shows_an_empty_table(tmp_path, swept):
    assert report.table(tmp_path / "none").row_count == 0
    assert report.table(swept).row_count == 4


@pytest.mark.slow
def test_folds_give_the_mean_and_the_spread_of_models_that_did_not_see_them(tmp_path):
    (row,) = search("digits", {"layout": ["6"]}, tmp_path / "s", folds=3, **OPTIONS).to_dict(
        "records"
    )
    folds = read_json(tmp_path / "s" / "trial_0000" / "result.json")["fold_mse"]
    assert len(set(folds)) == 3
    assert row["val_mse"] == pytest.approx(statistics.mean(folds))
    assert row["spread"] == pytest.approx(statistics.stdev(folds))
    error = best_model(tmp_path / "s").reconstruction_error(load("digits").x_test).mean()
    assert row["test_mse"] == pytest.approx(error, rel=1e-5)


def test_folds_part_the_training_rows_and_leave_the_test_rows_alone():
    digits = load("digits")
    folds = sweep._folds(digits, 4, seed=0)
    validated = np.concatenate([fold.x_test for fold in folds])
    order = lambda x: x[np.lexsort(x.T)]  # noqa: E731
    np.testing.assert_array_equal(order(validated), order(digits.x_train))
    for fold in folds:
        assert len(fold.x_train) + len(fold.x_test) == len(digits.x_train)
        assert abs(len(fold.x_test) - len(digits.x_train) / 4) < 1


@pytest.mark.slow
def test_a_penalty_is_no_part_of_the_objective(tmp_path):
    space = {"layout": ["8"], "beta": [0.0, 10.0]}
    rows = search("digits", space, tmp_path / "s", model="sparse", **OPTIONS).to_dict("records")
    assert [row["beta"] for row in rows] == [0.0, 10.0]
    assert rows[1]["val_mse"] < 1  # beta times KL alone is above


def test_impossible_combinations_are_recorded_and_the_others_trained(tmp_path):
    space = {"layout": ["4"], "activation": ["tanh", "relu"]}
    trained, failed = search("digits", space, tmp_path / "s", model="sparse", **OPTIONS).to_dict(
        "records"
    )
    assert trained["activation"] == "tanh"
    assert "activation must be a bounded one for KL sparsity" in failed["cause"]


@pytest.mark.parametrize(
    ("space", "options", "message"),
    [
        ({"layout": ["8"]}, {"epochs": 0}, "number of at least 1. Received: epochs=0"),
        ({"layout": ["8"]}, {"folds": 1}, "folds must be at least 2, or None. Received: folds=1"),
        ({"layout": ["8"]}, {"folds": 5000}, "the 1438 training rows. Received: folds=5000"),
        ({"layout": ["8"]}, {"tuner": "gird"}, "Received: tuner='gird'"),
        ({"layout": ["8"]}, {"scaler": "rnge"}, "Received: scaler='rnge'"),
        ({"activation": ["tahn"]}, {}, "Received: activation='tahn'"),
        ({"corruption": ["gauss:1"]}, {"model": "denoising"}, "Received: corruption='gauss:1'"),
        ({}, {}, "space must have at least one hyperparameter"),
    ],
)
def test_what_is_wrong_with_every_trial_stops_before_the_first(tmp_path, space, options, message):
    with pytest.raises(ValueError) as caught:
        search("digits", space, tmp_path / "s", **options)
    assert message in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_no_data_and_no_folder_stop_before_the_first_trial(tmp_path):
    with pytest.raises(FileNotFoundError, match="path must be a file that exists.*none.npy"):
        search(tmp_path / "none.npy", {"layout": ["8"]}, tmp_path / "s")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        search("digits", {"layout": ["8"]}, tmp_path / "file" / "s")


def test_files_that_cannot_be_written_stop_the_sweep_and_keep_what_was_finished(
    tmp_path, monkeypatch, untrained, space
):
    train, calls = sweep.Sweep._train, []

    def disk_full(self, values, folder):
        calls.append(folder)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return train(self, values, folder)

    monkeypatch.setattr(sweep.Sweep, "_train", disk_full)
    with pytest.raises(OSError, match=r"Received: .*No space left on device .*Try --resume"):
        search("digits", space, tmp_path / "s")
    assert len(trial_rows(tmp_path / "s")) == 2
    assert len(search("digits", space, tmp_path / "s", resume=True)) == 6
    assert len(calls) == 7


def test_a_sweep_that_exists_is_never_touched_by_another(tmp_path, untrained, space):
    search("digits", space, tmp_path / "s")
    before = {path: path.read_bytes() for path in (tmp_path / "s").rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match="Try --resume"):
        search("digits", space, tmp_path / "s")
    with pytest.raises(ValueError) as caught:
        search("digits", {**space, "layout": ["4", "9"]}, tmp_path / "s", epochs=7, resume=True)
    assert "epochs was 20, is now 7" in str(caught.value)
    assert "layout was ['4', '8', '6-3-6'], is now ['4', '9']" in str(caught.value)
    (tmp_path / "x.npy").write_bytes(b"")
    np.save(tmp_path / "x.npy", load("digits").x[:100])
    with pytest.raises(ValueError, match="rows was"):
        search(tmp_path / "x.npy", space, tmp_path / "s", resume=True)
    for path, content in before.items():
        assert path.read_bytes() == content


def test_a_damaged_plan_says_what_to_do(tmp_path, untrained, space):
    search("digits", space, tmp_path / "s")
    (tmp_path / "s" / "sweep.json").write_text('{"space": ')
    with pytest.raises(ValueError, match=r"damaged file .*sweep\.json.*Try deleting it"):
        search("digits", space, tmp_path / "s", resume=True)
    (tmp_path / "s" / "sweep.json").unlink()
    assert len(search("digits", space, tmp_path / "s", resume=True)) == 6
    assert len(untrained) == 6


def test_a_sweep_without_a_completed_trial_has_no_winner(tmp_path, monkeypatch, space):
    def fail(self, values, folder):
        raise ValueError("the cause")

    with pytest.raises(FileNotFoundError, match="must be the folder of a sweep"):
        best_model(tmp_path)
    monkeypatch.setattr(sweep.Sweep, "_train", fail)
    rows = search("digits", space, tmp_path / "s").to_dict("records")
    assert [row["cause"] for row in rows] == ["the cause"] * 6
    with pytest.raises(ValueError, match="must have a completed trial.*6 failed.*'the cause'"):
        best_model(tmp_path / "s")


def test_the_winner_is_exported(swept, kerasae):
    status, _, err = kerasae("export", swept, "--name", "winner")
    assert (status, err) == (0, "")
    folder = Path("saved_models/winner/1")
    metrics = json.loads((folder / "manifest.json").read_text())["metrics"]
    assert metrics["val_mse"] == trial_rows(swept)[0]["val_mse"]
    assert (folder / "saved_model.pb").is_file()
    x = load("digits").x_test
    np.testing.assert_array_equal(load_model(folder).encode(x), best_model(swept).encode(x))
    assert kerasae("export", folder / "model.keras", "--name", "winner")[0] == 0
    assert Path("saved_models/winner/2/saved_model.pb").is_file()


DAMAGES = {
    "truncated": lambda path: path.write_text(path.read_text()[:40]),
    "another form": lambda path: path.write_text("[1]"),
    "no error": lambda path: path.write_text(path.read_text().replace('"val_mse": ', '"x": ')),
    "NaN": lambda path: path.write_text(
        re.sub('"val_mse": .*', '"val_mse": NaN,', path.read_text())
    ),
    "missing": lambda path: path.unlink(),
    "folder missing": lambda path: path.parent.rename(path.parent.parent / "gone"),
}


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_runner_up_never_wins_by_damage(tmp_path, untrained, space, mistake, damage):
    """Cases 28 and 53 of faults.md."""
    directory = tmp_path / "s"
    rows = search("digits", space, directory)
    trial = rows.trial[rows.val_mse.idxmin()]
    path = directory / f"trial_{trial}" / "result.json"
    DAMAGES[damage](path)
    if damage == "folder missing" and trial == rows.trial.max():
        pytest.skip("nothing shows that there was a last trial")
    with pytest.raises(ValueError, match="result of every finished trial must be whole") as caught:
        best_model(directory)
    assert str(path) in str(caught.value)
    assert f"trial_{trial}" in mistake("export", directory)
    assert not Path("saved_models").exists()
    pd.testing.assert_frame_equal(search("digits", space, directory, resume=True), rows)


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_model_of_the_winner_is_named(tmp_path, space, mistake, damage):
    """Cases 31 and 53 of faults.md."""
    (*_, row) = search("digits", {"layout": ["4"]}, tmp_path / "s", **OPTIONS).to_dict("records")
    path = tmp_path / "s" / f"trial_{row['trial']}" / "model.keras"
    path.write_bytes(path.read_bytes()[:1000]) if damage == "truncated" else path.unlink()
    assert str(path) in mistake("export", tmp_path / "s")
    assert not Path("saved_models").exists()


@pytest.mark.fast(every=5)
@pytest.mark.parametrize("name", ["trial.json", "sweep.json", "oracle.json", "result.json"])
@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"trial": 1}', '"text"'])
def test_files_of_another_form_are_made_anew_or_named(tmp_path, untrained, space, name, content):
    """Case 28 of faults.md."""
    rows = search("digits", space, tmp_path / "s")
    place = tmp_path / "s" if name in ("sweep.json", "oracle.json") else tmp_path / "s/trial_0001"
    (place / name).write_text(content)
    (tmp_path / "s" / "trial_notes").mkdir()
    try:
        resumed = search("digits", space, tmp_path / "s", resume=True)
    except ValueError as error:
        assert name == "sweep.json"
        assert "sweep.json" in str(error)
    else:
        pd.testing.assert_frame_equal(resumed, rows)


@pytest.mark.slow
def test_trials_that_all_fail_end_the_command_with_a_line_each(kerasae):
    """Case 54 of faults.md."""
    line = "tune search --set layout=4 --set learning_rate=1e30,1e32 --epochs 1 --name s"
    status, _, err = kerasae(*line.split())
    assert status == 2
    *failed, last = (line for line in err.splitlines() if not line.startswith("warning:"))
    assert [line.split(":")[:2] for line in failed] == [
        ["failed", " trial 0000"],
        ["failed", " trial 0001"],
    ]
    assert last.startswith("error: a trial of the sweep must be completed. Received: 2 failed ones")


def test_a_trial_that_learnt_nothing_but_divergence_does_not_win(tmp_path):
    """Case 50 of faults.md, in a sweep."""
    good, bad = search(
        "digits", {"layout": ["4"], "learning_rate": [0.01, 1e4]}, tmp_path / "s", **OPTIONS
    ).to_dict("records")
    assert (good["learning_rate"], bad["status"]) == (0.01, "failed")
    assert "must end better than predicting the mean" in bad["cause"]


@pytest.mark.parametrize("resume", [True, False])
def test_a_second_command_on_one_sweep_is_refused_at_once(tmp_path, untrained, space, resume):
    """Case 46 of faults.md."""
    search("digits", space, tmp_path / "s")
    lock = os.open(tmp_path / "s", os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="must be run by one command at a time"):
            search("digits", space, tmp_path / "s", resume=resume)
    finally:
        os.close(lock)
    assert len(search("digits", space, tmp_path / "s", resume=True)) == 6


def test_tables_of_mixed_columns_are_swept(tmp_path):
    pandas = pytest.importorskip("pandas")
    x = np.random.default_rng(0).normal(size=(60, 2))
    table = pandas.DataFrame({"a": x[:, 0], "b": np.where(x[:, 1] > 0, "high", "low")})
    table.loc[3, "a"] = np.nan
    found = search(table, {"layout": ["8-1-8"]}, tmp_path / "table", epochs=40)
    assert found.status.tolist() == ["completed"], found.cause.tolist()
    assert best_model(tmp_path / "table").schema.names == ("a", "b")
    plan = read_json(tmp_path / "table" / "sweep.json")
    again = sweep.Sweep(plan, tmp_path / "table")
    assert again.whole[0].schema == best_model(tmp_path / "table").schema
