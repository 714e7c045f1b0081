"""Bodies on their way in and out: gzip, and values that JSON has no word for."""

import gzip
import http.client
import json
import tracemalloc
import zlib
from urllib.parse import urlsplit

import numpy as np
import pytest
import tensorflow as tf

from kerasae.serving import Server
from kerasae.serving.requests import RefusedError
from kerasae.serving.responses import write_response
from serving.client import predict

BODY = b'{"instances": [0]}'
LIMIT = 100_000
GZIP = {"Content-Encoding": "gzip"}


@pytest.fixture
def small(plain):
    with Server(plain, rest_port=0, grpc_port=0, max_body=LIMIT) as server:
        yield server


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip", " gzip "])
def test_gzip_bodies_are_taken(small, encoding):
    """Case 55."""
    headers = {"Content-Encoding": encoding}
    for level in (0, 1, 9):
        body = gzip.compress(BODY, level)
        assert predict(small.url, "plain", body, headers=headers) == (200, {"predictions": [3.0]})
    chunks = iter([body[:5], body[5:]])
    assert predict(small.url, "plain", chunks, headers=headers)[0] == 200


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_plain_bodies_may_say_so(small, encoding):
    assert predict(small.url, "plain", BODY, headers={"Content-Encoding": encoding})[0] == 200


def test_a_gzip_body_is_bounded_packed_and_unpacked(small):
    """Cases 37, 52 and 55."""
    padded = BODY + b" " * (LIMIT - len(BODY))
    assert predict(small.url, "plain", gzip.compress(padded), headers=GZIP)[0] == 200
    for body in (padded + b" ", padded * 10_000):
        status, response = predict(small.url, "plain", gzip.compress(body), headers=GZIP)
        assert (status, list(response)) == (413, ["error"])
    bomb = gzip.compress(bytes(80 << 20))
    assert len(bomb) < LIMIT
    tracemalloc.start()
    try:
        assert predict(small.url, "plain", bomb, headers=GZIP)[0] == 413
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "body",
    [
        BODY,
        b"\x1f\x8b",
        gzip.compress(BODY)[:-3],
        gzip.compress(BODY)[:10],
        gzip.compress(BODY)[:-8] + bytes(8),
        gzip.compress(BODY) + b"x",
        gzip.compress(BODY) * 2,
        zlib.compress(BODY),
        gzip.compress(gzip.compress(BODY)),
        gzip.compress(b""),
        gzip.compress(b"[1"),
    ],
    ids=range(11),
)
def test_damaged_gzip_bodies_are_400(small, body):
    """Cases 35 and 55."""
    status, response = predict(small.url, "plain", body, headers=GZIP)
    assert (status, list(response)) == (400, ["error"])


@pytest.mark.parametrize("encoding", ["deflate", "br", "gzip, gzip", "zstd", "x" * 5000])
def test_other_encodings_are_refused_by_name(small, encoding):
    """Case 55."""
    headers = {"Content-Encoding": encoding}
    status, response = predict(small.url, "plain", BODY, headers=headers)
    assert status == 400
    assert f"plain or gzip. Received: {encoding[:40]}" in response["error"]
    assert len(response["error"]) < 200


