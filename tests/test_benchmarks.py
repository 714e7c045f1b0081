import runpy
import subprocess
import sys
from pathlib import Path

import keras
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
HELPERS = "contenders", "results"  # which other scripts import or start
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if path.stem not in HELPERS)


def run(path, *arguments):
    command = [sys.executable, str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_tables_are_those_of_the_results():
    done = run(FOLDER / "tables.py", "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_number_that_was_typed_by_hand_is_found(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    tables = runpy.run_path(str(FOLDER / "tables.py"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in tables["TABLES"]:
        made = tables["render"](name, FOLDER)
        marked = f"<!-- table {name} -->\n{{}}<!-- end -->"
        assert tables["fill"](marked.format("| 1 |\n"), FOLDER) == marked.format(made)
    assert tables["fill"](text.replace("| 0.54 |", "| 0.53 |"), FOLDER) == text


def test_a_run_is_read_as_it_was_written(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", ["/somewhere/demo.py", "--epochs", "3"])
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    results = runpy.run_path(str(FOLDER / "results.py"))
    rows = [{"what": "mse ± error", "value": 0.1}, {"what": "seconds", "value": [1, 2.5]}]
    results["write"](tmp_path / "new" / "demo.json", rows)
    results["read"].__globals__["FOLDER"] = tmp_path / "new"
    run = results["read"]("demo")
    assert run["rows"] == rows
    assert run["command"] == "KERAS_BACKEND=jax python benchmarks/demo.py --epochs 3"
    assert run["versions"]["keras"] == keras.__version__
    assert run["processor"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_scripts_compile(path):
    compile(path.read_text(encoding="utf-8"), path, "exec")


# In this process, which has imported what takes seconds.
@pytest.mark.tensorflow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_scripts_show_their_help(path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())  # which one script changes
    monkeypatch.setattr(sys, "argv", [path.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(path), run_name="__main__")
    assert not ended.value.code
    assert f"usage: {path.name}" in capsys.readouterr().out
