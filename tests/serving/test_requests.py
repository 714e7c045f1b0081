import json

import numpy as np
import pytest

from kerasae.serving.requests import RefusedError, Spec, read_arrays, read_document
from kerasae.serving.responses import write_response

SPECS = {"x": Spec((None, 2), np.dtype("float32"))}


@pytest.mark.parametrize(
    "content",
    [
        b'{"instances": [[NaN, 1]]}',
        b'{"instances": [[-Infinity, 1]]}',
        b'{"instances": [[1e999, 1]]}',
        b'{"instances": ' + b"[" * 100_000,
        b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}",
        b'{"instances": [[' + b"9" * 10_000 + b", 1]]}",
        b'{"instances": [[' + b"9" * 400 + b", 1]]}",
        b'{"instances": [["\xff", 1]]}',
        b'{"instances": [[[], []]]}',
        b'{"instances": [[1, [2]]]}',
        b'{"instances": [[1, 2], [3, 4, 5]]}',
        b'{"instances": [[{"b64": "AA=="}, 1]]}',
        b'{"inputs": {"x": [[1, 2]], "z": 1}}',
    ],
    ids=range(13),
)
def test_what_is_not_a_row_is_refused(content):
    with pytest.raises(RefusedError) as refused:
        read_arrays(read_document(content), SPECS)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("dtype", "good", "bad"),
    [
        ("uint8", [0, 255], [-1, 256, 1.0, True, "1"]),
        ("int32", [-(2**31), 2**31 - 1], [2**31, 1.5, False]),
        ("int64", [-(2**63), 2**63 - 1], [2**63]),
        ("bool", [True, False], [1, 0.0]),
        ("float32", [3.4e38, -1], [3.5e38, True]),
        ("float64", [1e308], [None]),
    ],
)
def test_values_keep_their_type(dtype, good, bad):
    specs = {"x": Spec((None,), np.dtype(dtype))}
    rows, arrays = read_arrays({"instances": good}, specs)
    assert rows
    np.testing.assert_array_equal(arrays["x"], np.array(good, dtype))
    assert arrays["x"].dtype == dtype
    for value in bad:
        with pytest.raises(RefusedError, match="input 'x'"):
            read_arrays({"instances": [value]}, specs)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"age": 31}, "Received: without job$"),
        ({"age": 31, "jb": "clerk"}, "Received: without job, with jb$"),
        ({"age": 31, "job": 7}, "input 'job' must be string of shape .any.. Received: 7"),
    ],
)
def test_what_is_wrong_with_a_row_by_names_is_said(row, said):
    specs = {"age": Spec((None,), np.dtype("float32")), "job": Spec((None,), np.dtype(object))}
    with pytest.raises(RefusedError, match=said):
        read_arrays({"instances": [row]}, specs)


def test_floats_are_written_as_short_as_they_are():
    values = np.float32([0.1, 1 / 3, 1e30, -2, np.pi])
    content = write_response({"y": values}, rows=True)
    assert content.startswith(b'{"predictions": [0.1, 0.33333334, 1e+30, -2.0, ')
    np.testing.assert_array_equal(np.float32(json.loads(content)["predictions"]), values)


def test_bytes_are_written_as_tf_serving_does():
    outputs = {"image_bytes": np.array([b"\xff"], object)}
    assert json.loads(write_response(outputs, rows=True)) == {"predictions": [{"b64": "/w=="}]}


def test_rows_of_unlike_outputs_are_refused():
    with pytest.raises(RefusedError, match="batch size"):
        write_response({"a": np.zeros(2), "b": np.zeros(3)}, rows=True)
