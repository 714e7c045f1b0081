"""Answers in TF Serving's words: arrays as JSON."""

import base64
import json

import numpy as np

from kerasae.serving.requests import invalid


def write_answer(outputs, rows):
    """The body that answers a predict request.

    Args:
        outputs: An array by name of the output.
        rows: Whether the row form was asked.

    Returns:
        Bytes of a JSON object.

    Raises:
        RefusedError: The row form was asked, and outputs differ in their leading dimension.

    Example:
        >>> write_answer({"error": np.array([0.1, 0.5], "float32")}, rows=True)
        b'{"predictions": [0.1, 0.5]}'
    """
    if rows and len({array.shape[:1] or None for array in outputs.values()} | {None}) != 2:
        raise invalid("outputs differ in their batch size; try the column form, 'inputs'")
    columns = {name: _plain(array, name) for name, array in outputs.items()}
    if len(columns) == 1:
        answer = next(iter(columns.values()))
    elif rows:
        answer = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
    else:
        answer = columns
    return json.dumps({"predictions" if rows else "outputs": answer}).encode()


def _plain(array, name):
    """Lists of an array; floats have the fewest digits that tell them apart in their dtype."""
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
    if array.dtype.kind not in "fiub":
        array = array.astype("float32")
    if array.dtype in (np.float16, np.float32):
        array = array.astype(str).astype("float64")
    return array.tolist()
