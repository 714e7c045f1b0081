"""Responses as TF Serving writes them: arrays as JSON."""

import base64
import json
from collections.abc import Mapping

import numpy as np

from kerasae.serving.requests import invalid


def write_response(outputs: Mapping[str, np.ndarray], rows: bool) -> bytes:
    """The body of the response to a predict request.

    JSON has no infinity and no NaN: they are the texts "Infinity", "-Infinity" and "NaN", as in the
    JSON of protocol buffers.

    Args:
        outputs: An array by name of the output.
        rows: Whether the request had the row form.

    Returns:
        Bytes of a JSON object.

    Raises:
        RefusedError: The request had the row form, and outputs differ in their leading dimension;
            or values are of a type that JSON cannot hold.

    Example:
        >>> write_response({"error": np.array([0.1, 0.5], "float32")}, rows=True)
        b'{"predictions": [0.1, 0.5]}'
    """
    if rows and len({array.shape[:1] or None for array in outputs.values()} | {None}) != 2:
        raise invalid(
            "outputs must have the same batch size in the row form. "
            f"Received: shapes {[array.shape for array in outputs.values()]}. "
            "Try the column form, 'inputs'"
        )
    columns = {name: _plain(array, name) for name, array in outputs.items()}
    if len(columns) == 1:
        content = next(iter(columns.values()))
    elif rows:
        content = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    else:
        content = columns
    body = json.dumps({"predictions" if rows else "outputs": content}, allow_nan=False)
    return body.encode()


def _plain(array, name):
    """Lists of an array; floats have the fewest digits that identify them in their dtype."""
    if array.dtype.kind == "O":
        binary = name.endswith("_bytes")
        texts = [
            {"b64": base64.b64encode(value).decode()}
            if binary
            else value.decode("utf-8", "replace")
            for value in array.ravel()
        ]
        plain = np.empty(len(texts), object)
        plain[:] = texts
        return plain.reshape(array.shape).tolist()
    if array.dtype.kind == "c":
        raise invalid(
            f"output '{name}' must be of a type that JSON can hold. Received: {array.dtype}"
        )
    if array.dtype.kind not in "fiub":
        array = array.astype("float32")
    if array.dtype in (np.float16, np.float32):
        array = array.astype(str).astype("float64")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        plain = array.astype(object)
        for value, text in ((np.inf, "Infinity"), (-np.inf, "-Infinity")):
            plain[array == value] = text
        plain[np.isnan(array)] = "NaN"
        return plain.tolist()
    return array.tolist()
