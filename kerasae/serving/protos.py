"""TF Serving's messages: tensors, the status of versions, the signatures of a model."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from kerasae.serving.requests import invalid
from kerasae.serving.saved_model import Bundle
from kerasae.serving.store import State

# How TF Serving prints its messages as JSON.
AS_TF_SERVING = {
    "preserving_proto_field_name": True,
    "always_print_fields_with_no_presence": True,
}
# Where a tensor message keeps values that clients read by hand.
FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "object": "string_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int32", "int16", "int8", "uint16", "uint8"), "int_val"),
}


def read_tensor(message: TensorProto, name: str, max_bytes: int) -> np.ndarray:
    """The array of a tensor message.

    Args:
        message: A `TensorProto`.
        name: Name of the input, for errors.
        max_bytes: Bytes that the array may have: a message of one value can mean a large array.

    Returns:
        A NumPy array.

    Raises:
        RefusedError: The message is damaged or its array too large.
    """
    try:
        dtype = np.dtype(tf.as_dtype(message.dtype).as_numpy_dtype)
        shape = [dim.size for dim in message.tensor_shape.dim]
        if message.tensor_shape.unknown_rank or min(shape, default=0) < 0:
            raise ValueError("a tensor of unknown shape")
        if math.prod(shape) * dtype.itemsize > max_bytes:
            raise ValueError(f"shape {shape}, of over {max_bytes} bytes, the limit")
        return tf.make_ndarray(message)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise invalid(f"input '{name}' must be a tensor. Received: {error}") from None


def write_tensor(array: np.ndarray) -> TensorProto:
    """The tensor message of an array."""
    field = FIELDS.get(array.dtype.name)
    if field is None:
        return tf.make_tensor_proto(array)
    message = TensorProto(dtype=tf.as_dtype(array.dtype).as_datatype_enum)
    message.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
    getattr(message, field).extend(array.ravel().tolist())
    return message


def model_spec(name: str, number: int, signature: str = "") -> model_pb2.ModelSpec:
    """The message that names a version and signature."""
    spec = model_pb2.ModelSpec(name=name, signature_name=signature)
    spec.version.value = number
    return spec


def signature_map(bundle: Bundle) -> get_model_metadata_pb2.SignatureDefMap:
    """The message of the signatures of a SavedModel."""
    return get_model_metadata_pb2.SignatureDefMap(signature_def=bundle.signature_defs)


def model_status(states: Mapping[int, State]) -> get_model_status_pb2.GetModelStatusResponse:
    """The message of the states of versions.

    Args:
        states: A `State` by number of the version.

    Returns:
        A `GetModelStatusResponse`.
    """
    message = get_model_status_pb2.GetModelStatusResponse()
    for number, state in states.items():
        one = message.model_version_status.add(version=number, state=state.name)
        # 2 is UNKNOWN: TensorFlow's errors for a damaged folder have several codes.
        one.status.error_code = 2 if state.error else 0
        one.status.error_message = state.error
    return message
