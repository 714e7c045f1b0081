import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae import cli, load_model
from kerasae.datasets import load


@pytest.fixture
def kerasae(monkeypatch, capsys, tmp_path):
    """Runs the command in a folder of its own; answers its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerasae", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    return run


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


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
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
        assert (folder / "figures" / picture).read_bytes().startswith(b"\x89PNG")
    assert "PCA, 8 components" in out
    assert str(folder) in out

    model, digits = load_model("saved_models/small"), load("digits")
    figures = json.loads((folder / "manifest.json").read_text())["figures"]
    error = model.reconstruction_error(digits.x_test).mean()
    assert figures["test_mse"] == pytest.approx(error, rel=1e-5)
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


MISTAKES = {
    "trian": "No such command 'trian'",
    "train digts": "unknown data set 'digts'; expected one of digits, mnist; try digits",
    "train --model staked": "unknown model 'staked'; expected one of stacked; try stacked",
    "train --hidden 300-100": "try 300-100-300",
    "train --hidden 0": "expected whole numbers of at least 1",
    "train --epochs 0": "0 is no count (--epochs)",
    "train --epochs many": "--epochs",
    "train --batch-size -1": "-1 is no count (--batch-size)",
    "train --learning-rate 0 --hidden 8": "0.0 (learning rate)",
    "train --learning-rate nan --hidden 8": "nan (learning rate)",
    "train --activation tahn": "unknown activation 'tahn'",
    "train --scaler rnge": "unknown scaler 'rnge'",
    "train nowhere.csv": "no such file (nowhere.csv)",
    "train --no-such-option": "--no-such-option",
    "train --test-fraction 2": "test_fraction",
    "features nowhere digits -o x.npy": "no such model (nowhere)",
    "features nowhere digits -o x.xlsx": "unknown format '.xlsx'",
    "features nowhere digits": "--output",
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
