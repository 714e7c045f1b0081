"""What the commands do that use a saved model."""

import math
import os
import sys

import numpy as np
import pyarrow
from keras import ops
from pyarrow import csv, parquet
from rich.table import Table

from kerasae import anomaly, plots
from kerasae.datasets import load
from kerasae.door import column_order
from kerasae.features import deep_features
from kerasae.layers.scaling import scale
from kerasae.loading import load_model, newest, read_manifest
from kerasae.publishing import verify


def _rows(autoencoder, data, load_options):
    """The data, its columns in the order of the model where both have names."""
    rows = load(data, **load_options)
    if rows.columns and autoencoder.columns:
        order = column_order(rows.columns, autoencoder.columns, data)
        rows = rows._replace(x=rows.x[:, order], columns=list(autoencoder.columns))
    # The door makes images of flat rows, and has the words for those that do not fit.
    return rows._replace(x=autoencoder.checked_rows(rows.x, data))


def _verbose():
    return 1 if sys.stderr.isatty() else 0


def features(model, data, output, *, layer, load_options, console):
    """Writes the deep features of all rows; see `kerasae features --help`."""
    autoencoder = load_model(model)
    x = _rows(autoencoder, data, load_options).x
    codings = deep_features(autoencoder, x, layer, verbose=_verbose())
    codings = codings.reshape(len(x), -1)
    names = [f"{layer}_{i}" for i in range(1, codings.shape[1] + 1)]
    _write_table(dict(zip(names, codings.T, strict=True)), output)
    console.print(f"{len(codings)} rows, {codings.shape[1]} columns: {output}", soft_wrap=True)


def anomalies(model, data, output, *, threshold, guard, normal, per_feature, load_options, console):
    """Writes the anomaly scores of all rows; see `kerasae anomalies --help`."""
    autoencoder = load_model(model)
    rows = _rows(autoencoder, data, load_options)
    if threshold or normal or guard is not None or not autoencoder.anomaly.fitted:
        source = normal or data
        x = _rows(autoencoder, normal, load_options).x if normal else rows.x
        anomaly.calibrate(autoencoder, x, threshold or "p99", guard or 0.0)
        console.print(f"threshold and p-values from the {len(x)} rows of {source}", soft_wrap=True)
    scores = anomaly.score(autoencoder, rows.x, verbose=_verbose())
    errors = scores.feature_errors.reshape(len(rows.x), -1)
    names = rows.columns or [f"column_{i}" for i in range(errors.shape[1])]
    table = {"row": np.arange(len(errors))}
    table |= {name: value for name, value in scores._asdict().items() if name != "feature_errors"}
    table["worst_column"] = np.array(names)[errors.argmax(axis=1)]
    if per_feature:
        table |= {f"error_{name}": column for name, column in zip(names, errors.T, strict=True)}
    _write_table(table, output)
    console.print(_worst(table))
    flagged = int(scores.is_anomaly.sum())
    console.print(f"{flagged} of {len(errors)} rows are anomalies: {output}", soft_wrap=True)
    for name, figure in _pictures(autoencoder, rows, scores).items():
        path = output.with_name(f"{output.stem}-{name}.png")
        _write(path, lambda file, figure=figure: figure.savefig(file, dpi=120, format="png"))
        console.print(f"picture: {path}", soft_wrap=True, highlight=False)


def generate(model, output, *, count, seed, console):
    """Writes new rows of a generative model; see `kerasae generate --help`."""
    autoencoder = load_model(model)
    rows = autoencoder.generate(count, seed, verbose=_verbose())
    if output.suffix == ".png":
        figure = plots.images(rows, _image_shape(autoencoder))
        _write(output, lambda file: figure.savefig(file, dpi=120, format="png"))
    else:
        rows = rows.reshape(count, -1)
        names = autoencoder.columns or [f"column_{i}" for i in range(rows.shape[1])]
        _write_table(dict(zip(names, rows.T, strict=True)), output)
    console.print(f"{count} rows: {output}", soft_wrap=True, highlight=False)


def _image_shape(autoencoder):
    """Height and width of the images that a model's rows are; a square's where they are flat."""
    if len(autoencoder.row_shape) == 3 and autoencoder.row_shape[2] == 1:
        return autoencoder.row_shape[:2]
    columns = math.prod(autoencoder.row_shape)
    side = math.isqrt(columns)
    if side * side != columns:
        raise ValueError(
            f"rows of {columns} columns are no square images (--output); expected a table; try "
            "--output rows.csv"
        )
    return side, side


def _worst(columns):
    """The five rows with the highest scores, as a table to print."""
    shown = ("row", "anomaly_score", "p_value", "is_anomaly", "worst_column")
    table = Table(*(name.replace("_", " ") for name in shown))
    for row in np.argsort(-columns["anomaly_score"])[:5]:
        values = (columns[name][row] for name in shown)
        table.add_row(*(f"{v:.5g}" if isinstance(v, np.floating) else str(v) for v in values))
    return table


def _pictures(autoencoder, rows, scores):
    worst = np.argsort(-scores.anomaly_score)[:5]
    pair = rows.x[worst], autoencoder.reconstruct(rows.x[worst])
    if not rows.image_shape:
        # Columns of a table have units of their own: only their scaled values share an axis.
        pair = (ops.convert_to_numpy(scale(autoencoder.scaler, x)) for x in pair)
    return {
        "errors": plots.error_histogram(
            scores.anomaly_score,
            threshold=autoencoder.anomaly.threshold,
            quantity="anomaly score",
        ),
        "worst": plots.worst_rows(
            *pair,
            scores.reconstruction_error[worst],
            image_shape=rows.image_shape,
            numbers=worst,
        ),
    }


def _write_table(columns, path):
    table = pyarrow.table(columns)
    writers = {
        ".npy": lambda file: np.save(file, np.stack(list(columns.values()), axis=1)),
        ".csv": lambda file: csv.write_csv(table, file),
        ".parquet": lambda file: parquet.write_table(table, file),
    }
    _write(path, writers[path.suffix])


def _write(path, writer):
    """Writes a file beside its place and then renames it, so that it is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            writer(file)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def info(model, console):
    """Prints the manifest of a saved model; see `kerasae info --help`."""
    table = Table("what", "value")
    told = read_manifest(model)
    if "files" in told:
        told["files"] = f"{verify(newest(model))}, as they were written"
    for what, value in told.items():
        table.add_row(what, _text(value))
    console.print(table)


def _text(value):
    if isinstance(value, dict):
        return "\n".join(f"{name} {number:.5g}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value in (None, "") else str(value)
