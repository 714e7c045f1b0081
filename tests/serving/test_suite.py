"""Golden requests, written from TF Serving's documented behaviour.

They run against our server, and against the real one where TFSERVING_URL is set, and
TFSERVING_GRPC for gRPC: write the models with `PYTHONPATH=tests python -m serving.models FOLDER`
and start `tensorflow_model_server` over each folder of it.
"""

import os

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from serving.client import predict, send
from serving.models import COLUMNS

HALF = "half_plus_three"
ROWS = np.random.default_rng(1).uniform(size=(3, COLUMNS)).round(3).tolist()


@pytest.fixture(params=["kerasae serve", "TF Serving"])
def url(request):
    if request.param == "kerasae serve":
        return request.getfixturevalue("server").url
    if "TFSERVING_URL" not in os.environ:
        pytest.skip("TFSERVING_URL is not set to the address of a real TF Serving")
    return os.environ["TFSERVING_URL"]


@pytest.fixture(params=["kerasae serve", "TF Serving"])
def channel(request):
    if request.param == "kerasae serve":
        address = request.getfixturevalue("server").grpc_address
    elif "TFSERVING_GRPC" in os.environ:
        address = os.environ["TFSERVING_GRPC"]
    else:
        pytest.skip("TFSERVING_GRPC is not set to the address of a real TF Serving")
    with grpc.insecure_channel(address) as channel:
        yield channel


TWO = {"signature_name": "two"}
RESPONSES = {
    # As in https://www.tensorflow.org/tfx/serving/api_rest
    "rows": (HALF, {"instances": [1.0, 2.0, 5.0]}, {"predictions": [3.5, 4.0, 5.5]}),
    "whole numbers": (HALF, {"instances": [1, 2, 5]}, {"predictions": [3.5, 4.0, 5.5]}),
    "rows of objects": (HALF, {"instances": [{"x": 1.0}, {"x": 2}]}, {"predictions": [3.5, 4.0]}),
    "columns": (HALF, {"inputs": [1.0, 5.0]}, {"outputs": [3.5, 5.5]}),
    "columns of an object": (HALF, {"inputs": {"x": [1.0]}}, {"outputs": [3.5]}),
    "signature": (
        HALF,
        {"signature_name": "serving_default", "instances": [1]},
        {"predictions": [3.5]},
    ),
    "version": (f"{HALF}/versions/123", {"instances": [1]}, {"predictions": [3.5]}),
    "two by rows": (
        HALF,
        {**TWO, "instances": [{"a": [1, 2], "b": 3}, {"a": [0.5, 0], "b": -1}]},
        {"predictions": [{"total": 3.0, "twice": 6}, {"total": 0.5, "twice": -2}]},
    ),
    "two by columns": (
        HALF,
        {**TWO, "inputs": {"a": [[1, 2]], "b": [3]}},
        {"outputs": {"total": [3.0], "twice": [6]}},
    ),
    "uint8": (
        HALF,
        {"signature_name": "small", "instances": [[0, 1, 254]]},
        {"predictions": [[1, 2, 255]]},
    ),
    "text": (
        HALF,
        {"signature_name": "text", "instances": ["a", "bc"]},
        {"predictions": ["A", "BC"]},
    ),
    "scalar output by columns": (
        HALF,
        {"signature_name": "mean", "inputs": [1, 2]},
        {"outputs": 1.5},
    ),
}


@pytest.mark.parametrize("case", RESPONSES)
def test_predict_responds(url, case):
    model, body, response = RESPONSES[case]
    assert predict(url, model, body) == (200, response)


