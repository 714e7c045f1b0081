"""SavedModels, which run in TF Serving without Python and without kerasae."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae.export.manifest import manifest, write_manifest
from kerasae.export.named import named_signatures
from kerasae.layers.base import walk
from kerasae.methods.features import layer_functions
from kerasae.models import Autoencoder
from kerasae.validation import required

Signatures = dict[str, tuple[Callable[[Any], dict[str, Any]], Any]]


def write_saved_model(
    model: Autoencoder,
    folder: Path,
    metrics: Mapping[str, float] | None = None,
    *,
    features: Sequence[str] = (),
    name: str = "model",
) -> None:
    """Writes the SavedModel, its warm-up requests and its manifest into a folder.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        metrics: Numbers by name for the manifest, or None.
        features: Names of layers for the signature `features`.
        name: What a server calls the model.

    Raises:
        ModuleNotFoundError: TensorFlow is missing.
        ValueError: Weights are not finite.
    """
    required("tensorflow", "a SavedModel")
    model._check_weights()
    served = served_signatures(model, features)
    write_graph(model, served, folder)
    _write_warmup(folder, name, {signature: spec for signature, (_, spec) in served.items()})
    write_manifest(folder, {**manifest(model, metrics), "signatures": list(served)})


def write_graph(model: Autoencoder, served: Signatures, folder: str | Path) -> None:
    """Writes a SavedModel of signatures and nothing else.

    Args:
        model: The `Autoencoder` whose weights they use.
        served: A dict as `signatures` makes it.
        folder: Path of the folder.
    """
    archive = keras.export.ExportArchive()
    tracked = [model]
    if keras.backend.backend() == "tensorflow":
        # For lookup tables alone. To look for them in a model, Keras would trace it once more.
        tracked = [layer for layer in walk(model) if not isinstance(layer, keras.Model)]
    for layer in dict.fromkeys(layer for layer in tracked if layer.built):
        archive.track(layer)
    for signature, (function, spec) in served.items():
        archive.add_endpoint(signature, function, input_signature=[spec])
    # TensorFlow logs every time that there are no assets.
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel("WARNING")
    try:
        archive.write_out(str(folder), verbose=False)
    finally:
        logger.setLevel(level)


def _write_warmup(folder, name, specs):
    """Writes one row a signature, which TF Serving replays before it serves a version."""
    import tensorflow as tf  # noqa: PLC0415
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2  # noqa: PLC0415

    directory = Path(folder) / "assets.extra"
    directory.mkdir()
    with tf.io.TFRecordWriter(str(directory / "tf_serving_warmup_requests")) as writer:
        for signature, spec in specs.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for one in spec.values() if isinstance(spec, dict) else (spec,):
                row = np.zeros((1, *one.shape[1:]), "S1" if one.dtype == "string" else one.dtype)
                request.inputs[one.name].CopyFrom(tf.make_tensor_proto(row))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())


def served_signatures(model: Autoencoder, features: Sequence[str] = ()) -> dict[str, Any]:
    """The signatures of a SavedModel: of tables by names of columns, and of codes as `NAME_codes`.

    Args:
        model: An `Autoencoder`.
        features: Names of layers for the signature `features`.

    Returns:
        A dict by name of the signature: a function, and a `keras.InputSpec` or a dict of them.
    """
    plain = signatures(model, features)
    # On other backends Keras translates functions of its own operations alone.
    if model.schema is None or keras.backend.backend() != "tensorflow":
        return plain
    of_codings: dict[str, Any] = {
        name: plain.pop(name) for name in ("decode", "generate") if name in plain
    }
    del plain["serving_default"]
    of_codes = {f"{name}_codes": one for name, one in plain.items()}
    served: dict[str, Any] = dict(named_signatures(model, features))
    served |= of_codes
    served |= of_codings
    return served


def signatures(model: Autoencoder, features: Sequence[str] = ()) -> Signatures:
    """The signatures of an exported model; `kerasae.export_saved_model` lists them.

    Args:
        model: An `Autoencoder`.
        features: Names of layers for the signature `features`.

    Returns:
        A dict by name of the signature: a function of one tensor, and a `keras.InputSpec` of it.
    """

    def named(name, shape, dtype="float32"):
        return keras.InputSpec(shape=(None, *shape), dtype=dtype, name=name)

    rows = named("rows", model.row_shape)
    endpoints = {name: (function, rows) for name, function in model._endpoints.items()}
    if model.schema is None:
        pixels = named("rows", model.row_shape, "uint8")
        endpoints["encode_uint8"] = (model._endpoints["encode"], pixels)
    if features:
        endpoints["features"] = (layer_functions(model, features), rows)
    codings = named("codings", model.decoder.input_shape[1:])
    decode = {"decode": (lambda h: {"reconstruction": model._reconstruction_of(h)}, codings)}
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
        return {"reconstruction": model._reconstruction_of(model.prior(noise))}

    return generate
