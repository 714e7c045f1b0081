"""Random requests, bounded in count, over the loopback only."""

import json
import random
from pathlib import Path
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.client import predict, send
from serving.test_process import serve  # noqa: F401

# Requests that succeed: model, signature, and inputs of three rows.
GOOD = [
    ("half_plus_three", "", {"x": np.float32([1, 2, 3])}),
    ("half_plus_three", "two", {"a": np.ones((3, 2), "float32"), "b": np.int32([1, 2, 3])}),
    ("half_plus_three", "small", {"u": np.ones((3, 3), "uint8")}),
    ("stacked", "anomaly_score", {"rows": np.ones((3, 8), "float32")}),
    ("variational", "generate", {"seed": np.int32([1, 2, 3])}),
]
MODELS = ["half_plus_three", "stacked", "variational", "nothing", "..", "%2e%2e%2fstacked"]
SIGNATURES = ["", "serving_default", "two", "small", "text", "encode", "decode", "generate", "x"]
NAMES = ["x", "a", "b", "u", "text", "rows", "codings", "seed", "b64", ""]
PREDICT = "/tensorflow.serving.PredictionService/Predict"
# For bytes that are not a message, Python's gRPC server gives INTERNAL.
CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED"}


def value(draw, depth=0):
    """Any JSON, numbers and lists more often than not."""
    kind = draw.randrange(12 if depth < 4 else 6)
    if kind < 6:
        return draw.choice(
            [0, 1, -1, 0.5, 255, 2**31, 2**70, 1e308, None, True, "", "\ud800", "text", 10**400]
        )
    if kind < 10:
        one = value(draw, depth + 1)
        same = draw.random() < 0.6
        return [one if same else value(draw, depth + 1) for _ in range(draw.choice([0, 1, 2, 8]))]
    return {draw.choice(NAMES): value(draw, depth + 1) for _ in range(draw.randrange(3))}


def body(draw):
    document = {draw.choice(["instances", "inputs", "instances", "rows"]): value(draw)}
    if draw.random() < 0.3:
        document = {"instances": [[draw.random() for _ in range(8)]] * draw.randrange(4)}
    if draw.random() < 0.7:
        document["signature_name"] = draw.choice([*SIGNATURES, 7])
    content = json.dumps(document).encode()
    if draw.random() < 0.3:
        content = bytearray(content)
        for _ in range(draw.randrange(1, 4)):
            content[draw.randrange(len(content))] = draw.randrange(256)
        content = bytes(content)[: draw.randrange(len(content) + 1)]
    return content


def good_message(draw):
    model, signature, inputs = draw.choice(GOOD)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array[: draw.randrange(1, 4)]))
    return request.SerializeToString()


def good_rest(draw, url):
    model, signature, inputs = draw.choice(GOOD)
    rows = draw.randrange(1, 4)
    columns = {name: array[:rows].tolist() for name, array in inputs.items()}
    status, response = predict(url, model, {"signature_name": signature, "inputs": columns})
    assert (status, list(response)) == (200, ["outputs"])


def rest(draw, url):
    if draw.random() < 0.3:
        return good_rest(draw, url)
    path = f"/v1/models/{draw.choice(MODELS)}"
    path += draw.choice(["", "", "/versions/1", "/versions/" + "9" * 30, "/labels/x"])
    path += draw.choice([":predict"] * 6 + ["/metadata", "", ":classify"])
    if draw.random() < 0.05:
        path = "/" + quote(bytes(draw.randrange(256) for _ in range(9)))
    method = draw.choice(["POST"] * 8 + ["GET", "PUT"])
    status, response = send(url, method, path, body(draw) if method != "GET" else None)
    assert status in (200, 400, 404, 405, 429), (status, response, path)
    assert status == 200 or list(response) == ["error"]
    return None


def message(draw):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw.choice(["half_plus_three", "stacked", "variational", "nothing"])
    request.model_spec.signature_name = draw.choice(SIGNATURES)
    if draw.random() < 0.2:
        request.model_spec.version.value = draw.choice([0, 1, 123, -1])
    if draw.random() < 0.2:
        request.output_filter.append(draw.choice(["y", "codings", ""]))
    for _ in range(draw.randrange(3)):
        tensor = request.inputs[draw.choice(NAMES)]
        shape = draw.choice([(), (1,), (2, 8), (1, 2), (0, 8), (3, 3)])
        dtype = draw.choice(["float32", "int32", "uint8", "float64", "bool"])
        tensor.CopyFrom(tf.make_tensor_proto(np.ones(shape, dtype)))
        if draw.random() < 0.3:
            tensor.dtype = draw.randrange(26)
        if draw.random() < 0.3:
            tensor.tensor_shape.dim.add(size=draw.choice([-1, 0, 2, 2**40]))
        if draw.random() < 0.2:
            tensor.tensor_content = bytes(draw.randrange(9))
    content = request.SerializeToString()
    if draw.random() < 0.3:
        content = content[: draw.randrange(len(content) + 1)]
    return content


def rpc(draw, call):
    content = good_message(draw) if draw.random() < 0.3 else message(draw)
    try:
        predict_pb2.PredictRequest.FromString(content)
        codes = CODES
    except Exception:
        codes = {"INTERNAL"}
    try:
        call(content, timeout=20)
        code = "OK"
    except grpc.RpcError as error:
        code = error.code().name
    assert code in codes, (code, content)


def fuzz(url, address, count, seed=0):
    """Sends so many requests, by REST and gRPC in turn, and checks every response."""
    draw = random.Random(seed)
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(PREDICT)
        for number in range(count):
            if number % 2:
                rest(draw, url)
            else:
                rpc(draw, call)


def test_random_requests_succeed_or_are_refused(server):
    fuzz(server.url, server.grpc_address, 300)
    assert predict(server.url, "half_plus_three", {"instances": [1]})[0] == 200


def memory(process):
    """Kilobytes that a process holds."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.slow
def test_many_random_requests_do_not_grow_the_server(serve, models):  # noqa: F811
    process, url, text = serve(models)
    address = text.split("gRPC ")[1].split()[0]
    fuzz(url, address, 1000, seed=1)
    before = memory(process)
    fuzz(url, address, 10_000, seed=2)
    assert process.poll() is None
    assert predict(url, "half_plus_three", {"instances": [1]})[0] == 200
    assert memory(process) < 1.1 * before
