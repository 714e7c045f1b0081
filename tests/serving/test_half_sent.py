"""Requests that are sent by halves end at the deadline and hold up no other."""

import contextlib
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from kerasae.serving import Server
from kerasae.serving.rpc import THREADS
from serving.client import predict

PREDICT = "/tensorflow.serving.PredictionService/Predict"
HEAD = b"POST /v1/models/plain:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 18\r\n"
BODY = b'{"instances": [0]}'
HALVES = {
    "nothing": b"",
    "half a line": b"POST /v1/mod",
    "half the headers": HEAD,
    "half a header": HEAD + b"X-Name: va",
    "no body": HEAD + b"\r\n",
    "half the body": HEAD + b"\r\n" + BODY[:5],
    "half a chunk": HEAD.replace(b"Content-Length: 18", b"Transfer-Encoding: chunked")
    + b"\r\n12\r\n{",
    "half after a whole one": HEAD + b"\r\n" + BODY + b"GET /v1",
    "half a TLS greeting": b"\x16\x03\x01\x02\x00\x01",
}


@pytest.fixture
def server(plain):
    with Server(plain, rest_port=0, grpc_port=0, deadline=1.0) as server:
        yield server


def closed_after(client, begun):
    """Seconds until the server has closed a connection, and what it sent."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(65536):
            received += part
    return time.monotonic() - begun, received


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("case", HALVES)
def test_a_half_sent_request_is_closed_at_the_deadline(server, case):
    """Case 55."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as client:
        client.sendall(HALVES[case])
        assert predict(server.url, "plain", {"instances": [0]})[0] == 200
        seconds, received = closed_after(client, begun)
    assert seconds < 8
    if "body" in case or "chunk" in case:
        assert received.startswith(b"HTTP/1.1 504")


@pytest.mark.parametrize("case", ["half the headers", "half the body"])
def test_a_request_that_trickles_is_closed_at_the_deadline(server, case):
    """Case 55: a byte now and then is no request."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as client:
        client.sendall(HALVES[case] + (b"\r\nX: " if "headers" in case else b""))
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 15:
                client.sendall(b"a")
                time.sleep(0.1)
    assert time.monotonic() - begun < 8


def test_whole_requests_over_one_connection_are_not_closed(server):
    whole = HEAD + b"\r\n" + BODY
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as client:
        for part in (whole, whole[:20], whole[20:], whole + whole):
            client.sendall(part)
            time.sleep(0.7)
        received = client.recv(65536)
        assert received.count(b"HTTP/1.1 200") == 4


def test_many_half_sent_requests_hold_up_no_other(server):
    """Case 55."""
    with contextlib.ExitStack() as stack:
        for half in list(HALVES.values()) * 20:
            address = ("127.0.0.1", server.rest_port)
            client = stack.enter_context(socket.create_connection(address, timeout=20))
            client.sendall(half)
        assert predict(server.url, "plain", {"instances": [0]})[0] == 200


@pytest.mark.parametrize("greeting", [b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_half_sent_greeting_of_grpc_is_closed_at_the_deadline(server, greeting):
    """Case 55."""
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.grpc_port), timeout=20) as client:
        client.sendall(greeting)
        assert closed_after(client, begun)[0] < 8


def request():
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "plain"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([0])))
    return request.SerializeToString()


def test_calls_without_their_message_end_and_hold_up_no_other(server):
    """Case 55: more of them than there are threads."""
    free, codes = threading.Event(), []

    def never():
        free.wait(60)
        yield request()

    with grpc.insecure_channel(server.grpc_address) as channel:
        stuck = [channel.stream_unary(PREDICT).future(never()) for _ in range(2 * THREADS)]
        response = channel.unary_unary(PREDICT)(request(), timeout=15)
        assert predict_pb2.PredictResponse.FromString(response).outputs["y"].float_val == [3]
        for call in stuck:
            with pytest.raises(grpc.RpcError) as ended:
                call.result(timeout=30)
            codes.append(ended.value.code())
        free.set()
    assert set(codes) == {grpc.StatusCode.CANCELLED}


def test_calls_without_any_message_are_refused(server):
    with grpc.insecure_channel(server.grpc_address) as channel:
        with pytest.raises(grpc.RpcError) as refused:
            channel.stream_unary(PREDICT)(iter(()), timeout=10)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
