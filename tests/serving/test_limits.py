import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving.client import send, predict
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from kerasae.serving import Server

LIMIT = 10_000


@pytest.fixture
def small(plain):
    with Server(
        plain, rest_port=0, grpc_port=0, max_body=LIMIT, queue=2, deadline=0.5, batch_rows=1
    ) as server:
        yield server


@pytest.fixture
def held(small):
    """Keeps the model of the small server busy until it is set."""
    free = threading.Event()
    with small.store.lease("plain") as loaded:
        run = loaded.batcher.run
        loaded.batcher.run = lambda *arguments: free.wait(20) and run(*arguments)
        yield free
        free.set()


def rpc(server, x, timeout=20):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "plain"
    request.inputs["x"].CopyFrom(proto(x) if isinstance(x, list) else x)
    with grpc.insecure_channel(server.grpc_address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return tf.make_ndarray(stub.Predict(request, timeout).outputs["y"])


def proto(x):
    return tf.make_tensor_proto(np.float32(x))


def test_a_body_over_the_limit_is_413(small, monkeypatch):
    parsed = []
    monkeypatch.setattr("kerasae.serving.rest.read_document", parsed.append)
    for size in (LIMIT + 1, 3 * LIMIT):
        status, response = predict(small.url, "plain", b"[" * size)
        assert (status, list(response)) == (413, ["error"])
    # Chunks tell no length beforehand.
    chunks = (b"[" * 1000 for _ in range(LIMIT // 1000 + 1))
    assert predict(small.url, "plain", chunks)[0] == 413
    assert not parsed


def test_an_announced_body_is_refused_before_it_is_sent(small):
    connection = http.client.HTTPConnection(urlsplit(small.url).netloc, timeout=20)
    connection.putrequest("POST", "/v1/models/plain:predict")
    connection.putheader("Content-Length", str(10**12))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_at_the_limit_is_taken(small):
    body = b'{"instances": [0]}'
    assert predict(small.url, "plain", body + b" " * (LIMIT - len(body)))[0] == 200
    chunks = iter([body[:5], body[5:]])
    assert predict(small.url, "plain", chunks) == (200, {"predictions": [3.0]})


def test_a_full_queue_is_429(small, held):
    def timed(_):
        return predict(small.url, "plain", {"instances": [0]})[0]

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(timed, range(8)))
    # One runs and two wait, past the deadline.
    assert sorted(statuses) == [429] * 5 + [504] * 3
    held.set()
    assert predict(small.url, "plain", {"instances": [0]})[0] == 200


def test_a_full_queue_is_resource_exhausted(small, held):
    def code(_):
        with pytest.raises(grpc.RpcError) as refused:
            rpc(small, [0])
        return refused.value.code().name

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(code, range(8)))
    assert sorted(codes) == ["DEADLINE_EXCEEDED"] * 3 + ["RESOURCE_EXHAUSTED"] * 5
    held.set()
    assert rpc(small, [0]).tolist() == [3]


def test_a_graph_that_runs_past_the_deadline_is_504(small):
    body = {"signature_name": "slow", "instances": [10**6]}
    began = time.monotonic()
    status, response = predict(small.url, "plain", body)
    assert (status, time.monotonic() - began < 5) == (504, True)
    assert "deadline" in response["error"]


def test_a_client_that_does_not_send_its_body_is_504(small):
    with socket.create_connection(("127.0.0.1", small.rest_port), timeout=20) as client:
        client.sendall(
            b"POST /v1/models/plain:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 504")


def test_a_message_over_the_limit_is_resource_exhausted(small):
    for x in (proto(np.zeros(LIMIT)), bomb()):
        with pytest.raises(grpc.RpcError) as refused:
            rpc(small, x)
        assert refused.value.code().name in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")


def bomb():
    """A message of one value that stands for four gigabytes."""
    message = proto([1])
    message.tensor_shape.dim[0].size = 10**9
    return message


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models/plain:predict", 405),
        ("DELETE", "/v1/models/plain", 405),
        ("POST", "/v1/models/plain/metadata", 405),
        ("POST", "/v1/models/plain:explode", 404),
        ("POST", "/v1/models/plain:classify", 404),
        ("GET", "/", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/v1/models/plain/versions/x", 404),
        ("POST", "/v1/models/../plain:predict", 404),
    ],
)
def test_other_methods_and_paths(server, method, path, status):
    got, response = send(server.url, method, path, b"{}" if method == "POST" else None)
    assert (got, list(response)) == (status, ["error"])


def test_ports_that_are_taken_are_named(server, models):
    with pytest.raises(OSError, match=f"port {server.rest_port} .--rest-port.; expected"):
        Server(models, rest_port=server.rest_port, grpc_port=0).start()
    with pytest.raises(OSError, match=f"port {server.grpc_port} .--grpc-port.; expected"):
        Server(models, rest_port=0, grpc_port=server.grpc_port).start()


@pytest.mark.parametrize("option", ["queue", "deadline", "batch_rows", "max_body", "poll"])
def test_limits_have_a_range(models, option):
    for value in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"out of range .{option}.; expected"):
            Server(models, **{option: value})
