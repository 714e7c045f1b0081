"""Both doors over one store, started and stopped together."""

import ipaddress
import socket
import threading
import time
from pathlib import Path

import uvicorn

from kerasae.serving import rpc
from kerasae.serving.rest import Rest
from kerasae.serving.store import Store, versions


class Server:
    """Serves a folder of `NAME/VERSION/` SavedModels as TF Serving does, or a subset of it.

    There is no authentication: keep it on the loopback, or behind something that has.

    Args:
        folder: Folder of the models.
        host: Address to listen at.
        rest_port: Port of the REST door, 0 for any free one.
        grpc_port: Port of the gRPC door, 0 for any free one.
        max_body: Bytes that a request's body may have.
        queue: Requests that may wait for a model; further ones are refused.
        deadline: Seconds that a request may take.
        batch_rows: Rows that run together at most; 1 runs every request by itself.
        batch_wait: Seconds that a request waits for others.
        labels: Versions by name of the model and label, `{("digits", "stable"): 3}`.
        poll: Seconds between looks at the folder.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder is one model's, or a number is out of its range.

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
        folder,
        *,
        host="127.0.0.1",
        rest_port=8501,
        grpc_port=8500,
        max_body=32 << 20,
        queue=256,
        deadline=30.0,
        batch_rows=128,
        batch_wait=0.002,
        labels=None,
        poll=1.0,
    ):
        _check_folder(Path(folder))
        for name, value, least in (
            ("max_body", max_body, 1),
            ("queue", queue, 1),
            ("deadline", deadline, 0.001),
            ("batch_rows", batch_rows, 1),
            ("batch_wait", batch_wait, 0),
            ("poll", poll, 0.001),
        ):
            if not least <= value < float("inf"):
                raise ValueError(f"{value} is out of range ({name}); expected at least {least}")
        batching = {"queue": queue, "batch_rows": batch_rows, "batch_wait": batch_wait}
        self.store = Store(folder, labels, poll, batching)
        self.host = host
        self.rest_port = rest_port
        self.grpc_port = grpc_port
        self.max_body = max_body
        self.queue = queue
        self.deadline = deadline
        self._rest = None

    @property
    def url(self):
        """Address of the REST door, without a path."""
        return f"http://{self._address(self.rest_port)}"

    @property
    def grpc_address(self):
        """Address of the gRPC door, as `grpc.insecure_channel` takes it."""
        return self._address(self.grpc_port)

    def _address(self, port):
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        """Loads the models, then opens the doors.

        Raises:
            OSError: A port is taken.
        """
        listener = self._listen()
        try:
            self.store.start()
            self._rpc, self.grpc_port = rpc.start(
                self.store, self.grpc_address, self.max_body, self.deadline, self.queue
            )
        except BaseException as error:
            listener.close()
            self.store.close()
            if isinstance(error, OSError):
                raise _taken(self.host, self.grpc_port, "grpc") from None
            raise
        application = Rest(self.store, self.max_body, self.deadline)
        config = uvicorn.Config(
            application,
            http="h11",
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

    def stop(self):
        """Closes the doors, and lets the requests in flight end within the deadline."""
        self._rest.should_exit = True
        ended = self._rpc.stop(self.deadline)
        self._thread.join(self.deadline + 2)
        ended.wait(self.deadline + 2)
        self.store.close(self.deadline)

    def _listen(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # Named as TCP: only then does asyncio turn Nagle's delay off, 40 ms an answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.rest_port))
        except OSError:
            listener.close()
            raise _taken(self.host, self.rest_port, "rest") from None
        self.rest_port = listener.getsockname()[1]
        return listener


def is_loopback(host):
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _taken(host, port, door):
    return OSError(
        f"cannot listen at {host}, port {port} (--{door}-port); expected a free one of this "
        f"machine; try --{door}-port 0"
    )


def _check_folder(folder):
    if not folder.is_dir():
        raise FileNotFoundError(
            f"no such folder ({folder}); expected NAME/VERSION folders in it; try kerasae train"
        )
    if any((path / "saved_model.pb").exists() for path in versions(folder).values()):
        raise ValueError(
            f"the folder is one model's ({folder}); expected NAME/VERSION folders in it; try "
            f"{folder.resolve().parent}"
        )
