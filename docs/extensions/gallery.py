"""The gallery by task: notebooks with their outputs, and a picture of each as a thumbnail.

`python docs/extensions/gallery.py [NAME ...]` runs the notebooks' sources and stores the outputs.
"""

import base64
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1]
NOTEBOOKS = DOCS.parent / "notebooks"
PAGES = DOCS / "gallery" / "notebooks"


def collect() -> None:
    """Copies the notebooks into the site and writes the gallery's index from `gallery/index.in`."""
    shutil.rmtree(PAGES, ignore_errors=True)
    PAGES.mkdir(parents=True)
    text = (DOCS / "gallery" / "index.in").read_text(encoding="utf-8")
    names = re.findall(r"^- (\w+)$", text, re.MULTILINE)
    if missing := {path.stem for path in NOTEBOOKS.glob("*.ipynb")} ^ set(names):
        raise ValueError(f"docs/gallery/index.in must list each notebook. Received: {missing}")
    for name in names:
        shutil.copy(NOTEBOOKS / f"{name}.ipynb", PAGES)
    text = re.sub(r"(^- \w+\n)+", lambda found: _cards(found[0]), text, flags=re.MULTILINE)
    pages = "\n".join(f"notebooks/{name}" for name in names)
    hidden = f"\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"
    (DOCS / "gallery" / "index.md").write_text(text + hidden, encoding="utf-8")


def _cards(items: str) -> str:
    cards = "".join(_card(name) for name in re.findall(r"- (\w+)", items))
    return f"::::{{grid}} 1 2 3 3\n:gutter: 3\n\n{cards}::::\n"


def _card(name: str) -> str:
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    texts = [cell for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    title = re.sub(r"^#\s*([\d.]+ )?", "", "".join(texts[0]["source"]).splitlines()[0])
    picture = ""
    if found := _pictures(notebook):
        (PAGES / f"{name}.png").write_bytes(base64.b64decode(found[-1]))
        picture = f":img-top: notebooks/{name}.png\n:img-alt: A picture of {title}\n"
    return (
        f":::{{grid-item-card}} {title}\n:link: notebooks/{name}\n:link-type: doc\n{picture}:::\n\n"
    )


def _pictures(notebook: dict[str, Any]) -> list[str]:
    outputs = [one for cell in notebook["cells"] for one in cell.get("outputs", ())]
    return [one["data"]["image/png"] for one in outputs if "image/png" in one.get("data", {})]


def execute(name: str) -> None:
    """Runs `notebooks/NAME.py` and writes `notebooks/NAME.ipynb` with the outputs.

    Raises:
        CellExecutionError: A cell of the notebook fails.
    """
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    NotebookClient(notebook, timeout=900, kernel_name="python3").execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # equal from one run to the next
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, NOTEBOOKS / f"{name}.ipynb")


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    for chosen in sys.argv[1:] or sorted(path.stem for path in NOTEBOOKS.glob("*.py")):
        print(chosen, flush=True)
        execute(chosen)
