import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae import ZOO, load_model
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
    for picture in ("loss.svg", "codings.svg", "columns.svg"):
        assert (folder / "plots" / picture).read_bytes().startswith(b"<svg")
    assert (folder / "report.html").is_file()
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
    assert "warning: 1 column that the model does not know" in err
    np.testing.assert_array_equal(np.load("train.csv.npy"), np.load("score.parquet.npy"))
    status, _, err = kerasae("features", "saved_models/t", "short.csv", "-o", "x.npy")
    assert status == 2
    assert err == (
        "error: short.csv must have the columns a, b, c, d, e, .... Received: no column 'c', "
        "1 missing in all\n"
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
def test_a_detector_is_trained_and_its_scores_name_the_column(kerasae, tmp_path, monkeypatch):
    from kerasae.anomaly import Detector

    monkeypatch.setitem(Detector.__init__.__kwdefaults__, "steps", 300)
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)), columns=[*"abc"])
    frame["total"] = frame.sum(axis=1)
    known = frame.head(10).assign(b=50.0, bad=1)
    pd.concat([frame.assign(bad=0), known]).to_csv("normal.csv", index=False)
    odd = frame.copy()
    odd.loc[[7, 30], "total"] += 6
    odd.to_csv("odd.csv", index=False)
    options = ("--contamination", 0.05, "--name", "d", "--label", "bad")
    status, out, err = kerasae("detector", "normal.csv", *options)
    assert (status, err) == (0, "")
    assert "training on the 200 rows with bad = 0\n" in out
    assert "trained on 190 rows, 10 left out" in out
    assert "190 rows of normal.csv are in the model" in out
    assert Path("saved_models/d/1/plots/scores.png").exists()
    status, out, err = kerasae(
        "anomalies", "saved_models/d", "odd.csv", "-o", "s.csv", "--per-feature"
    )
    assert (status, err) == (0, "")
    got = pd.read_csv("s.csv")
    assert got.is_anomaly[[7, 30]].all()
    assert (got.worst_column[[7, 30]] == "total").all()
    parts = got[[f"contribution_{name}" for name in ("a", "b", "c", "total")]]
    np.testing.assert_allclose(parts.sum(axis=1), got.anomaly_score, rtol=1e-4)
    # Another threshold, and the same two parts.
    again = ("anomalies", "saved_models/d", "odd.csv", "-o", "t.csv", "--threshold", "p90")
    assert kerasae(*again)[0] == 0
    np.testing.assert_allclose(pd.read_csv("t.csv").anomaly_score, got.anomaly_score, rtol=1e-5)


def layer_types(model):
    return [type(layer).__name__ for layer in model.layers]


# Options of one run a family, what the saved model says of them, and what it must be.
FAMILIES = {
    "stacked": (
        "--hidden 8-4-8 --tied",
        lambda model: layer_types(model.decoder),
        ["TiedDense", "TiedDense"],
    ),
    "convolutional": (
        "--hidden 4-6-4",
        lambda model: (model.row_shape, model.encoder.layers[0].filters),
        ((8, 8, 1), 4),
    ),
    "sparse": (
        "--hidden 8 --rho -0.3 --beta 0.1",
        lambda model: (model.encoder.layers[-1].rho, float(model.encoder.layers[-1].beta)),
        (-0.3, pytest.approx(0.1)),
    ),
    "k-sparse": ("--hidden 8 --k 3", lambda model: model.encoder.layers[-1].k, 3),
    "winner-take-all": (
        "--hidden 8 --winners 0.25",
        lambda model: model.decoder.layers[0].winners,
        0.25,
    ),
    "denoising": ("--hidden 8", lambda model: model.encoder.layers[0].stddev, 0.2),
    "contractive": (
        "--hidden 8 --beta 0.3",
        lambda model: float(model.contraction.beta),
        pytest.approx(0.3),
    ),
    "variational": (
        "--hidden 8 --likelihood gaussian",
        lambda model: type(model.loss).__name__,
        "GaussianLikelihood",
    ),
    "adversarial": (
        "--hidden 8-2-8 --prior swiss-roll",
        lambda model: type(model.prior).__name__,
        "SwissRollPrior",
    ),
}


@pytest.mark.fast(every=11)
@pytest.mark.tensorflow
@pytest.mark.parametrize("family", ZOO)
def test_every_family_trains(kerasae, family):
    options, setting, expected = FAMILIES[family]
    train = ("train", "digits", "--epochs", 1, "--name", "m", "--model", family)
    status, out, err = kerasae(*train, *options.split())
    assert (status, err) == (0, "")
    assert "PCA" in out
    model = load_model("saved_models/m")
    assert setting(model) == expected
    assert np.isfinite(model.reconstruct(load("digits").x_test)).all()
    if model.prior is not None:
        check_generated(kerasae, model)


