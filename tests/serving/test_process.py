"""The command, in a process of its own."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from kerasae.cli import serve as kerasae_serve
from serving.client import send

COMMAND = """
import sys
sys.argv = ["kerasae", "serve", *sys.argv[1:]]
from kerasae.cli import main
try:
    main()
finally:
    keras_code = {"kerasae.layers", "kerasae.models", "kerasae.export"}
    print(*sorted(keras_code & set(sys.modules)), "no Keras code")
"""
PORTS = ("--rest-port", "0", "--grpc-port", "0")


@pytest.fixture
def serve():
    """Starts the command; gives its process, address and output once it serves."""
    processes = []

    def serve(folder, *options):
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, folder, *PORTS, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("gRPC"):
                break
        text = "".join(lines)
        assert "REST" in text, text
        return process, re.search(r"REST (http://[^/\s]+)", text)[1], text

    yield serve
    for process in processes:
        process.kill()
        process.communicate()


def taken_up(url, body):
    """A request that the server has begun to read: it has sent its 100 Continue."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    content = json.dumps(body).encode()
    connection.putrequest("POST", "/v1/models/plain:predict")
    connection.putheader("Content-Length", str(len(content)))
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"
    connection.send(content)
    return connection


def refuses(url):
    try:
        send(url, "GET", "/v1/models/plain")
    except OSError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_lets_requests_in_flight_end(serve, plain, tmp_path_factory, until, number):
    process, url, text = serve(plain, "--batch-rows", "1", "--deadline", "120")
    assert "loading plain version 1" in text
    assert "plain 1\n" in text
    assert "Could not find cuda" not in text
    gate = tmp_path_factory.mktemp("gate") / "open"
    body = {"signature_name": "gate", "instances": [str(gate)]}
    try:
        running = taken_up(url, body)
        waiting = taken_up(url, {"instances": [0]})
        process.send_signal(number)
        until(lambda: refuses(url))
        assert process.poll() is None
    finally:
        gate.touch()
    for connection, value in ((running, True), (waiting, 3.0)):
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())) == (200, {"predictions": [value]})
        connection.close()
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert rest.splitlines()[-2:] == ["stopped", "no Keras code"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["nowhere"],
            "folder must exist and hold NAME/VERSION folders. Received: folder='nowhere'",
        ),
        ([".", "--rest-port", "70000"], "must lie in [0, 65535]. Received: --rest-port=70000"),
        ([".", "--label", "stable=3"], "must be NAME:LABEL=VERSION. Received: --label='stable=3'"),
        ([".", "--queue", "0"], "queue must be finite and at least 1. Received: queue=0"),
        ([".", "--queue", "x"], "Invalid value for '--queue'"),
        ([".", "--load-limit", "0"], "load_limit must be finite and at least 0.001. Received"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(mistake, arguments, message):
    assert message in mistake("serve", *arguments)


def test_the_limit_of_loading_is_an_option(kerasae, monkeypatch, tmp_path):
    """Case 56 of faults.md."""
    limits = []
    monkeypatch.setattr(
        kerasae_serve, "_run", lambda server: limits.append(server.store.load_limit)
    )
    assert kerasae("serve", tmp_path, *PORTS, "--load-limit", "7.5")[0] == 0
    assert kerasae("serve", tmp_path, *PORTS)[0] == 0
    assert limits == [7.5, 120]


def test_a_missing_library_names_the_extra(kerasae, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("kerasae.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, err = kerasae("serve", tmp_path)
    assert status == 2
    assert "uvicorn must be installed for kerasae.serving. Try pip install 'kerasae[serve]'" in err
