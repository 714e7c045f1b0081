"""What people type first: versions, short names, verbs of other libraries, the tab key."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kerasae import ZOO, __version__
from kerasae.cli.families import FAMILIES, SHORT, UNCLEAR, family_name
from kerasae.cli.suggestions import MEANT, SEVERAL, suggestion

COMMANDS = [
    "train",
    "features",
    "anomalies",
    "generate",
    "report",
    "tune",
    "export",
    "serve",
    "chapter",
    "info",
]


def test_the_version(kerasae):
    assert kerasae("--version") == (0, f"kerasae {__version__}\n", "")
    done = subprocess.run(
        [sys.executable, "-m", "kerasae", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"kerasae {__version__}\n"


def test_families_on_the_command_line_are_those_of_the_zoo():
    assert set(FAMILIES) == set(ZOO)
    assert set(SHORT.values()) <= set(ZOO)
    assert {name for names in UNCLEAR.values() for name in names} <= set(ZOO)
    assert not set(SHORT) & (set(ZOO) | set(UNCLEAR))
    assert all(family_name(name) == name for name in ZOO)
    assert all(family_name(f"{name}_autoencoder".upper()) == name for name in ZOO)


@pytest.mark.parametrize(
    ("given", "name"),
    [("vae", "variational"), ("WTA", "winner-take-all"), ("k_sparse", "k-sparse")],
)
def test_short_names_are_understood(given, name):
    assert family_name(given) == name


@pytest.mark.tensorflow
def test_a_short_name_trains_its_family(kerasae):
    status, _, err = kerasae(
        "train", "--model", "vae", "--epochs", 1, "--hidden", "2", "--name", "m"
    )
    assert (status, err) == (0, "")
    manifest = json.loads(Path("saved_models/m/1/manifest.json").read_text())
    assert manifest["name"] == "variational_autoencoder"
    status, out, _ = kerasae("info", "saved_models/m")
    assert status == 0
    assert "rows of 64 > 2, 2 codings > rows" in " ".join(out.split())
    for metric in ("test_mse", "pca_test_mse", "val_mse"):
        assert f"{manifest['metrics'][metric]:.5g}" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --model cae", "convolutional or contractive. Try --model convolutional"),
        ("train --model vea", "Try variational"),
        ("tune layouts --model sparce", "Try sparse"),
        ("fit digits", "Received: command='fit'. Try kerasae train"),
        ("predict m x.csv", "Try kerasae anomalies for scores, kerasae features for codings"),
        ("trian", "Try kerasae train"),
        ("nonsense", "Try kerasae --help"),
        ("train --nothing", "Try kerasae train --help"),
        ("info", "Try kerasae info --help"),
        ("serve --rest-port x", "Try kerasae serve --help"),
        ("--nothing", "Try kerasae --help"),
    ],
)
def test_a_first_try_gets_a_hint(mistake, line, message):
    assert message in mistake(*line.split())


def test_every_suggestion_is_a_command():
    assert set(MEANT.values()) <= set(COMMANDS)
    assert not (set(MEANT) | set(SEVERAL)) & set(COMMANDS)
    for word in (*MEANT, *SEVERAL):
        assert suggestion(word, COMMANDS).split()[1] in (*COMMANDS, "--version", "--help")


def test_the_short_option_of_help(kerasae):
    status, out, _ = kerasae("train", "-h")
    assert status == 0
    assert "vae, dae" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [("kerasae tr", ["train"]), ("kerasae train --model v", ["variational"])],
)
def test_the_tab_key_completes(words, expected):
    environment = {
        **os.environ,
        "_KERASAE_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "kerasae"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split() == expected
