"""The report of one model: what it is and how good it is, with pictures first."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasae.export.manifest import manifest as describe
from kerasae.export.versions import MANIFEST, stored_manifest
from kerasae.models import Autoencoder
from kerasae.report import page, pictures
from kerasae.report.card import card
from kerasae.report.explanations import cell_text, explanations
from kerasae.report.facts import Training, facts, write_facts
from kerasae.report.findings import find
from kerasae.report.structure import drawing, steps

REPORT, CARD = "report.html", "model_card.md"
WORST, MOST_LISTED = 5, 200
SAMPLES, MOST_SAMPLED = 10, 12
TABLE_ROWS = 3


def write_report(
    folder: Path,
    model: Autoencoder,
    x: Any,
    *,
    name: str,
    labels: Any = None,
    image_shape: Any = None,
    pca: np.ndarray | None = None,
    training: Training | None = None,
    manifest: Path | None = None,
) -> Path:
    """Writes `report.html`, `model_card.md`, `report.json` and `plots/*.svg` into a folder.

    A sample of at most 2,000 rows is looked at, so that it takes seconds whatever the data. A few
    of them are in the files: keep these as you keep the data.

    Args:
        folder: The folder, of a version or any other.
        model: An `Autoencoder`.
        x: Rows in the user's units that the model was not trained on.
        name: What the model is called.
        labels: One label a row, for the colours, or None.
        image_shape: Shape of the image that a row holds, or None.
        pca: Mean error of each column of PCA with as many components, or None.
        training: How the model was trained, or None.
        manifest: File that describes the model; by default that of the folder, if it has one.

    Returns:
        Path of the report.
    """
    training = training or Training()
    found = find(model, x, labels, image_shape, pca)
    content = _manifest(manifest or folder / MANIFEST, model)
    drawn = _pictures(model, found, training)
    (folder / "plots").mkdir(exist_ok=True)
    svgs = {}
    for what, picture in drawn.items():
        svgs[what] = picture.figure.svg()
        (folder / "plots" / f"{what}.svg").write_text(svgs[what], encoding="utf-8")
    shown = {what: page.picture(svgs[what], picture.caption) for what, picture in drawn.items()}
    write_facts(folder, facts(model, found, training))
    text = card(model, content, found, training, name)
    (folder / CARD).write_text(text, encoding="utf-8")
    path = folder / REPORT
    path.write_text(
        _html(name, model, content, found, training=training, shown=shown), encoding="utf-8"
    )
    return path


def _manifest(path, model):
    """What the manifest says of the model, or the model itself."""
    return stored_manifest(path) if path.is_file() else describe(model)


def _pictures(model, found, training):
    """The pictures by name, in the order of the report."""
    drawn = {"codings": pictures.codings_picture(found)}
    if found.image_shape is None and model.schema is None:
        shown = np.arange(min(pictures.CURVES, len(found.rows)))
        drawn["reconstructions"] = pictures.curves_picture(model, found, shown)
    drawn["denoised"] = pictures.denoised_picture(model, found)
    drawn["loss"] = pictures.loss_picture(training.history)
    drawn["columns"] = pictures.columns_picture(found, _error_name(model))
    drawn["scores"] = pictures.calibration_picture(model, found)
    drawn["activations"] = pictures.activations_picture(model, found)
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _html(name, model, content, found, *, training, shown):
    parts = [
        page.Part("Codings", shown["codings"], "codings"),
        page.Part("Reconstructions", _reconstructions(model, found, shown), "reconstructions"),
        *([page.Part("Noise", shown["denoised"], "denoised")] if "denoised" in shown else []),
        *([page.Part("Samples", _samples(model, found), "samples")] if model.prior else []),
        page.Part("Error", _error(model, content, shown), "error"),
        page.Part("Calibration", _calibration(model, found, shown), "calibration"),
        page.Part("Activations", shown["activations"], "activations"),
        page.Part("Highest scores, explained", _worst(model, found), "worst"),
        page.Part("Layers", drawing(model) + _layers(model), "layers"),
        page.Part("Columns", _columns(model, content, found), "columns"),
        page.Part("Training", _training(content, training), "training"),
    ]
    lead = (
        f'<p class="lead">{html.escape(_about(content))}. The pictures show '
        f"{html.escape(found.sampled)}.</p>" + page.facts(_first(model, content, found, training))
    )
    return page.page(name, lead, parts)


def _about(content):
    return (
        f"An autoencoder, {content['name']}, made on {content['created'][:10]} by kerasae "
        f"{content['kerasae']} with Keras {content['keras']} on {content['backend']}"
    )


def _first(model, content, found, training):
    """The numbers that are seen first."""
    metrics = content["metrics"]
    metric = model._objective
    pairs = [("mean error", f"{metrics.get(f'test_{metric}', found.errors.mean()):.5f}")]
    if f"pca_test_{metric}" in metrics:
        pairs.append(("PCA's", f"{metrics[f'pca_test_{metric}']:.5f}"))
    pairs.append(("codings", f"{content['codings']:,}"))
    pairs.append(("values a row", f"{found.errors.shape[1]:,}"))
    pairs.append(("parameters", f"{content['parameters']:,}"))
    if found.p_values is not None:
        pairs.append(("threshold", f"{model.anomaly.threshold:.4g}"))
    if training.seconds is not None:
        pairs.append(("training", f"{training.seconds:.1f} s"))
    return pairs


def _reconstructions(model, found, shown):
    if model.schema is not None:
        return _reconstructed_cells(model, found)
    if found.image_shape is None:
        return shown["reconstructions"]
    which = np.arange(min(pictures.SHOWN, len(found.rows)))
    text = (
        "From top to bottom: the original, its reconstruction, and the difference, orange where "
        "the reconstruction is higher and violet where it is lower; below it the score."
    )
    return page.paragraphs(text) + page.images(pictures.image_cards(found, which))


def _reconstructed_cells(model, found):
    """Rows of a table, each column beside what the model makes of it."""
    count = min(TABLE_ROWS, len(found.rows))
    header = ["column"]
    for number in found.numbers[:count]:
        header += [f"row {number}", "reconstruction"]
    listed = [
        [name]
        + [
            cell_text(model, i, cells[row, i])
            for row in range(count)
            for cells in (found.rows, found.reconstructions)
        ]
        for i, name in enumerate(found.names[:MOST_LISTED])
    ]
    return page.table(header, listed)


def _error_name(model):
    return "mean squared error" if model.schema is None else "error, 1 for one that knows nothing"


def _samples(model, found):
    """New rows from the prior of the codings: images, or a table."""
    if found.image_shape is not None:
        drawn = model.generate(SAMPLES, seed=0)
        text = "Drawn from the prior of the codings."
        return page.paragraphs(text) + page.images(pictures.sample_cards(found, drawn))
    drawn = model.decode(model.prior.sample(SAMPLES, 0))
    if model.schema is not None:
        drawn = model.schema.codes(drawn)
    rows = drawn.reshape(SAMPLES, -1)[:, :MOST_SAMPLED]
    cells = [[cell_text(model, i, cell) for i, cell in enumerate(row)] for row in rows]
    text = f"Drawn from the prior of the codings; the first {rows.shape[1]} columns."
    return page.paragraphs(text) + page.table(found.names[: rows.shape[1]], cells)


def _error(model, content, shown):
    metrics = content["metrics"]
    metric = model._objective
    rows = []
    for who, prefix in {"this model": "", "PCA, as many components": "pca_"}.items():
        names = [f"{prefix}{part}_{metric}" for part in ("train", "test")]
        if names[1] in metrics:
            cells = (f"{metrics[one]:.5f}" if one in metrics else "" for one in names)
            rows.append([who, *cells])
    text = ""
    if rows:
        text = page.table([f"{_error_name(model)}, scaled", "train", "test"], rows, (1, 2))
    return text + _cells(metrics) + shown.get("loss", "") + shown["columns"]


def _cells(metrics):
    """How well the cells of mixed tables come back, beside PCA and what is usual."""
    who = {"this model": "test", "PCA, as many components": "pca_test"}
    rows = []
    for name, prefix in {**who, "mean, most frequent": "usual"}.items():
        found = [metrics.get(f"{prefix}_{what}") for what in ("r2", "accuracy")]
        if found != [None, None]:
            rows.append([name, *("" if one is None else f"{one:.3f}" for one in found)])
    return page.table(["test rows", "numbers: R2", "levels: right"], rows, (1, 2)) if rows else ""


def _calibration(model, found, shown):
    if found.p_values is None:
        return shown["scores"]
    above = int((found.scores > model.anomaly.threshold).sum())
    text = (
        f"The threshold is {model.anomaly.threshold:.5g}, from {len(model.anomaly.scores):,} "
        f"normal rows. Of the rows shown, {above:,} of {len(found.scores):,} "
        f"({above / len(found.scores):.2%}) are above it. The p-value of a row is the share of "
        "normal rows with a score as high; the smallest possible one is "
        f"{1 / (len(model.anomaly.scores) + 1):.2g}."
    )
    return page.paragraphs(text) + shown["scores"]


def _worst(model, found):
    worst = found.worst[:WORST]
    header = ["row", "score", "p-value", "the columns that add most to it"]
    rows = []
    for i, shares in zip(worst, explanations(model, found, worst), strict=True):
        label = "" if found.labels is None else f" ({found.labels[i]})"
        p_value = "" if found.p_values is None else f"{found.p_values[i]:.3g}"
        explained = "; ".join(map(str, shares))
        rows.append([f"{found.numbers[i]}{label}", f"{found.scores[i]:.4g}", p_value, explained])
    text = page.table(header, rows, (1, 2))
    if found.image_shape is None:
        return text
    return page.images(pictures.image_cards(found, worst)) + text


def _layers(model):
    rows = [[half or "input", what, size] for what, size, half in steps(model)]
    return page.table(["part", "layer", "size of its output"], rows)


def _columns(model, content, found):
    if model.schema is not None:
        listed = [list(row) for row in model.schema.rows()]
        listed += [[name, "left out", why, ""] for name, why in model.schema.left_out.items()]
        return page.table(["column", "kind", "values", "missing"], listed[:MOST_LISTED], (3,))
    scaler = content["scaler"] or "none"
    shape = " by ".join(map(str, found.image_shape or model.row_shape))
    text = f"A row has the shape {shape}; scaler: {scaler}."
    if found.image_shape is not None or len(found.names) > MOST_LISTED:
        return page.paragraphs(text)
    flat = found.rows.reshape(len(found.rows), -1)
    middles = np.median(flat, axis=0)
    rows = [
        [name, f"{cells.min():.5g}", f"{middle:.5g}", f"{cells.max():.5g}", f"{error:.5g}"]
        for name, cells, middle, error in zip(
            found.names, flat.T, middles, found.errors.mean(axis=0), strict=True
        )
    ]
    header = ["column", "lowest", "median", "highest", "mean error"]
    return page.paragraphs(text) + page.table(header, rows, (1, 2, 3, 4))


def _training(content: Mapping[str, Any], training: Training) -> str:
    rows = [["data", training.data], ["rows", f"{training.rows:,}" if training.rows else ""]]
    rows += [[str(name), _text(value)] for name, value in training.settings.items()]
    rows += [["epochs", str(content["epochs"])]] if "epochs" not in training.settings else []
    rows += [[name, _text(value)] for name, value in content["metrics"].items()]
    versions = (f"kerasae {content['kerasae']}, Keras {content['keras']}", content["backend"])
    rows += [["versions", ", ".join(versions)], ["signatures", _text(content.get("signatures"))]]
    listed = page.table(["what", "value"], [row for row in rows if row[1]])
    command = f"<pre>{html.escape(training.command)}</pre>" if training.command else ""
    return command + listed


def _text(value):
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False).strip("[]").replace('"', "")[:500]
    return str(value)
