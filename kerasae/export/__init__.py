"""Exporting and loading: SavedModel, ONNX and LiteRT in numbered folders, and Keras files."""

from kerasae.export.load import KERAS_FILE, load_model, read_manifest
from kerasae.export.publish import (
    FORMATS,
    export_litert,
    export_onnx,
    export_saved_model,
    publish_model,
)
from kerasae.export.tf_serving import write_serving_files
from kerasae.export.versions import verify, versions

__all__ = [
    "FORMATS",
    "KERAS_FILE",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "load_model",
    "publish_model",
    "read_manifest",
    "verify",
    "versions",
    "write_serving_files",
]
