"""TF Serving's gRPC: Predict, GetModelMetadata and GetModelStatus."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from kerasae.serving import protos
from kerasae.serving.requests import RefusedError, check_arrays, invalid
from kerasae.serving.store import Store

THREADS = 32


class Endpoint:
    """The gRPC server of a store.

    Args:
        store: A `Store`.
        address: Host and port, joined by a colon; port 0 for any free one.
        max_body: Bytes that a message may have.
        deadline: Seconds in which a message must arrive, and seconds that a request may take where
            the client does not set fewer.
        queue: Requests that may wait for a thread; further ones are refused.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self, store: Store, address: str, max_body: int, deadline: float, queue: int
    ) -> None:
        self._arrivals = Arrivals(deadline)
        self._server = grpc.server(
            futures.ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
            handlers=self._handlers(Prediction(store, max_body, deadline), ModelStatus(store)),
            maximum_concurrent_rpcs=THREADS + queue,
            options=[
                ("grpc.max_receive_message_length", max_body),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.server_handshake_timeout_ms", max(1, round(1000 * deadline))),
            ],
        )
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(str(error)) from None
        if not self.port:
            raise OSError(f"the port must be a free one. Received: {address}")
        self._arrivals.start()
        self._server.start()

    def stop(self, seconds: float) -> threading.Event:
        """Refuses new calls, and lets those in flight end within a time.

        Args:
            seconds: The time.

        Returns:
            An event, set when all have ended.
        """
        ended = self._server.stop(seconds)
        self._arrivals.stop()
        return ended

    def _handlers(self, prediction, status):
        methods = {
            "PredictionService": {
                "Predict": (prediction.Predict, predict_pb2.PredictRequest),
                "GetModelMetadata": (
                    prediction.GetModelMetadata,
                    get_model_metadata_pb2.GetModelMetadataRequest,
                ),
            },
            "ModelService": {
                "GetModelStatus": (
                    status.GetModelStatus,
                    get_model_status_pb2.GetModelStatusRequest,
                ),
            },
        }
        return [
            grpc.method_handlers_generic_handler(
                f"tensorflow.serving.{service}",
                {name: self._arrivals.handler(*one) for name, one in handlers.items()},
            )
            for service, handlers in methods.items()
        ]


class Arrivals(threading.Thread):
    """Ends the calls whose message does not arrive: gRPC itself would wait for ever, in a thread.

    Args:
        seconds: Time in which a message must arrive.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(name="arrivals", daemon=True)
        self._seconds = seconds
        self._expected: dict[Any, Any] = {}
        self._stop_event = threading.Event()

    def handler(
        self, method: Callable[[Any, grpc.ServicerContext], Any], request_type: Any
    ) -> grpc.RpcMethodHandler:
        """A handler of one message, which is a stream for gRPC: only then can the wait be ended.

        Args:
            method: Function of the message and the context.
            request_type: Class of the message.

        Returns:
            The handler.
        """

        def call(messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
            with self._expecting(context):
                message = next(messages)
            return method(message, context)

        return grpc.stream_unary_rpc_method_handler(
            call,
            request_deserializer=request_type.FromString,
            response_serializer=lambda response: response.SerializeToString(),
        )

    @contextlib.contextmanager
    def _expecting(self, context):
        self._expected[context] = time.monotonic() + self._seconds
        try:
            yield
        except StopIteration:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Missing message")
        finally:
            del self._expected[context]

    def run(self) -> None:
        """Looks again and again for calls that are late."""
        while not self._stop_event.wait(min(1.0, self._seconds / 4)):
            for context, end in list(self._expected.items()):
                if end < time.monotonic():
                    context.cancel()

    def stop(self) -> None:
        """Ends the thread."""
        self._stop_event.set()


def _refusing(method):
    """Ends a call with the status of what it refused."""

    @functools.wraps(method)
    def call(self, request, context):
        try:
            return method(self, request, context)
        except RefusedError as error:
            context.abort(grpc.StatusCode[error.code], str(error))

    return call


def _requested(request):
    """Name, version and label that a request names."""
    spec = request.model_spec
    if not spec.name:
        raise invalid("Missing ModelSpec")
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


class Prediction:
    """The PredictionService, without Classify, Regress and MultiInference.

    Args:
        store: A `Store`.
        max_body: Bytes that a message may have.
        deadline: Seconds that a request may take.
    """

    def __init__(self, store: Store, max_body: int, deadline: float) -> None:
        self.store = store
        self.max_body = max_body
        self.deadline = deadline

    @_refusing
    def Predict(  # noqa: N802
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        with self.store.lease(*_requested(request)) as loaded:
            name, signature = loaded.bundle.signature(request.model_spec.signature_name)
            wanted = _wanted(request.output_filter, signature.outputs)
            arrays = {
                key: protos.read_tensor(message, key, self.max_body)
                for key, message in request.inputs.items()
            }
            check_arrays(arrays, signature.inputs)
            seconds = min(self.deadline, context.time_remaining() or self.deadline)
            future = loaded.batcher.submit(name, arrays, signature.batched, seconds)
            try:
                outputs = future.result(seconds)
            except TimeoutError:
                future.cancel()
                raise RefusedError(
                    "DEADLINE_EXCEEDED", f"no response within {seconds:g} seconds"
                ) from None
        return predict_pb2.PredictResponse(
            model_spec=protos.model_spec(request.model_spec.name, loaded.number, name),
            outputs={key: protos.write_tensor(outputs[key]) for key in wanted},
        )

    @_refusing
    def GetModelMetadata(  # noqa: N802
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        if list(request.metadata_field) != ["signature_def"]:
            raise invalid(
                "metadata_field must be signature_def. "
                f"Received: metadata_field={list(request.metadata_field)}"
            )
        name, *rest = _requested(request)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.store.lease(name, *rest) as loaded:
            response.model_spec.CopyFrom(protos.model_spec(name, loaded.number))
            response.metadata["signature_def"].Pack(protos.signature_map(loaded.bundle))
        return response


class ModelStatus:
    """The ModelService, without HandleReloadConfigRequest.

    Args:
        store: A `Store`.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    @_refusing
    def GetModelStatus(  # noqa: N802
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return protos.model_status(self.store.states(*_requested(request)))


def _wanted(output_filter, outputs):
    if not output_filter:
        return list(outputs)
    if unknown := [name for name in output_filter if name not in outputs]:
        raise invalid(
            f"output tensor alias not found in signature: {unknown[0]} Outputs expected to be in "
            f"the set {{{','.join(sorted(outputs))}}}."
        )
    if len(set(output_filter)) < len(output_filter):
        raise invalid("duplicate output tensor alias in output_filter")
    return list(output_filter)
