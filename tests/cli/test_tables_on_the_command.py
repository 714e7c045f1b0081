"""Raw tables on the command line: the schema, early stopping, scores with ids and reasons."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae import load_model

pytestmark = pytest.mark.tensorflow
FORMATS = {
    "t.csv": lambda frame, path: frame.to_csv(path, index=False),
    "t.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "t.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "german.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";", decimal=","),
    "t.parquet": lambda frame, path: frame.to_parquet(path),
    "t.feather": lambda frame, path: frame.to_feather(path),
    "t.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


def people(rows=120):
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 2, rows)
    frame = pd.DataFrame(
        {
            "person_id": np.arange(rows) * 3 + 17,
            "age": (30 + 20 * kind + rng.normal(0, 2, rows)).round(1),
            "job": np.where(kind, "clerk", "nurse"),
            "children": rng.integers(0, 3, rows),
        }
    )
    frame.loc[3, "age"] = np.nan
    frame.loc[4, "job"] = None
    return frame


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_codes(name, tmp_path):
    from kerasae.tables.data import load_data

    frame = people()
    FORMATS[name](frame, tmp_path / name)
    with pytest.warns(UserWarning, match="person_id"):
        rows = load_data(tmp_path / name)
    assert rows.schema.names == ("age", "job", "children")
    assert rows.schema["job"].levels == ("clerk", "nurse")
    np.testing.assert_array_equal(rows.x, rows.schema.codes(frame.drop(columns="person_id")))
    assert rows.ids["person_id"].to_pylist() == frame.person_id.tolist()


def test_train_score_and_features_of_a_raw_table(kerasae):
    frame = people()
    frame.to_csv("people.csv", index=False)
    status, out, err = kerasae(
        *("train", "people.csv", "--epochs", 30, "--hidden", "16-2-16", "--categorical", "children")
    )
    assert status == 0
    assert "person_id" in err
    for text in ("clerk, nurse", "category", "left out", "val_table_error", "numbers: R2", "PCA"):
        assert text in out, text
    folder = Path("saved_models/people-denoising/1")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert 0 < manifest["metrics"]["test_table_error"] < 1.5
    assert "expected" in (folder / "report.html").read_text()
    model = load_model(folder)
    assert model.schema["children"].levels == (0, 1, 2)

    odd = frame[frame.columns[::-1]].copy()
    odd.loc[7, "age"] = 300
    odd.assign(bad=(odd.index == 7).astype(int)).to_csv("odd.csv", index=False)
    status, out, err = kerasae(
        *("anomalies", "saved_models/people-denoising", "odd.csv", "-o", "scores.csv"),
        *("--label", "bad", "--threshold", "f1"),
    )
    assert status == 0, err
    assert "ROC AUC 1.0000" in out
    got = pd.read_csv("scores.csv")
    assert got.person_id.tolist() == frame.person_id.tolist()
    assert got.is_anomaly.tolist() == (odd.index == 7).tolist()
    row = got.iloc[7]
    assert (row.worst_1, float(row.value_1)) == ("age", 300)
    assert 20 < float(row.expected_1) < 60
    assert row.error_1 > 3
    assert Path("scores-worst.png").is_file()

    assert kerasae("features", "saved_models/people-denoising", "odd.csv", "-o", "c.csv")[0] == 0
    assert list(pd.read_csv("c.csv")) == ["person_id", "codings_1", "codings_2"]


def test_columns_are_chosen_by_options(kerasae, mistake):
    people().to_csv("people.csv", index=False)
    few = ("train", "people.csv", "--epochs", 1, "--hidden", "4-1-4")
    status, _, _ = kerasae(*few, "--columns", "age,job", "--id", "person_id", "--name", "a")
    assert status == 0
    assert load_model("saved_models/a").schema.names == ("age", "job")
    assert load_model("saved_models/a").schema.ids == ("person_id",)
    assert "Try job" in mistake(*few, "--drop", "jbo")
    assert "must go with a table" in mistake("train", "digits", "--drop", "age")


@pytest.mark.slow
def test_it_says_when_and_why_it_stopped(kerasae):
    people().to_csv("people.csv", index=False)
    few = ("train", "people.csv", "--hidden", "8-2-8", "--id", "person_id", "--name", "a")
    _, out, _ = kerasae(*few, "--epochs", 2, "--patience", 0)
    assert "all 2 epochs" in out
    _, out, _ = kerasae(*few, "--epochs", 60, "--patience", 1, "--learning-rate", 0.05)
    assert "stopped after epoch" in out
    assert "whose weights are kept" in out


@pytest.mark.slow
def test_as_many_codings_as_encoded_columns_are_warned_of(kerasae):
    people().to_csv("people.csv", index=False)
    _, _, err = kerasae(
        *("train", "people.csv", "--hidden", "20", "--epochs", 1, "--id", "person_id"),
        *("--model", "stacked"),
    )
    assert "nothing keeps the model from learning the identity" in err


def test_training_with_labels_ranks_the_test_rows(kerasae, mistake):
    frame = people()
    frame.assign(bad=(frame.index % 9 == 0).astype(int)).to_csv("people.csv", index=False)
    few = ("train", "people.csv", "--epochs", 1, "--hidden", "4-1-4", "--allow-short")
    few += ("--id", "person_id", "--name", "a", "--threshold")
    status, out, err = kerasae(*few, "fpr:0.1", "--label", "bad")
    assert status == 0, err
    assert "ROC AUC" in out
    metrics = json.loads(Path("saved_models/a/1/manifest.json").read_text())["metrics"]
    assert 0 <= metrics["roc_auc"] <= 1
    assert "rows with bad = 0; the threshold and its measures see all test rows" in out
    assert "labels of 0 and 1" in mistake(*few, "f1")
    assert "Try fpr:0.01" in mistake(*few, "fpr:x", "--label", "bad")


def test_rows_labelled_1_do_not_train(kerasae, mistake):
    """Scaler and errors follow from the rows labelled 0; labels that are missing are refused."""
    frame = people().assign(bad=lambda all_rows: (all_rows.index % 9 == 0).astype(int))
    frame.loc[frame.bad == 1, "age"] += 1000
    frame.to_csv("people.csv", index=False)
    frame.to_parquet("people.parquet")
    few = ("--epochs", 1, "--hidden", "4-1-4", "--allow-short", "--id", "person_id")
    few += ("--label", "bad", "--name")
    for name, file in {"whole": "people.csv", "streamed": "people.parquet"}.items():
        stream = ("--stream",) if name == "streamed" else ()
        status, out, err = kerasae("train", file, *few, name, *stream)
        assert status == 0, err
        normal = sum(frame.bad == 0)
        count = int(out.split("training on the ")[1].split()[0])
        assert 0.7 * normal < count < 0.9 * normal
        model = load_model(f"saved_models/{name}")
        codes = model.schema.codes(frame.drop(columns="bad"))
        scaled, bad = np.asarray(model.scaler(codes))[:, 0], frame.bad.to_numpy() == 1
        assert abs(np.median(scaled[~bad])) < 1
        assert scaled[bad].min() > 10  # else their own mean were in the scale
    frame.assign(bad=frame.bad.where(frame.index > 5)).to_csv("gaps.csv", index=False)
    assert "missing cells" in mistake("train", "gaps.csv", *few, "gaps")
