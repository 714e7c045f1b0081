"""LiteRT files of a model, for telephones and small devices."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from kerasae.export.portable import first_line, portable_signatures, write_portable_manifest
from kerasae.export.saved_model import write_graph
from kerasae.models import Autoencoder
from kerasae.validation import required

LITERT_FILE = "model.tflite"


def write_litert(
    model: Autoencoder, folder: Path, metrics: Mapping[str, float] | None = None
) -> None:
    """Writes the LiteRT file and the manifest into a folder; see `kerasae.export_litert`.

    Args:
        model: An `Autoencoder`.
        folder: Path of the folder.
        metrics: Numbers by name for the manifest, or None.

    Raises:
        ModuleNotFoundError: TensorFlow is missing.
        ValueError: Weights are not finite, or there is nothing to write.
    """
    required("tensorflow", "LiteRT export")
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
    write_portable_manifest(
        model, folder, metrics, format="litert", signatures=names, left_out=left_out
    )


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
        return known if operators else first_line(error)
    return ""
