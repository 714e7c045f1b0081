"""Hostile names through every command: letter by letter in files, terminal, pictures and lists."""

import csv
import re
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae import load_model
from kerasae.datasets import load

pytestmark = pytest.mark.tensorflow
FORMULAS = ["=1+1", '=HYPERLINK("http://a")', "+a", "-5C", "@a", "'=a", "''+a", "\tb"]
NAMES = [
    *("[/b]", "weight [kg]", "[red]a", "[link=file:///]a", "$\\frac{$", "a$b_$", "_a", ":smile:"),
    *('a"b', "a'b", "a,b", "a;b", "a\nb", "a\\b", "../up", "%s", "{0}", "\\n", "größe", "模型"),
    *("\x1b[2Ja", "bell\x07", "a" * 300, "<script>", "#a", "NA ", "nan a", " a "),
    *FORMULAS,
]
# What a folder can be called: no slash, and not over 255 bytes.
FOLDERS = [name for name in NAMES if "/" not in name and len(name) < 200]


def rows(count=60):
    return pd.DataFrame(np.random.default_rng(0).uniform(size=(count, len(NAMES))), columns=NAMES)


def shown(text):
    """A text of the terminal without the lines of its tables and the ends of its lines."""
    return re.sub(r"[\s│┃]+", "", text)


def printed(name):
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in name)


def cells(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of a table with hostile names, and of a model that was trained on it."""
    folder = tmp_path_factory.mktemp("names")
    rows().to_csv(folder / "raw.csv", index=False)
    rows().to_parquet(folder / "rows.parquet", index=False)
    return folder


@pytest.fixture
def model(trained, kerasae):
    path = trained / "saved" / '[bold] $x$ "q"'
    if not path.exists():
        status, out, err = kerasae(
            *("train", trained / "rows.parquet", "--model", "variational", "--hidden", "4-2-4"),
            *("--epochs", 1, "--output", trained / "saved", "--name", path.name),
        )
        assert status == 0, err
        assert shown(f"SavedModel: {path / '1'}") in shown(out)
    return path


def test_columns_are_literal_in_model_manifest_and_terminal(model, kerasae):
    """Case 51."""
    assert list(load_model(model).columns) == NAMES
    status, out, err = kerasae("info", model)
    assert status == 0, err
    assert "\x1b" not in out
    for name in NAMES:
        assert shown(printed(name)) in shown(out), name


def test_scores_are_literal_and_no_formulas(model, trained, kerasae):
    """Case 51: no text of a CSV begins as a formula of a spreadsheet does."""
    data = trained / "rows.parquet"
    status, out, err = kerasae("anomalies", model, data, "-o", "scores.csv", "--per-feature")
    assert status == 0, err
    assert "\x1b" not in out
    header, *lines = cells(Path("scores.csv"))
    assert [f"error_{name}" for name in NAMES] == header[-len(NAMES) :]
    worst = {line[header.index("worst_column")] for line in lines}
    assert worst <= {f"'{name}" if name in FORMULAS else name for name in NAMES}
    status, _, err = kerasae("anomalies", model, data, "-o", "scores.parquet")
    assert status == 0, err
    assert set(pd.read_parquet("scores.parquet").worst_column) <= set(NAMES)


def test_every_formula_gets_an_apostrophe_that_is_taken_off_again(model, kerasae):
    """Case 51: rows that are generated can be scored, their columns matched by name."""
    status, _, err = kerasae("generate", model, "-n", 20, "--seed", 1, "-o", "new.csv")
    assert status == 0, err
    header = cells(Path("new.csv"))[0]
    assert not [name for name in header if name[0] in "=+-@\t\r"]
    assert header == [f"'{name}" if name in FORMULAS else name for name in NAMES]
    assert load("new.csv").columns == NAMES
    for command in (("anomalies", model, "new.csv"), ("features", model, "new.csv")):
        status, _, err = kerasae(*command, "-o", f"{command[0]}.csv")
        assert (status, err) == (0, "")
    Path("shuffled.csv").write_text(
        pd.read_csv("new.csv").sample(frac=1, axis=1, random_state=0).to_csv(index=False)
    )
    kerasae("features", model, "shuffled.csv", "-o", "shuffled.parquet")
    codings = pd.read_csv("features.csv").to_numpy()
    np.testing.assert_allclose(pd.read_parquet("shuffled.parquet").to_numpy(), codings, atol=1e-5)


def test_a_csv_of_pandas_is_read_letter_by_letter(trained):
    """Case 51: but for the apostrophe of a formula, which is ours."""
    expected = [name[1:] if name in ("'=a", "''+a") else name for name in NAMES]
    assert load(trained / "raw.csv").columns == expected


@pytest.mark.fast(every=6)
@pytest.mark.parametrize("name", FOLDERS, ids=lambda name: ascii(name)[:20])
def test_names_of_models_are_literal(model, kerasae, name):
    """Case 51: as folders, in the terminal and in the list of TF Serving."""
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    status, out, err = kerasae("export", model / "1" / "model.keras", f"--name={name}")
    assert status == 0, err
    assert shown(printed(f"saved_models/{name}/1")) in shown(out)
    assert "\x1b" not in out
    assert (Path("saved_models") / name / "1" / "saved_model.pb").exists()
    text = Path("saved_models/models.config").read_text(encoding="utf-8")
    (one,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert (one.name, one.base_path) == (name, f"/models/{name}")


def test_a_sweep_over_hostile_names(trained, kerasae):
    """Case 51."""
    status, out, err = kerasae(
        *("tune", "search", trained / "rows.parquet", "--set", "layout=2", "--epochs", 1),
        *("--output", ".", "--name", "[red] $x$"),
    )
    assert status == 0, err
    assert shown("[red] $x$/leaderboard.csv") in shown(out)
    status, out, err = kerasae("export", "[red] $x$")
    assert status == 0, err
    assert list(load_model("saved_models/[red] $x$").columns) == NAMES


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("label", ["$\\frac{$", "a$b_$", "_a", "[red]", "=1", "a\nb", "\x1b[2J"])
def test_labels_of_images_are_drawn_letter_by_letter(kerasae, label):
    """Case 51."""
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype("uint8")
    np.savez("x.npz", x=x, y=np.array([label, "a", "b"] * 20))
    status, _, err = kerasae("train", "x.npz", "--epochs", 1, "--hidden", "2", "--name", "m")
    assert status == 0, err
    drawn = Path("saved_models/m/1/plots/codings.svg").read_text()
    assert escape(printed(label)).strip() in drawn


@pytest.mark.parametrize("name", ["[/b]", "\x1b[2J", "a\nb", "$x$", "\udce9"])
def test_errors_and_warnings_stay_on_one_line_of_letters(kerasae, name):
    """Case 51."""
    status, _, err = kerasae("info", f"nowhere/{name}")
    assert status == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert "Traceback" not in err
