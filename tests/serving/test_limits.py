import contextlib
import http.client
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from kerasae.serving import Server
from serving.client import predict, send

LIMIT = 10_000


@pytest.fixture
def start(plain):
    """Starts a server with low limits; a request runs alone, and two may wait."""
    with contextlib.ExitStack() as stack:

        def start(deadline):
            limits = {"max_body": LIMIT, "queue": 2, "deadline": deadline, "batch_rows": 1}
            return stack.enter_context(Server(plain, rest_port=0, grpc_port=0, **limits))

        yield start


@pytest.fixture
def small(start):
    return start(deadline=60)


@contextlib.contextmanager
def held(server):
    """Lets no request of the model end; gives its queue, and events: one runs, it may end."""
    running, free = threading.Event(), threading.Event()
    with server.store.lease("plain") as loaded:
        run = loaded.batcher.run

        def wait_and_run(*arguments):
            running.set()
            assert free.wait(60)
            return run(*arguments)

        loaded.batcher.run = wait_and_run
        try:
            yield loaded.batcher, running, free
        finally:
            free.set()
            loaded.batcher.run = run


def rest_status(server):
    return predict(server.url, "plain", {"instances": [0]})[0]


def rpc_code(server):
    try:
        assert rpc(server, [0]).tolist() == [3]
    except grpc.RpcError as error:
        return error.code().name
    return "OK"


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
    # The length of chunks is not known beforehand.
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


@pytest.mark.parametrize(
    ("call", "refused", "served"),
    [(rest_status, 429, 200), (rpc_code, "RESOURCE_EXHAUSTED", "OK")],
)
def test_a_full_queue_refuses_further_requests_only(small, until, call, refused, served):
    with ThreadPoolExecutor(3) as pool, held(small) as (batcher, running, free):
        requests = [pool.submit(call, small)]
        assert running.wait(60)
        requests += [pool.submit(call, small) for _ in range(2)]
        until(lambda: len(batcher._waiting) == 2)
        assert [call(small) for _ in range(5)] == [refused] * 5
        free.set()
        assert [request.result(60) for request in requests] == [served] * 3
    assert call(small) == served


@pytest.mark.parametrize(
    ("call", "late", "served"), [(rest_status, 504, 200), (rpc_code, "DEADLINE_EXCEEDED", "OK")]
)
def test_requests_that_run_or_wait_past_the_deadline_end(start, until, call, late, served):
    server = start(deadline=0.5)
    with ThreadPoolExecutor(2) as pool, held(server):
        assert list(pool.map(call, [server] * 2)) == [late] * 2
    until(lambda: call(server) == served)


def test_a_graph_that_runs_past_the_deadline_is_504(start, tmp_path_factory):
    server = start(deadline=2)
    gate = tmp_path_factory.mktemp("gate") / "open"
    try:
        body = {"signature_name": "gate", "instances": [str(gate)]}
        status, response = predict(server.url, "plain", body)
        # The graph still runs: the gate is closed.
        assert status == 504
        assert "deadline" in response["error"]
    finally:
        gate.touch()


def test_a_client_that_does_not_send_its_body_is_504(start):
    server = start(deadline=0.5)
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as client:
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
    """A message of one value that means four gigabytes."""
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
        ("GET", "/nothing", 404),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/models/plain/versions/x", 404),
        ("POST", "/v1/models/../plain:predict", 404),
    ],
)
def test_other_methods_and_paths(server, method, path, status):
    got, response = send(server.url, method, path, b"{}" if method == "POST" else None)
    assert (got, list(response)) == (status, ["error"])


def test_ports_that_are_taken_are_named(server, models):
    with pytest.raises(OSError, match=f"--rest-port must be .*, port {server.rest_port}. Try"):
        Server(models, rest_port=server.rest_port, grpc_port=0).start()
    with pytest.raises(OSError, match=f"--grpc-port must be .*, port {server.grpc_port}. Try"):
        Server(models, rest_port=0, grpc_port=server.grpc_port).start()


@pytest.mark.parametrize("option", ["queue", "deadline", "batch_rows", "max_body", "poll"])
def test_limits_have_a_range(models, option):
    for value in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=f"{option} must be finite and at least .*={value}"):
            Server(models, **{option: value})
