"""The command, in a process of its own."""

import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from serving.client import predict

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
    """Starts the command; responses its process and address once it serves."""
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


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_lets_requests_in_flight_end(serve, plain, number):
    process, url, text = serve(plain, "--batch-rows", "1")
    assert "loading plain version 1" in text
    assert "plain 1\n" in text
    assert "Could not find cuda" not in text
    responses = []
    body = {"signature_name": "slow", "instances": [150_000]}
    threads = [
        threading.Thread(target=lambda: responses.append(predict(url, "plain", body)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert not responses
    process.send_signal(number)
    time.sleep(0.2)
    with pytest.raises(OSError):
        predict(url, "plain", {"instances": [0]})
    for thread in threads:
        thread.join(30)
    assert responses == [(200, {"predictions": [150_000]})] * 2
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert rest.splitlines()[-2:] == ["stopped", "no Keras code"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such folder (nowhere); expected"),
        ([".", "--rest-port", "70000"], "70000 is no port (--rest-port); expected"),
        ([".", "--label", "stable=3"], "'stable=3' (--label); expected NAME:LABEL=VERSION; try"),
        ([".", "--queue", "0"], "0 is out of range (queue); expected at least 1"),
        ([".", "--queue", "x"], "Invalid value for '--queue'"),
    ],
)
def test_mistakes_end_with_status_2_and_one_line(mistake, arguments, words):
    assert words in mistake("serve", *arguments)


def test_a_missing_library_names_the_extra(kerasae, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("kerasae.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    status, _, err = kerasae("serve", tmp_path)
    assert status == 2
    assert "try pip install 'kerasae[serve]'" in err
