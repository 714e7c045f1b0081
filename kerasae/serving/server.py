"""The REST and gRPC endpoints of one store, started and stopped together."""

import errno
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import uvicorn

from kerasae.serving.http import protocol
from kerasae.serving.loading import versions
from kerasae.serving.rest import Rest
from kerasae.serving.rpc import Endpoint
from kerasae.serving.store import Store


class Server:
    """Serves a folder of `NAME/VERSION/` SavedModels as TF Serving does, or a subset of it.

    There is no authentication: keep it on the loopback, or behind a proxy that authenticates.

    Args:
        folder: Folder of the models.
        host: Address to listen at, or the name of one.
        rest_port: Port of REST, 0 for any free one.
        grpc_port: Port of gRPC, 0 for any free one.
        max_body: Bytes that a request's body may have.
        queue: Requests that may wait for a model; further ones are refused.
        deadline: Seconds that a request may take.
        batch_rows: Rows that run together at most; 1 runs every request by itself.
        batch_wait: Seconds that a request waits for others.
        labels: Versions by name of the model and label, `{("digits", "stable"): 3}`.
        poll: Seconds between looks at the folder.
        load_limit: Seconds that a new version may take to load and to run a row of each signature.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: The folder is that of a single model, the host is empty, or a number is out of
            its range.

    Example:
        >>> import tempfile, urllib.request, kerasae
        >>> folder = tempfile.mkdtemp()
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> path = kerasae.export_saved_model(model, folder + "/demo")
        >>> with Server(folder, rest_port=0, grpc_port=0) as server:
        ...     status = urllib.request.urlopen(server.url + "/v1/models/demo").status
        >>> status
        200
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        rest_port: int = 8501,
        grpc_port: int = 8500,
        max_body: int = 32 << 20,
        queue: int = 256,
        deadline: float = 30.0,
        batch_rows: int = 128,
        batch_wait: float = 0.002,
        labels: Mapping[tuple[str, str], int] | None = None,
        poll: float = 1.0,
        load_limit: float = 120.0,
    ) -> None:
        _check_folder(Path(folder))
        # An empty host would mean every address of this machine.
        if not isinstance(host, str) or not host.strip():
            raise ValueError(
                f"host (--host) must be an address to listen at. Received: host={host!r}. "
                "Try 127.0.0.1"
            )
        for name, value, least in (
            ("max_body", max_body, 1),
            ("queue", queue, 1),
            ("deadline", deadline, 0.001),
            ("batch_rows", batch_rows, 1),
            ("batch_wait", batch_wait, 0),
            ("poll", poll, 0.001),
            ("load_limit", load_limit, 0.001),
        ):
            if not least <= value < float("inf"):
                raise ValueError(
                    f"{name} must be finite and at least {least}. Received: {name}={value}"
                )
        batching = {"queue": queue, "batch_rows": batch_rows, "batch_wait": batch_wait}
        self.store = Store(folder, labels, poll, batching, load_limit)
        self.host = host.strip()
        self.rest_port = rest_port
        self.grpc_port = grpc_port
        self.max_body = max_body
        self.queue = queue
        self.deadline = deadline
        self._rest: Any = None

    @property
    def url(self) -> str:
        """Address of REST, without a path."""
        return f"http://{self._address(self.rest_port)}"

    @property
    def grpc_address(self) -> str:
        """Address of gRPC, as `grpc.insecure_channel` takes it."""
        return self._address(self.grpc_port)

    def _address(self, port):
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Loads the models, then opens both ports.

        Raises:
            OSError: A port is taken, or the host is no address of this machine.
        """
        listener = self._listen()
        try:
            self.store.start()
            self._rpc = Endpoint(
                self.store, self.grpc_address, self.max_body, self.deadline, self.queue
            )
            self.grpc_port = self._rpc.port
        except BaseException as error:
            listener.close()
            self.store.close()
            if isinstance(error, OSError):
                raise _taken(self.host, self.grpc_port, "grpc") from None
            raise
        application = Rest(self.store, self.max_body, self.deadline)
        config = uvicorn.Config(
            application,
            http=protocol(self.deadline),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=max(1, round(self.deadline)),
        )
        self._rest = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._rest.run, args=([listener],), name="rest", daemon=True
        )
        self._thread.start()
        while not self._rest.started and self._thread.is_alive():
            time.sleep(0.005)

    def stop(self) -> None:
        """Closes both ports, and lets the requests in flight end within the deadline."""
        self._rest.should_exit = True
        ended = self._rpc.stop(self.deadline)
        self._thread.join(self.deadline + 2)
        ended.wait(self.deadline + 2)
        self.store.close(self.deadline)

    def _listen(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Named as TCP: only then does asyncio turn Nagle's delay off, 40 ms a response.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.rest_port))
        except OSError as error:
            listener.close()
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise OSError(
                    "host (--host) must be an address of this machine. "
                    f"Received: host={self.host!r}. Try 127.0.0.1"
                ) from None
            raise _taken(self.host, self.rest_port, "rest") from None
        self.rest_port = listener.getsockname()[1]
        return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _taken(host, port, protocol):
    return OSError(
        f"--{protocol}-port must be a free port of this machine. "
        f"Received: {host}, port {port}. Try --{protocol}-port 0"
    )


def _check_folder(folder):
    if not folder.is_dir():
        raise FileNotFoundError(
            "folder must exist and hold NAME/VERSION folders. "
            f"Received: folder={str(folder)!r}. Try kerasae train"
        )
    if any((path / "saved_model.pb").exists() for path in versions(folder).values()):
        raise ValueError(
            "folder must hold NAME/VERSION folders. "
            f"Received: folder={str(folder)!r}, that of a single model. "
            f"Try {folder.resolve().parent}"
        )
