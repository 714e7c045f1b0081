import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
SECTIONS = {"19_2_1", "19_2_2", "19_2_3", "19_3", "19_4", "19_5", "19_6"}


def test_every_section_has_a_notebook():
    numbers = {"_".join(p for p in path.stem.split("_") if p.isdecimal()) for path in SOURCES}
    assert numbers - {""} == SECTIONS


# One runs each time, for what all notebooks share; all of them take three minutes.
QUICK = ("19_2_1_comparing_pca",)
RUN = [
    pytest.param(path, marks=[] if path.stem in QUICK else [pytest.mark.slow]) for path in SOURCES
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", RUN, ids=lambda path: path.stem)
def test_notebooks_run_and_draw(path, monkeypatch):
    import jupytext
    from nbclient import NotebookClient

    monkeypatch.delenv("KERASAE_NOTEBOOK_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    notebook = jupytext.read(path)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert pictures


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_is_its_source(path):
    import jupytext

    def cells(notebook):
        return [(cell.cell_type, cell.source) for cell in notebook.cells]

    notebook = jupytext.read(path.with_suffix(".ipynb"))
    assert cells(notebook) == cells(jupytext.read(path))
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", ())]
    assert any("image/png" in one.get("data", {}) for one in outputs), (
        "run docs/extensions/gallery.py"
    )
    assert not any(one.get("name") == "stderr" for one in outputs)
