import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae import load_model
from kerasae.datasets import load

HELP = """
import sys
sys.argv = ["kerasae", *sys.argv[1:]]
from kerasae.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(sorted({"keras", "tensorflow", "numpy", "matplotlib", "sklearn"} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["train", "--help"], ["tune", "--help"], ["serve", "--help"]]
)
def test_help_imports_nothing_heavy(run_python, arguments):
    assert run_python(HELP, *arguments) == "[]"


@pytest.mark.tensorflow
def test_train_features_and_info(kerasae, tmp_path):
    status, out, err = kerasae("train", "--epochs", 2, "--hidden", "20-8-20", "--name", "small")
    assert (status, err) == (0, "")
    folder = Path("saved_models/small/1")
    for written in ("saved_model.pb", "manifest.json", "model.keras"):
        assert (folder / written).is_file()
    for picture in ("loss.png", "reconstructions.png"):
        assert (folder / "plots" / picture).read_bytes().startswith(b"\x89PNG")
    assert "PCA, 8 components" in out
    assert str(folder) in out

    model, digits = load_model("saved_models/small"), load("digits")
    metrics = json.loads((folder / "manifest.json").read_text())["metrics"]
    error = model.reconstruction_error(digits.x_test).mean()
    assert metrics["test_mse"] == pytest.approx(error, rel=1e-5)
    assert f"{error:.5f}" in out

    codings = model.encode(digits.x)
    for name, read in {
        "codings.npy": np.load,
        "codings.csv": pd.read_csv,
        "deep/codings.parquet": pd.read_parquet,
    }.items():
        status, out, err = kerasae("features", "saved_models/small", "digits", "-o", name)
        assert (status, err) == (0, "")
        got = read(name)
        np.testing.assert_allclose(np.asarray(got), codings, rtol=1e-5, atol=1e-6)
    assert list(got.columns) == [f"codings_{i}" for i in range(1, 9)]
    assert not list(tmp_path.rglob(".*"))

    for path in ("saved_models/small", folder / "model.keras"):
        status, out, err = kerasae("info", path)
        assert (status, err) == (0, "")
        assert "20-8-20" in out

    assert kerasae("train", "--epochs", 1, "--hidden", "8", "--name", "small")[0] == 0
    assert Path("saved_models/small/2/saved_model.pb").is_file()


@pytest.mark.tensorflow
def test_a_table_is_matched_by_the_names_of_its_columns(kerasae):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 6)), columns=[*"abcdef"])
    frame.assign(kind="red").to_csv("train.csv", index=False)
    frame[[*"fedcba"]].assign(extra=1).to_parquet("score.parquet")
    frame.drop(columns="c").to_csv("short.csv", index=False)
    status, _, err = kerasae(
        *("train", "train.csv", "--label", "kind", "--hidden", 3, "--epochs", 1, "--name", "t")
    )
    assert (status, err) == (0, "")
    for data, extra in (("train.csv", ["--label", "kind"]), ("score.parquet", [])):
        status, _, err = kerasae("features", "saved_models/t", data, *extra, "-o", data + ".npy")
        assert status == 0
    assert "warning: 1 columns that the model does not know" in err
    np.testing.assert_array_equal(np.load("train.csv.npy"), np.load("score.parquet.npy"))
    status, _, err = kerasae("features", "saved_models/t", "short.csv", "-o", "x.npy")
    assert status == 2
    assert err == (
        "error: column 'c' is missing, 1 in all (short.csv); expected the columns a, b, c, d, e, "
        "...\n"
    )


@pytest.mark.tensorflow
def test_anomalies_are_flagged_and_drawn(kerasae, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 6)), columns=[*"abcdef"])
    frame.to_csv("normal.csv", index=False)
    odd = frame[[*"fedcba"]].copy()
    odd.loc[[7, 30], "c"] = 40.0
    odd.to_parquet("odd.parquet")
    train = ("train", "normal.csv", "--hidden", 3, "--epochs", 3, "--threshold", "3sd")
    assert kerasae(*train, "--name", "t")[0] == 0
    status, out, err = kerasae("anomalies", "saved_models/t", "odd.parquet", "-o", "own/scores.csv")
    assert (status, err) == (0, "")
    got = pd.read_csv("own/scores.csv")
    assert got.row.tolist() == list(range(200))
    assert got.is_anomaly[[7, 30]].all()
    assert (got.worst_column[[7, 30]] == "c").all()
    model = load_model("saved_models/t")
    np.testing.assert_allclose(got.reconstruction_error, model.reconstruction_error(odd), rtol=1e-4)
    assert model.anomaly.fitted
    assert f"{got.is_anomaly.sum()} of 200 rows are anomalies" in out
    for picture in ("scores-errors.png", "scores-worst.png"):
        assert Path("own", picture).read_bytes().startswith(b"\x89PNG")

    options = ("--threshold", 0.05, "--normal", "normal.csv", "--guard", 1, "--per-feature")
    status, out, err = kerasae(
        "anomalies", "saved_models/t", "odd.parquet", "-o", "s.parquet", *options
    )
    assert (status, err) == (0, "")
    got = pd.read_parquet("s.parquet")
    np.testing.assert_array_equal(got.is_anomaly, got.p_value <= 0.05)
    np.testing.assert_allclose(
        got[[f"error_{name}" for name in "abcdef"]].mean(axis=1),
        got.reconstruction_error,
        rtol=1e-4,
    )
    assert "from the 200 rows of normal.csv" in out


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "options",
    [
        ["--model", "sparse", "--rho", "-0.3", "--beta", 0.1],
        ["--model", "denoising"],
        ["--model", "denoising", "--corruption", "salt-pepper:0.3"],
    ],
)
def test_every_family_trains(kerasae, options):
    status, _, err = kerasae("train", "--epochs", 1, "--hidden", 8, "--name", "m", *options)
    assert (status, err) == (0, "")
    first, *_, last = load_model("saved_models/m").encoder.layers
    if "sparse" in options:
        assert (last.rho, round(float(last.beta), 3)) == (-0.3, 0.1)
    elif "--corruption" in options:
        assert (first.rate, first.low, first.high) == (0.3, 0.0, 1.0)
    else:
        assert first.stddev == 0.2


MISTAKES = {
    "trian": "No such command 'trian'",
    "train digts": "unknown data set 'digts'; expected one of digits, mnist; try digits",
    "train --model staked": "unknown model 'staked'; expected one of adversarial",
    "train --hidden 300-100": "try 300-100-300",
    "train --hidden 0": "expected whole numbers of at least 1",
    "train --epochs 0": "0 is no count (--epochs)",
    "train --epochs many": "--epochs",
    "train --batch-size -1": "-1 is no count (--batch-size)",
    "train --learning-rate 0 --hidden 8": "0.0 (learning rate)",
    "train --learning-rate nan --hidden 8": "nan (learning rate)",
    "train --activation tahn": "unknown activation 'tahn'",
    "train --rho -0.1 --hidden 8": "--rho -0.1 with --model stacked; expected --model sparse",
    "train --model sparse --rho 1 --hidden 8": "rho must lie strictly inside",
    "train --model sparse --beta -1 --hidden 8": "beta must be finite and at least 0",
    "train --model sparse --activation relu --hidden 8": "expected one of tanh",
    "train --corruption salt:0.3": "try gaussian:0.2",
    "train --corruption gaussian:x": "try gaussian:0.2",
    "train --corruption gaussian:-1": "stddev must be finite",
    "train --threshold 99": "threshold '99'; expected a percentile p99",
    "anomalies nowhere digits -o x.npy": "unknown format '.npy'",
    "anomalies nowhere digits -o x.csv": "no such model (nowhere)",
    "train --scaler rnge": "unknown scaler 'rnge'",
    "train nowhere.csv": "no such file (nowhere.csv)",
    "train --no-such-option": "--no-such-option",
    "train --test-fraction 2": "test_fraction",
    "features nowhere digits -o x.npy": "no such model (nowhere)",
    "features nowhere digits -o x.xlsx": "unknown format '.xlsx'",
    "features nowhere digits": "--output",
    "tune layuots": "unknown sweep 'layuots'; expected one of beta, layouts, search; try layouts",
    "tune search": "try --set layout=50,100",
    "tune search --set layout": "expected name=value,value",
    "tune search --set bta=1 --model sparse": "unknown hyperparameter 'bta'",
    "tune layouts --set layout=300-100": "try 300-100-300",
    "tune layouts nowhere.csv": "no such file (nowhere.csv)",
    "tune layouts --tuner gird": "unknown tuner 'gird'",
    "tune layouts --workers 0": "0 is no count (workers)",
    "tune layouts --folds 1": "1 fold (folds)",
    "export nowhere": "no such model (nowhere)",
    "export nowhere --format onxx": "unknown format 'onxx'; expected one of litert, onnx, saved",
    "info nowhere": "no such model (nowhere)",
}


@pytest.mark.parametrize(("line", "words"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_answered_in_one_line_with_status_2(kerasae, line, words, tmp_path):
    status, out, err = kerasae(*line.split())
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
    assert "Traceback" not in out + err
    assert not list(tmp_path.iterdir())


@pytest.mark.tensorflow
def test_tune_and_export(kerasae, tmp_path):
    line = ["tune", "search", "--set", "layout=4,8", "--epochs", 1, "--name", "s"]
    status, out, err = kerasae(*line)
    assert status == 0
    assert "warning" in err or not err
    assert "val_mse" in out
    assert str(Path("sweeps/s/leaderboard.csv")) in out
    status, _, err = kerasae(*line)
    assert status == 2
    assert "try --resume to go on with it" in err
    assert kerasae(*line, "--resume")[0] == 0
    status, out, err = kerasae("export", "sweeps/s")
    assert (status, err) == (0, "")
    assert load_model("saved_models/s/1").encode(load("digits").x[:3]).shape == (3, 8)
    assert "saved_models/s/1" in out
    # A folder of its own: TF Serving would try a version that it cannot read.
    status, out, err = kerasae("export", "sweeps/s", "--format", "litert")
    assert (status, err) == (0, "")
    assert "LiteRT: saved_models/s-litert/1" in out
    assert Path("saved_models/s-litert/1/model.tflite").is_file()
    assert load_model("saved_models/s-litert/1").encode(load("digits").x[:3]).shape == (3, 8)
