"""Reports: whole, self-contained, literal, with the numbers of the model."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import ZOO, anomaly, verify
from kerasae.layers.scaling import scale
from kerasae.report import Training, stored_training, write_report
from kerasae.report.card import literal
from kerasae.report.explanations import explanations
from kerasae.report.facts import facts
from kerasae.report.findings import MOST_ROWS, find
from kerasae.report.pictures import _components


class Page(HTMLParser):
    """The tags, links and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.texts = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.sources += [given["src"]] if "src" in given else []
        assert not [name for name in given if name.startswith("on")]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(300, 5)).astype("float32") @ np.diag([1, 9, 2, 1, 5])
    scaler = keras.layers.Normalization()
    scaler.adapt(x)
    names = ["size", "weight [kg]", "<b>a</b>", "a_b`", "$x$"]
    made = kerasae.sparse_autoencoder((5,), (4, 3), rho=0.1, scaler=scaler, columns=names)
    made.fit(x, epochs=2, verbose=0)
    anomaly.calibrate(made, x[:100])
    return made


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).normal(size=(60, 5)).astype("float32")


@pytest.fixture(scope="module")
def written(model, x, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    training = Training(
        "rows.csv", "kerasae train '<i>'", 300, 1.5, {"seed": 7}, {"mse": [0.5, 0.25]}
    )
    write_report(folder, model, x, name='<script>alert("1")</script>', training=training)
    return folder


def test_a_report_is_one_file_without_requests_or_scripts(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    assert {"script", "iframe", "link", "form", "i", "base"}.isdisjoint(page.tags)
    assert page.sources
    assert all(source.startswith("data:image/") for source in page.sources)
    assert page.links
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.ids)
    assert all(link[0] == "#" for link in page.links)
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert not re.search(r"url\(|@import|https?://", text.split("</style>")[0])


def test_names_are_literal_in_report_and_card(written, model):
    """Case 51."""
    page = Page((written / "report.html").read_text())
    for name in (*model.columns, '<script>alert("1")</script>', "kerasae train '<i>'"):
        assert name in page.text
    card = (written / "model_card.md").read_text()
    assert r"\<script\>" in card
    assert r"a\_b\`" in card
    assert "<b>" not in card
    assert literal("a|b\nc") == r"a\|b c"


def test_the_numbers_of_a_report_are_those_of_the_model(written, model, x):
    page = Page((written / "report.html").read_text())
    scores = anomaly.score(model, x)
    errors = np.square(
        np.asarray(scale(model.scaler, x)) - np.asarray(scale(model.scaler, model.reconstruct(x)))
    )
    found = find(model, x)
    np.testing.assert_allclose(found.errors, errors, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.scores, scores.anomaly_score, rtol=1e-5)
    np.testing.assert_allclose(found.codings, model.encode(x), rtol=1e-5, atol=1e-6)
    worst = int(scores.anomaly_score.argmax())
    assert found.worst[0] == worst
    assert f"{scores.anomaly_score[worst]:.4g}" in page.text
    assert f"{model.anomaly.threshold:.4g}" in page.text
    assert f"{scores.is_anomaly.sum()} of 60" in page.text
    first = explanations(model, found, found.worst[:1])[0]
    order = np.argsort(-errors[worst])
    assert [one.column for one in first] == [model.columns[i] for i in order[:3]]
    np.testing.assert_allclose(
        [one.share for one in first], (errors[worst] / errors[worst].sum())[order[:3]], rtol=1e-3
    )
    assert float(first[0].value) == pytest.approx(float(x[worst, order[0]]), rel=1e-4)
    assert "target" in (written / "plots" / "activations.svg").read_text()


def test_facts_are_ranges_and_rows_of_the_data(written, model, x):
    kept = json.loads((written / "report.json").read_text())
    np.testing.assert_allclose(kept["columns"]["low"], x.min(axis=0), rtol=1e-4)
    np.testing.assert_allclose(kept["columns"]["high"], x.max(axis=0), rtol=1e-4)
    codings = model.encode(x)
    assert np.all(np.asarray(kept["codings"]["low"]) >= codings.min(axis=0) - 1e-4)
    scores = anomaly.score(model, np.asarray(kept["examples"], "float32")).anomaly_score
    every = anomaly.score(model, x).anomaly_score
    np.testing.assert_allclose(scores[[0, -1]], [every.min(), every.max()], rtol=1e-3)
    training = stored_training(written)
    assert (training.rows, training.settings, training.history["mse"]) == (
        300,
        {"seed": 7},
        [0.5, 0.25],
    )


def test_a_large_report_is_a_small_file_of_a_stated_sample(tmp_path):
    rows = np.random.default_rng(0).uniform(size=(MOST_ROWS + 500, 784)).astype("float32")
    model = kerasae.stacked_autoencoder((784,), (8,))
    path = write_report(tmp_path, model, rows, name="big", image_shape=(28, 28))
    text = Page(path.read_text()).text
    assert f"a sample of {MOST_ROWS:,} of {MOST_ROWS + 500:,} rows" in text
    assert path.stat().st_size < 2**20
    assert (tmp_path / "report.json").stat().st_size < 2**18


def test_wide_rows_are_sampled_to_a_bound(monkeypatch):
    monkeypatch.setattr("kerasae.report.findings.MOST_VALUES", 640)
    model = kerasae.stacked_autoencoder((64,), (2,))
    found = find(model, np.random.default_rng(0).uniform(size=(50, 64)))
    assert len(found.rows) == 10
    assert len(set(found.numbers.tolist())) == 10


@pytest.mark.parametrize(
    ("units", "row_shape"), [((3,), (6,)), ((2,), (6,)), ((1,), (6,)), ((2, 3), (8, 8, 1))]
)
def test_every_number_of_codings_and_images_have_a_report(tmp_path, units, row_shape):
    build = kerasae.variational_autoencoder if len(row_shape) == 3 else ZOO["stacked"]
    model = build(row_shape, units)
    x = np.random.default_rng(0).uniform(size=(12, *row_shape)).astype("float32")
    labels = np.arange(12) if units == (3,) else np.arange(12) % 2
    page = Page(write_report(tmp_path, model, x, name="m", labels=labels).read_text())
    assert "is not calibrated" in page.text
    assert len(page.ids) == 9 + (model.prior is not None)


@pytest.mark.parametrize("shape", [(40, 6), (6, 40), (1, 4)])
def test_the_plane_is_that_of_pca(shape):
    codings = np.random.default_rng(0).normal(size=shape)
    centred = codings - codings.mean(axis=0)
    places, shares = _components(centred)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    kept = min(2, len(sizes))
    np.testing.assert_allclose(
        np.abs(places[:, :kept]), np.abs(left * sizes)[:, :kept], rtol=1e-6, atol=1e-9
    )
    expected = np.square(sizes[:2]) / max(np.square(sizes).sum(), 1e-30)
    np.testing.assert_allclose(shares[:kept], expected, atol=1e-9)


def test_a_missing_value_of_the_history_does_not_break_the_file(model, x):
    kept = facts(model, find(model, x), Training(history={"mse": [0.5, float("nan")]}))
    assert kept["training"]["history"]["mse"] == [0.5, None]
    json.dumps(kept, allow_nan=False)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_command_writes_anew_and_the_version_stays_whole(kerasae, mistake):
    status, out, err = kerasae("train", "--epochs", 1, "--hidden", "4", "--name", "m")
    assert (status, err) == (0, "")
    folder = Path("saved_models/m/1")
    assert str(folder / "report.html") in out
    count = verify(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    page = Page((folder / "report.html").read_text())
    for metric in ("test_mse", "pca_test_mse"):
        assert f"{manifest['metrics'][metric]:.5f}" in page.text
    assert "kerasae train --epochs 1" in page.text

    (folder / "report.html").write_text("changed")
    assert "report.html changed" in mistake("report", "saved_models/m")
    np.savez("x.npz", x=np.zeros((1, 64)))
    status, out, err = kerasae("report", "saved_models/m", "x.npz", "-o", "beside")
    assert (status, err) == (0, "")
    assert "all 1 rows" in Page(Path("beside/report.html").read_text()).text
    assert (folder / "report.html").read_text() == "changed"

    (folder / "report.html").write_text((Path("beside") / "report.html").read_text())
    manifest["files"].pop("report.html")
    (folder / "report.html").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    status, out, err = kerasae("report", folder)
    assert (status, err) == (0, "")
    assert verify(folder) == count
    again = Page((folder / "report.html").read_text())
    assert again.text == page.text


@pytest.mark.tensorflow
def test_a_model_without_a_record_needs_data(kerasae, mistake):
    made = ZOO["stacked"]((64,), (2,))
    made.optimizer.build(made.trainable_variables)  # or Keras warns of it when it loads the file
    made.save("model.keras")
    assert "Try kerasae report model.keras DATA" in mistake("report", "model.keras")
    status, _, err = kerasae("report", "model.keras", "digits")
    assert (status, err) == (0, "")
    assert len(list(Path().glob("*-report/report.html"))) == 1
    Path("report.json").write_text('{"training": [1]}')
    assert "must hold how the model was trained" in mistake("report", "model.keras", "digits")


def test_a_table_of_mixed_columns_is_shown_by_its_cells(tmp_path):
    draw = np.random.default_rng(0)
    kinds = draw.choice(["red", "<b>blue</b>"], 60)
    days = np.datetime64("2024-01-01") + draw.integers(0, 400, 60)
    table = pd.DataFrame({"size": draw.normal(size=60), "kind": kinds, "when": days})
    table.loc[3, "size"] = np.nan
    model = kerasae.table_autoencoder(table, (4, 2))
    page = Page(write_report(tmp_path, model, table, name="t", labels=kinds).read_text())
    assert {"red", "<b>blue</b>", "category", "missing"} <= {text.strip() for text in page.texts}
    assert str(days[0]) in page.text
    found = find(model, table)
    np.testing.assert_allclose(
        found.scores, model.reconstruction_error(table), rtol=1e-4, atol=1e-6
    )
    kept = json.loads((tmp_path / "report.json").read_text())
    assert len(kept["origins"]) == 3
    codes = model.schema.codes(table)
    np.testing.assert_allclose(kept["columns"]["low"], np.nanmin(codes, axis=0), rtol=1e-4)


def test_a_score_of_parts_is_explained_by_its_parts():
    x = np.random.default_rng(0).normal(size=(80, 3)).astype("float32")
    model = anomaly.Detector(steps=100).fit(x, verbose=0).model
    x[0, 2] = 9
    found = find(model, x)
    (first,) = explanations(model, found, np.array([0]))
    expected = anomaly.explain(model, x[:1]).worst(0)
    assert [one.column for one in first] == [f"column {i}" for i, _, _ in expected]
    assert [one.share for one in first] == pytest.approx([one[1] for one in expected], rel=1e-4)


def test_windows_of_a_series_are_drawn_by_channel(tmp_path):
    x = np.random.default_rng(0).normal(size=(10, 16, 2)).astype("float32")
    model = kerasae.stacked_autoencoder((16, 2), (4, 2), columns=["flow", "$b"])
    write_report(tmp_path, model, x, name="s")
    drawn = (tmp_path / "plots" / "reconstructions.svg").read_text()
    for title in ("row 0, flow", "row 0, $b", "row 1, flow"):
        assert title in drawn
