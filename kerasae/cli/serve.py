"""`kerasae serve`."""

import logging
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import console, quiet, say


def serve(
    folder: Annotated[Path, typer.Argument(help="Folder of NAME/VERSION/ SavedModels.")] = Path(
        "saved_models"
    ),
    rest_port: Annotated[int, typer.Option(help="Port of REST; 0 for any.")] = 8501,
    grpc_port: Annotated[int, typer.Option(help="Port of gRPC; 0 for any.")] = 8500,
    host: Annotated[
        str, typer.Option(help="Address to listen at. There is no authentication.")
    ] = "127.0.0.1",
    label: Annotated[
        list[str] | None, typer.Option(help="NAME:stable=3 keeps version 3 and serves the label.")
    ] = None,
    max_body: Annotated[float, typer.Option(help="MiB that a request may have.")] = 32,
    queue: Annotated[int, typer.Option(help="Requests that may wait for a model.")] = 256,
    deadline: Annotated[float, typer.Option(help="Seconds that a request may take.")] = 30,
    batch_rows: Annotated[
        int, typer.Option(help="Rows that run together; 1 runs every request by itself.")
    ] = 128,
    batch_wait: Annotated[
        float, typer.Option(help="Milliseconds that a request waits for others.")
    ] = 2,
    load_limit: Annotated[
        float, typer.Option(help="Seconds that a new version may take to load and to be tried.")
    ] = 120,
) -> None:
    """Serves saved models over REST and gRPC: a TF-Serving-compatible subset for laptops."""
    labels = dict(map(_label, label or ()))
    for option, port in (("--rest-port", rest_port), ("--grpc-port", grpc_port)):
        if not 0 <= port < 65536:
            raise ValueError(f"{option} must lie in [0, 65535]. Received: {option}={port}")
    if not 0 < max_body < 2**30:
        raise ValueError(
            f"--max-body must lie in (0, {2**30}). Received: --max-body={max_body}. Try 32"
        )
    logging.basicConfig(format="%(asctime)s %(message)s", level="WARNING", stream=sys.stderr)
    logging.getLogger("kerasae.serving").setLevel("INFO")
    # It logs a traceback for each damaged message; the client has the error already.
    logging.getLogger("grpc._common").setLevel("CRITICAL")
    with quiet("starting TensorFlow"):
        # TensorFlow imports Keras; as a part of this import that does not load kerasae's layers.
        from kerasae.serving.server import Server, is_loopback

        # isort: split
        import tensorflow as tf

        tf.constant(0)
    server = Server(
        folder,
        host=host,
        rest_port=rest_port,
        grpc_port=grpc_port,
        max_body=round(max_body * 2**20),
        queue=queue,
        deadline=deadline,
        batch_rows=batch_rows,
        batch_wait=batch_wait / 1000,
        labels=labels,
        load_limit=load_limit,
    )
    if not is_loopback(host):
        console.print(f"warning: no authentication, anyone who can reach {host} can use the models")
    _run(server)


def _run(server):
    """Serves until SIGTERM or SIGINT; a second one ends the process at once."""
    stopped = threading.Event()

    def stop(number, _):
        signal.signal(number, signal.SIG_DFL)
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with server:
        for name, numbers in server.store.available().items():
            console.print(f"{name} {', '.join(map(str, numbers))}", soft_wrap=True)
        say(f"page {server.url}/")
        say(f"REST {server.url}/v1/models")
        say(f"gRPC {server.grpc_address}")
        stopped.wait()
        console.print("stopping: requests in flight end first")
    console.print("stopped")


def _label(text):
    match = re.fullmatch(r"([^/:=]+):([^/:=]+)=([0-9]{1,18})", text)
    if not match:
        raise ValueError(
            f"--label must be NAME:LABEL=VERSION. Received: --label={text!r}. Try digits:stable=3"
        )
    name, label, version = match.groups()
    return (name, label), int(version)
