import base64
import html
import re
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from kerasae import cli
from kerasae.chapter.bench import Bench
from kerasae.chapter.report import write_report
from kerasae.chapter.result import Picture, Row, Section
from kerasae.chapter.settings import GRID
from kerasae.tuning.book import BETAS


class Page(HTMLParser):
    """The content of a page: the attributes of its tags, and the cells of its table."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.rows, self.cell = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        self.cell = "" if tag in ("td", "th") else self.cell

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.rows[-1].append(self.cell)
            self.cell = None

    def pictures(self):
        return [attributes for tag, attributes in self.tags if tag == "img"]


def check_self_contained(text):
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    addresses = [
        value
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "poster", "action", "background", "data")
    ]
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    for attributes in page.pictures():
        pixels = image.imread(BytesIO(base64.b64decode(attributes["src"].split(",")[1])), "png")
        assert pixels.ndim == 3
        assert np.ptp(pixels[..., :3]) > 0.5
        assert attributes["alt"]
    return page


@pytest.mark.tensorflow
def test_the_whole_chapter_on_digits(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "argv", ["kerasae", "chapter", "--epochs", "1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert (ended.value.code or 0, err) == (0, "")
    text = Path("chapter-digits/report.html").read_text()
    page = check_self_contained(text)
    assert len(page.pictures()) == 13
    header, *rows = page.rows
    assert header == ["section", "what", "PCA", "ours", "seconds"]
    sections = [row[0] for row in rows]
    assert sections == sorted(sections)
    assert {name: sections.count(name) for name in sections} == {
        "19.2.1": 4,
        "19.2.2": len(GRID),
        "19.2.3": 1,
        "19.3": 1 + 2 * len(BETAS) + 2,
        "19.4": 4,
        "19.5": 5,
    }
    errors = [float(row[3]) for row in rows if row[0] == "19.2.2"]
    assert errors == sorted(errors)
    # The book's numbers are those of MNIST.
    assert not {row[2] for row in rows} & {f"{book:.5f}" for book in GRID.values()}
    assert text.index("<img") < text.index("<table")
    for row in rows:
        assert row[1].split(":")[0].split(" [")[0] in out
        assert row[3] in out
    assert "report: chapter-digits/report.html" in out


@pytest.mark.tensorflow
@pytest.mark.slow
def test_one_section_alone_gives_the_same_numbers(monkeypatch, capsys, tmp_path):
    found = []
    for section in ("19.2", "19.2.3"):
        arguments = ["--section", section, "--output", str(tmp_path / section), "--epochs", "1"]
        monkeypatch.setattr(sys, "argv", ["kerasae", "chapter", *arguments])
        with pytest.raises(SystemExit):
            cli.main()
        page = Page((tmp_path / section / "report.html").read_text())
        found.append([row[1:4] for row in page.rows if row[0] == "19.2.3"])
    assert found[0] == found[1] != []


@pytest.fixture(scope="module")
def bench():
    with pytest.warns(UserWarning, match="3 of 64 columns are constant"):
        return Bench("digits", epochs=1)


def test_widths_keep_their_proportion_to_the_columns(bench):
    assert bench.widths((300, 100, 50)) == (24, 8, 4)
    assert bench.widths((2,)) == (2,)
    assert bench.widths((1000,)) == (81,)
    assert bench.layout((300, 100)) == "24-8-24 [300-100-300]"
    assert bench.layout((2,)) == "2"


def test_the_scale_is_that_of_the_training_rows(bench):
    wide = np.ptp(bench.x, axis=0) > 0
    reconstructed = bench.x_test.copy()
    reconstructed[:, wide] += np.ptp(bench.x, axis=0)[wide]
    assert bench.mse(reconstructed) == pytest.approx(wide.mean(), rel=1e-5)
    assert bench.mse(bench.x_test) == 0


def test_pca_of_a_width_is_the_best_projection_of_that_width(bench):
    z, z_test = bench.scale(bench.x).astype("float64"), bench.scale(bench.x_test)
    mean = z.mean(axis=0)
    for layout in ((50,), (300, 100)):
        axes = np.linalg.svd(z - mean, full_matrices=False)[2][: bench.widths(layout)[-1]]
        centred = z_test - mean
        expected = np.square(centred - centred @ axes.T @ axes).mean()
        assert bench.pca_mse(layout) == pytest.approx(expected, rel=1e-4)


def test_a_plain_model_is_trained_and_timed_once(bench):
    first, second = bench.stack((100,)), bench.stack((100,))
    assert first.model is second.model
    assert first.seconds > 0
    assert second.seconds is None


@pytest.mark.slow
def test_pca_on_mnist_has_the_known_errors(mnist):
    bench = Bench("mnist")
    assert bench.layout((300, 100)) == "300-100-300"
    assert bench.pca_mse((50,)) == pytest.approx(0.01149, abs=5e-6)
    assert bench.pca_mse((100,)) == pytest.approx(0.00562, abs=5e-6)


def test_a_report_shows_text_as_text_and_is_written_whole(tmp_path):
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    nasty = '<script src="x">&"'
    row = Row(nasty, "99.0%", 0.5, seconds=12.4)
    sections = {"1.1": Section(nasty, [nasty], [row], [Picture(figure, nasty)])}
    path = tmp_path / "report.html"
    for _ in range(2):
        write_report(path, nasty, [nasty], [*"abcdef"], sections)
    text = path.read_text()
    page = check_self_contained(text)
    assert page.rows[1] == ["1.1", nasty, "0.50000", "", "99.0%", "12"]
    assert page.pictures()[0]["alt"] == nasty
    assert text.count(html.escape(nasty)) == 9
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    row = row._replace(seconds=0.2)
    assert row.texts()[-1] == "0"


MISTAKES = {
    "--data digts": "data set must be one of digits, mnist. Received: data set='digts'. Try digits",
    "--section 19.9": "Received: section='19.9'",
    "--section 19.2.": "Received: section='19.2.'",
    "--epochs 0": "must be a whole number of at least 1. Received: --epochs=0",
    "--output file": "file",
}


@pytest.mark.parametrize(("line", "message"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_one_line(mistake, line, message):
    Path("file").touch()
    assert message in mistake("chapter", *line.split())