class Foreign(tf.Module):
    """Outputs of all kinds."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def values(self, x):
        return {
            "text": tf.constant("one"),
            "texts": tf.fill(tf.shape(x), "each"),
            "sum": tf.reduce_sum(x),
            "log": tf.math.log(x),
            "half": tf.cast(x, tf.bfloat16),
            "image_bytes": tf.constant(b"\xff"),
            "table": tf.constant([[1, 2]]),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def log(self, x):
        return {"log": tf.math.log(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def text(self, x):
        return {"text": tf.constant("one")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def number(self, x):
        return {"sum": tf.reduce_sum(x)}

    @tf.function(input_signature=[])
    def constant(self):
        return {"text": tf.constant("one")}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, "x")])
    def scalar(self, x):
        return {"y": 2 * x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def complex(self, x):
        return {"z": tf.complex(x, x)}


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    folder = tmp_path_factory.mktemp("foreign")
    module = Foreign()
    names = ("values", "log", "text", "number", "constant", "scalar", "complex")
    signatures = {name: getattr(module, name) for name in names}
    tf.saved_model.save(module, str(folder / "foreign" / "1"), signatures)
    with Server(folder, rest_port=0, grpc_port=0) as server:
        yield server


def columns(server, signature, inputs):
    body = {"signature_name": signature, "inputs": inputs}
    status, response = predict(server.url, "foreign", body)
    assert status == 200, response
    return response["outputs"]


def test_scalar_and_text_outputs_are_given_by_columns(foreign):
    """Case 55."""
    assert columns(foreign, "values", [1, 0, -1]) == {
        "text": "one",
        "texts": ["each"] * 3,
        "sum": 0.0,
        "log": [0.0, "-Infinity", "NaN"],
        "half": [1.0, 0.0, -1.0],
        "image_bytes": {"b64": "/w=="},
        "table": [[1, 2]],
    }
    assert columns(foreign, "text", [1]) == "one"
    assert columns(foreign, "number", [1, 2]) == 3.0
    assert columns(foreign, "constant", {}) == "one"
    assert columns(foreign, "scalar", 2.5) == 5.0
    assert columns(foreign, "scalar", {"x": 2.5}) == 5.0


@pytest.mark.parametrize("signature", ["values", "text", "number"])
def test_scalar_outputs_by_rows_are_refused_with_a_hint(foreign, signature):
    """Case 55."""
    body = {"signature_name": signature, "instances": [1, 2]}
    status, response = predict(foreign.url, "foreign", body)
    assert status == 400
    assert "Try the column form, 'inputs'" in response["error"]


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_outputs_that_json_cannot_hold_are_refused_by_name(foreign, key):
    """Case 55."""
    status, response = predict(foreign.url, "foreign", {"signature_name": "complex", key: [1, 2]})
    assert status == 400
    assert (
        "output 'z' must be of a type that JSON can hold. Received: complex64" in response["error"]
    )


def test_infinite_outputs_are_valid_json(foreign):
    """Cases 42 and 55."""
    connection = http.client.HTTPConnection(urlsplit(foreign.url).netloc, timeout=20)
    body = json.dumps({"signature_name": "log", "instances": [1, 0, -1]})
    connection.request("POST", "/v1/models/foreign:predict", body)
    content = connection.getresponse().read()
    connection.close()

    def refuse(constant):
        raise AssertionError(constant)

    predictions = json.loads(content, parse_constant=refuse)["predictions"]
    assert predictions == [0.0, "-Infinity", "NaN"]
    assert [float(one) for one in predictions][1] == -np.inf


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_value_of_every_float_is_written(dtype):
    """Cases 45 and 55."""
    limits = np.finfo(dtype)
    values = [0.0, -0.0, 0.1, limits.max, limits.min, limits.tiny, np.inf, -np.inf, np.nan]
    array = np.array([values, values], dtype)
    (written,) = json.loads(write_response({"y": array}, rows=False)).values()
    np.testing.assert_array_equal(np.array(written, "float64").astype(dtype), array)


def test_complex_values_are_not_cut_to_their_real_part():
    with pytest.raises(RefusedError, match="output 'z' must .*complex128"):
        write_response({"z": np.array([1 + 2j])}, rows=True)


@pytest.mark.parametrize("host", ["", " ", None, "\t"])
def test_an_empty_host_is_refused(plain, host):
    """It would mean every address of this machine."""
    with pytest.raises(ValueError, match="host .--host. must be an address .*Try 127.0.0.1"):
        Server(plain, host=host)


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1", "127.0.0.1:80", "*"])
def test_a_host_that_is_not_of_this_machine_is_named(plain, host):
    server = Server(plain, host=host, rest_port=0, grpc_port=0)
    with pytest.raises(OSError, match="host .--host. must be .*of this machine. Received: host="):
        server.start()
