"""The documentation site: built without a warning, and complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import kerasae

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("furo", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees"]
    done = subprocess.run(
        [*map(str, command), "docs", str(folder / "html")],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "html"


def test_every_public_name_has_its_place_in_the_reference(site):
    pages = "".join(path.read_text(encoding="utf-8") for path in site.glob("api/*.html"))
    for name in kerasae.__all__:
        if callable(getattr(kerasae, name)):
            assert f'.{name}"' in pages, name


def test_every_family_has_a_page_with_its_formulas(site):
    for name in kerasae.ZOO:
        assert "<math" in (site / "models" / f"{name}.html").read_text(encoding="utf-8"), name


def test_pages_request_nothing_from_elsewhere(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert 'src="http' not in text, path
        assert '<link rel="stylesheet" type="text/css" href="http' not in text, path
