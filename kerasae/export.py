"""Numbered SavedModels for serving, written whole or not at all."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np

from kerasae._version import __version__
from kerasae.features import layer_functions
from kerasae.publishing import MANIFEST, publish

KERAS_FILE = "model.keras"


def export_saved_model(model, directory, version=None, figures=None, features=()):
    r"""Writes a model as a SavedModel that runs without Python and without kerasae.

    The folder appears whole or not at all: it is written beside its place and then renamed. Every
    signature takes `rows`, float32 of shape (batch, *row_shape) with any batch, in the user's
    units, unless the table says otherwise, treats them one by one, and names its output. A seed
    gives the same row whatever stands beside it:

    | signature | output | shape |
    |---|---|---|
    | `serving_default`, `encode` | `codings` | (batch, codings) |
    | `encode_uint8`, of uint8 `rows` | `codings` | (batch, codings) |
    | `features`, of the layers asked for | the layers' names | (batch, ...) |
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
        features: Names of layers whose outputs the signature `features` gives.

    Returns:
        Path of the folder, `directory/version`. `manifest.json` in it tells the versions of kerasae
        and Keras, shape and names of the columns, scaler, layout, training figures, and the sha256
        of every file, which `kerasae.verify` compares. One row for each signature lies in
        `assets.extra`, with which TF Serving warms up before it serves the version.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1, or weights are not finite.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> export_saved_model(model, tempfile.mkdtemp() + "/demo").name
        '1'
    """
    name = Path(directory).name

    def write(folder):
        write_saved_model(model, folder, figures, features=features, name=name)

    return publish(write, directory, version)


def write_saved_model(model, folder, figures=None, *, features=(), name="model"):
    """Writes the SavedModel, its warm-up and its manifest into a folder.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        figures: Numbers by name for the manifest, or None.
        features: Names of layers for the signature `features`.
        name: What a server calls the model.

    Raises:
        ValueError: Weights are not finite.
    """
    model.check_weights()
    served = signatures(model, features)
    write_graph(model, served, folder)
    _write_warmup(folder, name, {signature: spec for signature, (_, spec) in served.items()})
    told = {**manifest(model, figures), "signatures": list(served)}
    text = json.dumps(told, indent=2, default=str)
    (Path(folder) / MANIFEST).write_text(text + "\n", encoding="utf-8")


def write_graph(model, served, folder):
    """Writes a SavedModel of signatures and nothing else.

    Args:
        model: The `Autoencoder` whose weights they use.
        served: A dict as `signatures` makes it.
        folder: Path of the folder.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    for signature, (function, spec) in served.items():
        archive.add_endpoint(signature, function, input_signature=[spec])
    # TensorFlow tells every time that there are no assets, to both streams of a notebook.
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel("WARNING")
    try:
        archive.write_out(str(folder), verbose=False)
    finally:
        logger.setLevel(level)


def _write_warmup(folder, name, specs):
    """One row a signature, as TF Serving replays them before it serves a version."""
    import tensorflow as tf  # noqa: PLC0415
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # noqa: PLC0415

    directory = Path(folder) / "assets.extra"
    directory.mkdir()
    with tf.io.TFRecordWriter(str(directory / "tf_serving_warmup_requests")) as writer:
        for signature, spec in specs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            row = tf.zeros((1, *spec.shape[1:]), spec.dtype)
            request.inputs[spec.name].CopyFrom(tf.make_tensor_proto(row))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def signatures(model, features=()):
    """What an exported model answers.

    Args:
        model: An `Autoencoder`.
        features: Names of layers for the signature `features`.

    Returns:
        A dict by name of the signature: a function of one tensor, and a `keras.InputSpec` of it.
    """

    def named(name, shape, dtype="float32"):
        return keras.InputSpec(shape=(None, *shape), dtype=dtype, name=name)

    rows = named("rows", model.row_shape)
    endpoints = {name: (function, rows) for name, function in model.endpoints.items()}
    pixels = named("rows", model.row_shape, "uint8")
    endpoints["encode_uint8"] = (model.endpoints["encode"], pixels)
    if features:
        endpoints["features"] = (layer_functions(model, features), rows)
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