ERRORS = {
    "not JSON": (HALF, b'{"instances": [1', 400),
    "empty": (HALF, b"", 400),
    "no object": (HALF, b"[1]", 400),
    "no key": (HALF, {"rows": [1]}, 400),
    "both keys": (HALF, {"instances": [1], "inputs": [1]}, 400),
    "no list": (HALF, {"instances": 1}, 400),
    "no rows": (HALF, {"instances": []}, 400),
    "ragged": ("stacked", {"instances": [[1, 2], [1]]}, 400),
    "text for a number": (HALF, {"instances": ["1"]}, 400),
    "null": (HALF, {"instances": [None]}, 400),
    "a truth for a number": (HALF, {"instances": [True]}, 400),
    "beyond float32": (HALF, {"instances": [1e39]}, 400),
    "fraction for int32": (HALF, {**TWO, "inputs": {"a": [[1, 2]], "b": [0.5]}}, 400),
    "beyond int32": (HALF, {**TWO, "inputs": {"a": [[1, 2]], "b": [2**31]}}, 400),
    "plain list for two inputs": (HALF, {**TWO, "instances": [[1, 2]]}, 400),
    "one of two inputs": (HALF, {**TWO, "instances": [{"a": [1, 2]}]}, 400),
    "one of two columns": (HALF, {**TWO, "inputs": {"a": [[1, 2]]}}, 400),
    "another input": (HALF, {"instances": [{"z": 1}]}, 400),
    "object after list": (HALF, {"instances": [1, {"x": 1}]}, 400),
    "wrong width": ("stacked", {"instances": [[1, 2, 3]]}, 400),
    "wrong rank": ("stacked", {"instances": [1, 2, 3]}, 400),
    "scalar output by rows": (HALF, {"signature_name": "mean", "instances": [1, 2]}, 400),
    "unknown signature": (HALF, {"signature_name": "nothing", "instances": [1]}, 400),
    "signature no text": (HALF, {"signature_name": 100, "instances": [1]}, 400),
    "unknown label": (f"{HALF}/labels/nothing", {"instances": [1]}, 400),
    "unknown model": ("nothing", {"instances": [1]}, 404),
    "unknown version": (f"{HALF}/versions/7", {"instances": [1]}, 404),
    "path out of the folder": ("..%2F..%2Fhalf_plus_three", {"instances": [1]}, (400, 404)),
}


@pytest.mark.parametrize("case", ERRORS)
def test_predict_refuses(url, case):
    model, body, expected = ERRORS[case]
    status, response = predict(url, model, body)
    assert status == expected or status in np.atleast_1d(expected)
    assert list(response) == ["error"]
    assert response["error"]


