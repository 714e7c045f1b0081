"""ONNX files of a model, for ONNX Runtime and its like."""

from collections.abc import Mapping
from pathlib import Path

from kerasae.export.portable import first_line, portable_signatures, write_portable_manifest
from kerasae.models import Autoencoder
from kerasae.validation import required


def write_onnx(
    model: Autoencoder, folder: Path, metrics: Mapping[str, float] | None = None
) -> None:
    """Writes the ONNX files and the manifest into a folder; see `kerasae.export_onnx`.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        metrics: Numbers by name for the manifest, or None.

    Raises:
        ModuleNotFoundError: tf2onnx is missing.
        ValueError: Weights are not finite, or there is nothing to write.
    """
    required("tf2onnx", "ONNX export", extra="onnx")
    endpoints, left_out = portable_signatures(model, "ONNX")
    written = []
    for name, endpoint in endpoints.items():
        try:
            content = _onnx(*endpoint)
        # A converter can raise any class of error at a layer that it does not know.
        except Exception as error:
            left_out[name] = first_line(error)
        else:
            (Path(folder) / f"{name}.onnx").write_bytes(content)
            written.append(name)
    write_portable_manifest(
        model, folder, metrics, format="onnx", signatures=written, left_out=left_out
    )


def _onnx(function, spec):
    import onnx  # noqa: PLC0415
    import tensorflow as tf  # noqa: PLC0415
    import tf2onnx  # noqa: PLC0415
    from tensorflow.python.framework import convert_to_constants  # noqa: PLC0415

    row = tf.TensorSpec(spec.shape, spec.dtype, spec.name)
    traced = tf.function(function, autograph=False).get_concrete_function(row)
    # `from_function` would turn the constants of a Normalization into inputs.
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    inputs, outputs = ([one.name for one in side] for side in (frozen.inputs, frozen.outputs))
    names = [spec.name, *sorted(traced.structured_outputs)]
    log = tf.get_logger()
    level = log.level
    # tf2onnx calls deprecated functions of TensorFlow, which warn.
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
    # The converter writes operators that it does not know without an error.
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()
