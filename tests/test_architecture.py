"""The plan of the house, held: which module may import which."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kerasae"
# Installed as kerasae.tuning.
TUNING = PACKAGE.parent / "tuning"
MODULES = sorted([*PACKAGE.rglob("*.py"), *TUNING.rglob("*.py")])

# What each part may import besides the standard library and itself; a trailing * for all of it.
LIBRARIES = {"numpy", "keras", "matplotlib"}
LEAVES = {"kerasae.door", "kerasae._version", "kerasae.layers*"}
ALLOWED = {
    "kerasae": {"kerasae*"},
    "kerasae._version": set(),
    "kerasae.door": {"numpy"},
    "kerasae.files": {"numpy", "pyarrow", "kerasae.door"},
    "kerasae.datasets": {"numpy", "keras", "sklearn", "kerasae.door", "kerasae.files", "kerasae"},
    "kerasae.layers": {"numpy", "keras"},
    "kerasae.losses": {"keras"},
    "kerasae.models": {"numpy", "keras", *LEAVES, "kerasae"},
    "kerasae.models.loops": {"keras", "tensorflow", "jax"},
    "kerasae.models.zoo": {"keras", *LEAVES, "kerasae.losses", "kerasae.models*"},
    "kerasae.generation": {"numpy", "keras", *LEAVES},
    "kerasae.features": {*LIBRARIES, *LEAVES},
    "kerasae.anomaly": {*LIBRARIES, *LEAVES, "sklearn"},
    "kerasae.pretraining": {*LIBRARIES, *LEAVES, "kerasae.models"},
    "kerasae.robust": {*LIBRARIES, *LEAVES},
    "kerasae.supervised": {*LIBRARIES, *LEAVES},
    "kerasae.callbacks": {
        *LIBRARIES,
        *LEAVES,
        "tensorflow",
        "kerasae",
        "kerasae.features",
        "kerasae.plots",
    },
    "kerasae.plots": {"numpy", "matplotlib"},
    "kerasae.publishing": {"kerasae.door"},
    "kerasae.deployment": {"kerasae.publishing"},
    "kerasae.export": {
        *LIBRARIES,
        *LEAVES,
        *("tensorflow", "tensorflow_serving", "kerasae.features", "kerasae.publishing"),
    },
    "kerasae.portable": {"numpy", "keras", "tensorflow", "kerasae.export"},
    "kerasae.runtimes": {
        *("keras", "tensorflow", "tf2onnx", "onnx"),
        *("kerasae.export", "kerasae.portable", "kerasae.publishing"),
    },
    "kerasae.loading": {
        *LIBRARIES,
        *("kerasae.export", "kerasae.models", "kerasae.publishing"),
    },
    "kerasae.commands": {*LIBRARIES, "pyarrow", "rich", "sklearn", "kerasae*"},
    "kerasae.chapter": {*LIBRARIES, "rich", "sklearn", "kerasae*"},
    "kerasae.chapter.command": {"typer", "kerasae.cli", "kerasae.door", "kerasae.chapter.run"},
    "kerasae.serving": {
        *("numpy", "tensorflow", "google", "grpc", "starlette", "tensorflow_serving", "uvicorn"),
        "kerasae.serving*",
    },
    "kerasae.cli_serve": {"typer", "tensorflow", "kerasae.cli", "kerasae.serving*"},
    "kerasae.cli_using": {"typer", "kerasae.cli", "kerasae.commands", "kerasae.door"},
    "kerasae.cli_tune": {"typer", "kerasae.cli", "kerasae.door", "kerasae.tuning*"},
    "tuning": {*LIBRARIES, "keras_tuner", "grpc", "rich", "kerasae*"},
    "tuning.hparams": {"tensorflow", "tensorboard"},
    "kerasae.cli": {
        *("typer", "rich", "keras", "kerasae.door"),
        *("kerasae.commands", "kerasae.chapter.command"),
        *("kerasae.cli_serve", "kerasae.cli_tune", "kerasae.cli_using"),
    },
}
STANDARD = __import__("sys").stdlib_module_names


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in {path}"
            yield node.module


def allowed(name, rules):
    return any(
        name == rule or (rule.endswith("*") and f"{name}.".startswith(rule[:-1] + "."))
        for rule in rules
    )


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_one_way(path):
    name = module_name(path)
    part = name if name in ALLOWED else name.rpartition(".")[0]
    rules = ALLOWED[part] | {f"{part}*" if part.count(".") else part}
    for imported in imports(path):
        top = imported.split(".")[0]
        if top not in STANDARD:
            asked = imported if top == "kerasae" else top
            assert allowed(asked, rules), f"{name} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 250


def test_there_are_no_utils():
    assert not [path for path in MODULES if path.stem in ("utils", "helpers", "common")]
