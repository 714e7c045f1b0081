"""Numbered SavedModels for serving, written whole or not at all."""

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from kerasae._version import __version__
from kerasae.door import check_count

MANIFEST = "manifest.json"
KERAS_FILE = "model.keras"


def export_saved_model(model, directory, version=None, figures=None):
    r"""Writes a model as a SavedModel that runs without Python and without kerasae.

    The folder appears whole or not at all: it is written beside its place and then renamed. Every
    signature takes `rows`, float32 of shape (batch, *row_shape) with any batch, in the user's
    units, unless the table says otherwise, treats them one by one, and names its output. A seed
    gives the same row whatever stands beside it:

    | signature | output | shape |
    |---|---|---|
    | `serving_default`, `encode` | `codings` | (batch, codings) |
    | `reconstruct` | `reconstruction` | (batch, *row_shape), in the user's units |
    | `reconstruction_error` | `reconstruction_error` | (batch,), on the scaled values |
    | `anomaly_score`, after `anomaly.calibrate` | `anomaly_score`, `reconstruction_error`, \
    `p_value`, `is_anomaly` | (batch,) |
    | | `feature_errors` | (batch, *row_shape), on the scaled values |
    | `decode`, of `codings` (batch, codings) | `reconstruction` | (batch, *row_shape) |
    | `generate`, of `seed`, int32 (batch,), where the codings have a prior | `reconstruction` | \
    (batch, *row_shape) |

    Args:
        model: An `Autoencoder`.
        directory: Folder of the model's versions, `saved_models/NAME`; made if need be.
        version: Number of the version, at least 1; by default the next free one.
        figures: Numbers by name, to keep in the manifest beside those of the last `fit`.

    Returns:
        Path of the folder, `directory/version`. `manifest.json` in it tells the versions of kerasae
        and Keras, shape and names of the columns, scaler, layout and training figures.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1, or weights are not finite.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> export_saved_model(model, tempfile.mkdtemp() + "/demo").name
        '1'
    """
    return publish(lambda folder: write_saved_model(model, folder, figures), directory, version)


def publish(write, directory, version=None):
    """Makes a numbered folder appear whole: TF Serving loads a new number within a second.

    Args:
        write: Function that fills the folder whose path it is given.
        directory: Folder of the versions; made if need be.
        version: Number of the version, or None for the next free one.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1.
    """
    check_count("version", version)
    directory = Path(directory)
    final = directory / str(next_version(directory) if version is None else int(version))
    _refuse_existing(final)
    directory.mkdir(parents=True, exist_ok=True)
    beside = directory / f".{final.name}.{os.getpid()}"
    try:
        beside.mkdir()
        write(beside)
        for path in beside.rglob("*"):
            _flush(path)
        _refuse_existing(final)
        beside.rename(final)
        _flush(directory)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return final


def versions(directory):
    """The numbers of the versions in a folder, in order; empty where there is no such folder."""
    directory = Path(directory)
    names = (path.name for path in directory.iterdir()) if directory.is_dir() else ()
    return sorted(int(name) for name in names if name.isdecimal())


def next_version(directory):
    """The number after the highest version in a folder, 1 where there is none."""
    return max(versions(directory), default=0) + 1


def _refuse_existing(folder):
    if folder.exists():
        raise FileExistsError(
            f"version {folder.name} exists ({folder}); expected a new number; try version "
            f"{next_version(folder.parent)}"
        )


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def write_saved_model(model, folder, figures=None):
    """Writes the SavedModel and its manifest into a folder; see `export_saved_model`.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        figures: Numbers by name for the manifest, or None.

    Raises:
        ValueError: Weights are not finite.
    """
    model.check_weights()
    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, (function, spec) in signatures(model).items():
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(folder), verbose=False)
    text = json.dumps(manifest(model, figures), indent=2, default=str)
    (Path(folder) / MANIFEST).write_text(text + "\n", encoding="utf-8")


def signatures(model):
    """What an exported model answers.

    Args:
        model: An `Autoencoder`.

    Returns:
        A dict by name of the signature: a function of one tensor, and a `keras.InputSpec` of it.
    """

    def named(name, shape, dtype="float32"):
        return keras.InputSpec(shape=(None, *shape), dtype=dtype, name=name)

    rows = named("rows", model.row_shape)
    endpoints = {name: (function, rows) for name, function in model.endpoints.items()}
    codings = named("codings", model.decoder.input_shape[1:])
    decode = {"decode": (lambda h: {"reconstruction": model.reconstruction_of(h)}, codings)}
    # TensorFlow draws a row's codings from its seed; other backends cannot within one graph.
    draws = model.prior is not None and keras.backend.backend() == "tensorflow"
    generate = {"generate": (_generate(model), named("seed", (), "int32"))} if draws else {}
    return {"serving_default": endpoints["encode"], **endpoints, **decode, **generate}


def _generate(model):
    import tensorflow as tf  # noqa: PLC0415

    def uniform(seed):
        return tf.random.stateless_uniform([model.prior.uniforms], [seed, 0])

    def generate(seed):
        noise = tf.map_fn(uniform, seed, fn_output_signature=tf.float32)
        return {"reconstruction": model.reconstruction_of(model.prior(noise))}

    return generate


def manifest(model, figures=None):
    """What is worth knowing of a model without loading it.

    Args:
        model: An `Autoencoder`.
        figures: Numbers by name to add to those of the last `fit`.

    Returns:
        A dict that JSON can hold.
    """
    history = getattr(model, "history", None)
    last = {name: float(values[-1]) for name, values in history.history.items()} if history else {}
    scaler = model.scaler
    return {
        "name": model.name,
        "kerasae": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "row_shape": list(model.row_shape),
        "columns": None if model.columns is None else list(model.columns),
        "layout": layout(model),
        "codings": int(np.prod(model.encoder.output_shape[1:])),
        "scaler": None if scaler is None else type(scaler).__name__,
        "threshold": model.anomaly.threshold if model.anomaly.fitted else None,
        "parameters": model.count_params(),
        "epochs": len(history.epoch) if history else 0,
        "signatures": list(signatures(model)),
        "figures": {**last, **(figures or {})},
    }


def layout(model):
    """The widths of the hidden layers, or filters of the convolutions, "300-100-300"."""
    layers = model.encoder.layers
    half = [getattr(one, "units", getattr(one, "filters", None)) for one in layers]
    half = [str(width) for width in half if width is not None]
    return "-".join(half + half[-2::-1])
