"""ONNX and LiteRT files of a model, for runtimes without Python, Keras and TensorFlow."""

import importlib.util
import json
import re
import tempfile
from pathlib import Path

from kerasae.export import MANIFEST, manifest, publish, write_graph
from kerasae.portable import portable_signatures

LITERT_FILE = "model.tflite"


def export_onnx(model, directory, version=None, figures=None):
    r"""Writes a model as ONNX files, one for each signature, for ONNX Runtime and its like.

    The folder appears whole or not at all. Names, shapes and units of inputs and outputs are those
    of `export_saved_model`, with any batch: `encode.onnx`, `reconstruct.onnx`,
    `reconstruction_error.onnx`, `decode.onnx`, and `anomaly_score.onnx` after `anomaly.calibrate`.
    `generate` is left out: ONNX has no draws by seed. `manifest.json` names what is left out, and
    why. Answers agree with the model's to rounding: a row whose score lies that near to a
    calibrated one, or to the threshold, may fall on its other side. A model in mixed precision is
    written in float32.

    Args:
        model: An `Autoencoder`.
        directory: Folder of the versions; made if need be. Not one that TF Serving watches.
        version: Number of the version, at least 1; by default the next free one.
        figures: Numbers by name, to keep in the manifest beside those of the last `fit`.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        ModuleNotFoundError: tf2onnx is missing: `pip install 'kerasae[onnx]'`.
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1, weights are not finite, Keras
            runs on another backend than TensorFlow, or ONNX can express none of the signatures.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> folder = export_onnx(model, tempfile.mkdtemp())  # doctest: +SKIP
        >>> onnxruntime.InferenceSession(folder / "encode.onnx")  # doctest: +SKIP
    """
    return publish(lambda folder: write_onnx(model, folder, figures), directory, version)


def export_litert(model, directory, version=None, figures=None):
    """Writes a model as one LiteRT file, `model.tflite`, for telephones and small devices.

    As in `export_onnx`, with the signatures side by side in one file. It needs the built-in
    operators of LiteRT only, no Flex delegate; a signature that would need more is left out and
    named in `manifest.json`. Writing needs TensorFlow alone, `kerasae[litert]` brings the runtime.

    Args:
        model: An `Autoencoder`.
        directory: Folder of the versions; made if need be. Not one that TF Serving watches.
        version: Number of the version, at least 1; by default the next free one.
        figures: Numbers by name, to keep in the manifest beside those of the last `fit`.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1, weights are not finite, Keras
            runs on another backend than TensorFlow, or LiteRT can express none of the signatures.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> folder = export_litert(model, tempfile.mkdtemp())
        >>> sorted(path.name for path in folder.iterdir())
        ['manifest.json', 'model.tflite']
    """
    return publish(lambda folder: write_litert(model, folder, figures), directory, version)


def write_onnx(model, folder, figures=None):
    """Writes the ONNX files and the manifest into a folder; see `export_onnx`.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        figures: Numbers by name for the manifest, or None.

    Raises:
        ModuleNotFoundError: tf2onnx is missing.
        ValueError: Weights are not finite, or there is nothing to write.
    """
    if importlib.util.find_spec("tf2onnx") is None:
        raise ModuleNotFoundError(
            "no tf2onnx (ONNX export); expected it beside TensorFlow; try "
            "pip install 'kerasae[onnx]'"
        )
    endpoints, left_out = portable_signatures(model, "ONNX")
    written = []
    for name, endpoint in endpoints.items():
        try:
            content = _onnx(*endpoint)
        # What a converter raises at a layer that it does not know is any class of error.
        except Exception as error:
            left_out[name] = _first_line(error)
        else:
            (Path(folder) / f"{name}.onnx").write_bytes(content)
            written.append(name)
    own = {"format": "onnx", "signatures": written, "left_out": left_out}
    _write_manifest(model, folder, figures, own)


def write_litert(model, folder, figures=None):
    """Writes the LiteRT file and the manifest into a folder; see `export_litert`.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        figures: Numbers by name for the manifest, or None.

    Raises:
        ValueError: Weights are not finite, or there is nothing to write.
    """
    endpoints, left_out = portable_signatures(model, "LiteRT")
    with tempfile.TemporaryDirectory() as saved_model:
        write_graph(model, endpoints, saved_model)
        names = list(endpoints)
        try:
            content = _litert(saved_model, names)
        except Exception:
            failed = {name: why for name in names if (why := _refusal(saved_model, name))}
            left_out.update(failed)
            names = [name for name in names if name not in failed]
            content = _litert(saved_model, names) if names else b""
    (Path(folder) / LITERT_FILE).write_bytes(content)
    own = {"format": "litert", "signatures": names, "left_out": left_out}
    _write_manifest(model, folder, figures, own)


def _onnx(function, spec):
    import onnx  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415
    import tf2onnx  # noqa: PLC0415
    from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415

    row = tf.TensorSpec(spec.shape, spec.dtype, spec.name)
    traced = tf.function(function, autograph=False).get_concrete_function(row)
    # Of a function, tf2onnx would make inputs of the constants that a Normalization keeps.
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    inputs, outputs = ([one.name for one in side] for side in (frozen.inputs, frozen.outputs))
    names = [spec.name, *sorted(traced.structured_outputs)]
    log = tf.get_logger()
    level = log.level
    # It calls what TensorFlow has deprecated.
    log.setLevel("ERROR")
    try:
        graph, _ = tf2onnx.convert.from_graph_def(
            frozen.graph.as_graph_def(),
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=dict(zip((*inputs, *outputs), names, strict=True)),
        )
    finally:
        log.setLevel(level)
    for value in (*graph.graph.input, *graph.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    # The converter passes on what it does not know.
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def _litert(saved_model, names):
    import tensorflow as tf  # noqa: PLC0415

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model, signature_keys=names)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()


def _refusal(saved_model, name):
    """Why LiteRT cannot express a signature, or nothing."""
    try:
        _litert(saved_model, [name])
    except Exception as error:
        operators = re.findall(r"(?:TF Select|Custom) ops: (.+)", str(error))
        known = f"no built-in operator of LiteRT for {', '.join(operators)}"
        return known if operators else _first_line(error)
    return ""


def _first_line(error):
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _write_manifest(model, folder, figures, own):
    if not own["signatures"]:
        reasons = "; ".join(f"{name}: {why}" for name, why in own["left_out"].items())
        raise ValueError(
            f"no signature that {own['format']} can express ({reasons}); try saved_model"
        )
    text = json.dumps({**manifest(model, figures), **own}, indent=2, default=str)
    (Path(folder) / MANIFEST).write_text(text + "\n", encoding="utf-8")