def check_generated(kerasae, model):
    for name in ("rows.csv", "rows.png"):
        status, out, err = kerasae(
            "generate", "saved_models/m", "-o", name, "--count", 12, "--seed", 3
        )
        assert (status, err) == (0, "")
        assert f"12 rows: {name}" in out
    rows = pd.read_csv("rows.csv")
    assert list(rows.columns) == [f"column_{i}" for i in range(64)]
    np.testing.assert_allclose(rows, model.generate(12, seed=3), rtol=1e-5, atol=1e-5)
    assert Path("rows.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.tensorflow
def test_any_family_convolves_images(kerasae):
    options = ("--images", "--corruption", "salt-pepper:0.3", "--hidden", "4-6-4", "--allow-short")
    train = ("train", "digits", "--epochs", 1, "--name", "m", "--model", "denoising")
    status, _, err = kerasae(*train, *options)
    assert (status, err) == (0, "")
    model = load_model("saved_models/m")
    assert model.row_shape == (8, 8, 1)
    assert layer_types(model.encoder)[:3] == ["InputLayer", "SaltPepperDropout", "Conv2D"]
    noise = model.encoder.layers[1]
    assert (noise.rate, noise.low, noise.high) == (0.3, 0.0, 1.0)


def test_options_of_another_family_are_refused(mistake):
    for option, value, families in (
        ("rho", "1", "sparse"),
        ("k", "3", "k-sparse"),
        ("winners", "0.1", "winner-take-all"),
        ("likelihood", "gaussian", "variational"),
        ("prior", "mixture", "adversarial"),
    ):
        err = mistake("train", f"--{option}", value, "--model", "stacked", "--hidden", "8")
        assert err.startswith(f"error: {option} must go with model={families}. Received: {option}=")
        assert err.endswith(", model=stacked\n")


MISTAKES = {
    "trian": "Received: command='trian'. Try kerasae train",
    "train digts": "data set must be one of digits, mnist. Received: data set='digts'. Try digits",
    "train --model staked": "model must be one of adversarial, contractive",
    "train --hidden 300-100": "layout='300-100'. Try 300-100-300",
    "train --hidden 0": "layout must be whole numbers of at least 1",
    "train --epochs 0": "must be a whole number of at least 1. Received: --epochs=0",
    "train --epochs many": "--epochs",
    "train --batch-size -1": "must be a whole number of at least 1. Received: --batch-size=-1",
    "train --learning-rate 0 --hidden 8": "finite number. Received: learning_rate=0.0",
    "train --learning-rate nan --hidden 8": "finite number. Received: learning_rate=nan",
    "train --activation tahn": "Received: activation='tahn'. Try tanh",
    "train --rho -0.1 --hidden 8": "rho must go with model=sparse. Received: rho=-0.1, model=stack",
    "train --model sparse --rho 1 --hidden 8": "rho must lie strictly inside",
    "train --model sparse --beta -1 --hidden 8": "beta must be finite and at least 0",
    "train --model sparse --activation relu --hidden 8": "one of tanh",
    "train --model adversarial --prior swiss-roll --hidden 8": "codings must be (batch, 2)",
    "train --corruption salt:0.3": "corruption='salt:0.3'. Try gaussian:0.2",
    "train --corruption gaussian:x": "corruption='gaussian:x'. Try gaussian:0.2",
    "train --corruption gaussian:-1": "stddev must be finite",
    "train --threshold 99": "threshold must be a percentile p99, standard deviations 3sd",
    "anomalies nowhere digits -o x.npy": "must end in .csv or .parquet. Received: output='x.npy'",
    "anomalies nowhere digits -o x.csv": "Received: nowhere, which does not exist",
    "train --scaler rnge": "scaler='rnge'. Try range",
    "train nowhere.csv": "path must be a file that exists. Received: path='nowhere.csv'",
    "train --no-such-option": "--no-such-option",
    "train --test-fraction 2": "test_fraction",
    "features nowhere digits -o x.npy": "Received: nowhere, which does not exist",
    "features nowhere digits -o x.xlsx": "Received: output='x.xlsx'",
    "features nowhere digits": "--output",
    "generate nowhere -o x.png": "Received: nowhere, which does not exist",
    "generate nowhere -o x.jpg": "Received: output='x.jpg'",
    "generate nowhere -o x.png -n 0": "must be a whole number of at least 1. Received: --count=0",
    "tune layuots": "must be one of beta, layouts, search. Received: sweep='layuots'. Try layouts",
    "tune search": "Try --set layout=50,100",
    "tune search --set layout": "--set must be NAME=VALUE,VALUE. Received: --set='layout'",
    "tune search --set bta=1 --model sparse": "Received: hyperparameter='bta' (--set). Try beta",
    "tune layouts --set layout=300-100": "Received: layout='300-100'. Try 300-100-300",
    "tune layouts nowhere.csv": "path must be a file that exists. Received: path='nowhere.csv'",
    "tune layouts --tuner gird": "tuner must be one of bayesian, grid, hyperband, random. Received",
    "tune layouts --workers 0": "must be a whole number of at least 1. Received: workers=0",
    "tune layouts --folds 1": "folds must be at least 2, or None. Received: folds=1",
    "export nowhere": "Received: nowhere, which does not exist",
    "export nowhere --format onxx": "format must be one of litert, onnx, saved_model. Received",
    "info nowhere": "Received: nowhere, which does not exist",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_status_2(kerasae, line, message, tmp_path):
    status, out, err = kerasae(*line.split())
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
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
    assert "Try --resume to go on with it" in err
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
