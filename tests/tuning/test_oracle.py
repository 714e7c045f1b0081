import itertools
import json
from pathlib import Path

import keras_tuner
import pytest

from kerasae.tuning import oracle, results, search, sweep
from kerasae.tuning.results import trial_rows


class Killed(BaseException):
    """Acts as SIGKILL: nothing catches it, and only the files are left."""


def table(directory):
    return {
        row["trial"]: tuple(v for k, v in row.items() if k not in ("seconds", "trial"))
        for row in trial_rows(directory)
    }


@pytest.mark.slow
@pytest.mark.parametrize("tuner", ["grid", "random", "bayesian", "hyperband"])
def test_killed_at_any_write_nothing_is_lost(untrained, space, tmp_path, monkeypatch, tuner):
    options = {"tuner": tuner, "epochs": 3, "max_trials": None if tuner == "hyperband" else 6}
    search("digits", space, tmp_path / "whole", **options)
    whole = table(tmp_path / "whole")
    if tuner != "hyperband":
        assert len(whole) == 6
        assert len({row[:2] for row in whole.values()}) == 6
    step = 1 if tuner == "grid" else 7
    for stop in itertools.count(2, step):  # the first write is the plan's
        directory, writes = tmp_path / f"killed-{stop}", itertools.count(1)
        replace = Path.replace

        def counted(self, target, writes=writes, stop=stop, replace=replace):
            number = next(writes)
            if number == stop and stop % 2:
                raise Killed
            replace(self, target)
            if number == stop:
                raise Killed

        untrained.clear()
        monkeypatch.setattr(Path, "replace", counted)
        try:
            search("digits", space, directory, **options)
        except Killed:
            killed = True
        else:
            killed = False
        monkeypatch.setattr(Path, "replace", replace)
        if not killed:
            break
        search("digits", space, directory, resume=True, **options)
        assert table(directory) == whole
        assert len(whole) <= len(untrained) <= len(whole) + 1
    assert stop > 30


def test_keras_tuners_own_grid_search_would_lose_trials(tmp_path):
    """The fault that `Resumable` works around; once it is fixed upstream, the class can go."""

    def start():
        hp = keras_tuner.HyperParameters()
        hp.Choice("a", [1, 2, 3, 4])
        stock = keras_tuner.oracles.GridSearchOracle(
            keras_tuner.Objective("val_mse", "min"), hyperparameters=hp
        )
        stock._set_project_dir(str(tmp_path), "stock")
        return stock

    first = start()
    trial = first.create_trial("tuner0")
    first.update_trial(trial.trial_id, {"val_mse": 1.0})
    trial.status = "COMPLETED"
    first.end_trial(trial)
    first.create_trial("tuner0")
    again = start()
    again.reload()
    with pytest.raises(KeyError):
        for _ in range(4):
            trial = again.create_trial("tuner0")
            again.update_trial(trial.trial_id, {"val_mse": 1.0})
            trial.status = "COMPLETED"
            again.end_trial(trial)


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("tuner", ["grid", "random"])
@pytest.mark.parametrize("damage", ["", '{"trial_id": "0'])
@pytest.mark.parametrize(
    "files", [["trial.json"], ["result.json"], ["trial.json", "result.json"], ["oracle.json"]]
)
def test_damaged_files_are_recovered(untrained, space, tmp_path, *, tuner, damage, files):
    options = {"tuner": tuner, "max_trials": 6}
    search("digits", space, tmp_path, **options)
    before = table(tmp_path)
    untrained.clear()
    for file in files:
        folder = tmp_path if file == "oracle.json" else tmp_path / "trial_0002"
        (folder / file).write_text(damage)
    search("digits", space, tmp_path, resume=True, **options)
    assert table(tmp_path) == before
    assert untrained == (["trial_0002"] if "result.json" in files else [])
    assert json.loads((tmp_path / "oracle.json").read_text())["start_order"] == sorted(before)


def test_a_trial_whose_folder_is_gone_is_run_again(untrained, space, tmp_path):
    search("digits", space, tmp_path)
    before = table(tmp_path)
    for file in (tmp_path / "trial_0001").iterdir():
        file.unlink()
    (tmp_path / "trial_0001").rmdir()
    search("digits", space, tmp_path, resume=True)
    assert table(tmp_path) == before


def test_a_damaged_hyperband_is_an_error(untrained, space, tmp_path):
    search("digits", space, tmp_path, tuner="hyperband", epochs=3)
    (tmp_path / "oracle.json").write_text('{"brackets": [')
    with pytest.raises(ValueError, match=r"brackets of Hyperband must be.*oracle\.json\)\. Try"):
        search("digits", space, tmp_path, tuner="hyperband", epochs=3, resume=True)


def test_more_trials_than_before_go_on(untrained, space, tmp_path):
    search("digits", space, tmp_path, max_trials=2)
    assert len(table(tmp_path)) == 2
    search("digits", space, tmp_path, max_trials=4, resume=True)
    search("digits", space, tmp_path, resume=True)
    assert untrained == [f"trial_000{number}" for number in range(6)]
    search("digits", space, tmp_path, resume=True)
    assert len(untrained) == 6


def test_an_exhausted_space_is_searched_whole_by_every_tuner(untrained, space, tmp_path):
    for tuner in ("random", "bayesian"):
        rows = search("digits", space, tmp_path / tuner, tuner=tuner, max_trials=50).to_dict(
            "records"
        )
        assert len({(row["layout"], row["learning_rate"]) for row in rows}) == 6


def test_hyperband_gives_the_best_more_epochs(untrained, tmp_path):
    search("digits", {"rate": {"low": 0.01, "high": 0.5}}, tmp_path, tuner="hyperband", epochs=9)
    folders = results.trial_folders(tmp_path).values()
    epochs = [results.read_json(f / "result.json")["values"]["tuner/epochs"] for f in folders]
    assert set(epochs) == {1, 3, 9}
    assert epochs.count(1) > epochs.count(3) >= 3


def test_the_oracles_take_what_the_command_names():
    assert set(oracle.ORACLES) == {"grid", "random", "bayesian", "hyperband"}
    plan = {"tuner": "grid", "max_trials": None, "seed": 0, "space": {"beta": [0.1]}, "epochs": 1}
    assert sweep.make_oracle(plan).seed == 1
