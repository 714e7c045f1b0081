"""TF Serving's gRPC: Predict, GetModelMetadata and GetModelStatus."""

import functools
from concurrent import futures

import grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from kerasae.serving import protos
from kerasae.serving.requests import RefusedError, check_arrays, invalid

THREADS = 32


def start(store, address, max_body, deadline, queue):
    """Starts the gRPC server.

    Args:
        store: A `Store`.
        address: Host and port, joined by a colon; port 0 for any free one.
        max_body: Bytes that a message may have.
        deadline: Seconds that a request may take, where the client does not ask for fewer.
        queue: Requests that may wait for a thread; further ones are refused.

    Returns:
        The server and its port.

    Raises:
        OSError: The port is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(THREADS, thread_name_prefix="grpc"),
        maximum_concurrent_rpcs=THREADS + queue,
        options=[
            ("grpc.max_receive_message_length", max_body),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Prediction(store, max_body, deadline), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelStatus(store), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(str(error)) from None
    if not port:
        raise OSError(f"cannot listen at {address}")
    server.start()
    return server, port


def _refusing(method):
    """Ends a call with the status of what it refused."""

    @functools.wraps(method)
    def call(self, request, context):
        try:
            return method(self, request, context)
        except RefusedError as error:
            context.abort(grpc.StatusCode[error.code], str(error))

    return call


def _asked(request):
    """Name, version and label that a request asks for."""
    spec = request.model_spec
    if not spec.name:
        raise invalid("Missing ModelSpec")
    version = spec.version.value if spec.HasField("version") else None
    return spec.name, version, spec.version_label


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The PredictionService, without Classify, Regress and MultiInference."""

    def __init__(self, store, max_body, deadline):
        self.store = store
        self.max_body = max_body
        self.deadline = deadline

    @_refusing
    def Predict(self, request, context):  # noqa: N802
        with self.store.lease(*_asked(request)) as loaded:
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
                    "DEADLINE_EXCEEDED", f"no answer within {seconds:g} seconds"
                ) from None
        return predict_pb2.PredictResponse(
            model_spec=protos.model_spec(request.model_spec.name, loaded.number, name),
            outputs={key: protos.write_tensor(outputs[key]) for key in wanted},
        )

    @_refusing
    def GetModelMetadata(self, request, context):  # noqa: N802
        if list(request.metadata_field) != ["signature_def"]:
            raise invalid("expected metadata_field to be signature_def, the one there is")
        name, *rest = _asked(request)
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        with self.store.lease(name, *rest) as loaded:
            answer.model_spec.CopyFrom(protos.model_spec(name, loaded.number))
            answer.metadata["signature_def"].Pack(protos.signature_map(loaded.bundle))
        return answer


class ModelStatus(model_service_pb2_grpc.ModelServiceServicer):
    """The ModelService, without HandleReloadConfigRequest."""

    def __init__(self, store):
        self.store = store

    @_refusing
    def GetModelStatus(self, request, context):  # noqa: N802
        return protos.model_status(self.store.states(*_asked(request)))


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