def test_status(url):
    available = {
        "version": "123",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in (HALF, f"{HALF}/versions/123"):
        got = send(url, "GET", f"/v1/models/{path}")
        assert got == (200, {"model_version_status": [available]})
    for path in ("nothing", f"{HALF}/versions/7"):
        status, response = send(url, "GET", f"/v1/models/{path}")
        assert (status, list(response)) == (404, ["error"])


def test_metadata(url):
    status, response = send(url, "GET", "/v1/models/stacked/metadata")
    assert status == 200
    assert response["model_spec"] == {"name": "stacked", "signature_name": "", "version": "1"}
    signatures = response["metadata"]["signature_def"]["signature_def"]
    rows = signatures["anomaly_score"]["inputs"]["rows"]
    assert rows["dtype"] == "DT_FLOAT"
    assert [dim["size"] for dim in rows["tensor_shape"]["dim"]] == ["-1", str(COLUMNS)]
    assert rows["tensor_shape"]["unknown_rank"] is False
    assert signatures["encode"]["method_name"] == "tensorflow/serving/predict"
    assert send(url, "GET", "/v1/models/nothing/metadata")[0] == 404


def test_kerasae_models(url):
    body = {"signature_name": "anomaly_score", "instances": ROWS}
    status, response = predict(url, "stacked", body)
    assert status == 200
    scores = response["predictions"]
    assert len(scores) == 3
    for score in scores:
        assert set(score) == {
            *("anomaly_score", "reconstruction_error", "p_value", "is_anomaly"),
            "feature_errors",
        }
        assert isinstance(score["is_anomaly"], bool)
        assert len(score["feature_errors"]) == COLUMNS
    codings = predict(url, "stacked", {"instances": ROWS})[1]["predictions"]
    assert np.shape(codings) == (3, 2)
    decoded = predict(url, "stacked", {"signature_name": "decode", "inputs": codings})[1]
    body = {"signature_name": "reconstruct", "inputs": {"rows": ROWS}}
    reconstructed = predict(url, "stacked", body)[1]
    np.testing.assert_allclose(decoded["outputs"], reconstructed["outputs"], atol=1e-5)


def test_a_seed_generates_the_same_row_in_any_company(url):
    body = {"signature_name": "generate", "instances": [7, 8, 7]}
    rows = predict(url, "variational", body)[1]["predictions"]
    alone = predict(url, "variational", {**body, "instances": [8]})[1]["predictions"]
    assert np.shape(rows) == (3, COLUMNS)
    assert rows[0] == rows[2]
    np.testing.assert_allclose(rows[1], alone[0], atol=1e-6)


def request_of(model, signature="", version=None, output_filter=(), **inputs):
    request = predict_pb2.PredictRequest(output_filter=output_filter)
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def test_grpc_predict(channel):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request_of(HALF, x=np.float32([1, 2, 5])), 10)
    assert response.model_spec.name == HALF
    assert response.model_spec.version.value == 123
    # Where TF Serving puts values, and clients read them by hand.
    assert list(response.outputs["y"].float_val) == [3.5, 4.0, 5.5]
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), [3.5, 4, 5.5])
    inputs = {"a": np.float32([[1, 2]]), "b": np.int32([3])}
    response = stub.Predict(request_of(HALF, "two", 123, ["twice"], **inputs), 10)
    assert list(response.outputs) == ["twice"]
    assert tf.make_ndarray(response.outputs["twice"]).tolist() == [6]
    response = stub.Predict(request_of(HALF, "small", u=np.uint8([[0, 1, 254]])), 10)
    assert tf.make_ndarray(response.outputs["next"]).tolist() == [[1, 2, 255]]


GRPC_ERRORS = {
    "unknown model": (request_of("nothing", x=np.float32([1])), "NOT_FOUND"),
    "unknown version": (request_of(HALF, version=7, x=np.float32([1])), "NOT_FOUND"),
    "unknown signature": (
        request_of(HALF, "nothing", x=np.float32([1])),
        "FAILED_PRECONDITION",
    ),
    "no name": (request_of("", x=np.float32([1])), "INVALID_ARGUMENT"),
    "no input": (request_of(HALF), "INVALID_ARGUMENT"),
    "another input": (request_of(HALF, z=np.float32([1])), "INVALID_ARGUMENT"),
    "another dtype": (request_of(HALF, x=np.float64([1])), "INVALID_ARGUMENT"),
    "wrong width": (request_of("stacked", rows=np.zeros((1, 3), "float32")), "INVALID_ARGUMENT"),
    "unknown output": (
        request_of(HALF, output_filter=["z"], x=np.float32([1])),
        "INVALID_ARGUMENT",
    ),
    "an output twice": (
        request_of(HALF, output_filter=["y", "y"], x=np.float32([1])),
        "INVALID_ARGUMENT",
    ),
}


@pytest.mark.parametrize("case", GRPC_ERRORS)
def test_grpc_refuses(channel, case):
    request, expected = GRPC_ERRORS[case]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError) as refused:
        stub.Predict(request, 10)
    assert refused.value.code() == grpc.StatusCode[expected]


def test_grpc_metadata_and_status(channel):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "stacked"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.GetModelMetadata(request, 10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["encode"].inputs["rows"].tensor_shape.dim[1].size == COLUMNS
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = HALF
    status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request, 10)
    (only,) = status.model_version_status
    assert (only.version, only.state, only.status.error_code) == (123, 30, 0)
