"""Rows a second of an exported `encode`, in process and over the wire, 784-100 on MNIST rows.

    pip install -e '.[serve]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/serving.py [--requests 100000]

In process: batches of 4,096 through the SavedModel's signature, beside the bare matrix product of the
same shapes in TensorFlow and ONNX Runtime where it is installed; interleaved, medians of 15. Over the
wire: one row a request to `kerasae serve` on the loopback, with clients as threads of a process of
their own. With --requests, so many more by gRPC, and the server's memory before and after.
On 2026-11-25, two cores of a shared machine:

    encode 0.97 of the product's rate in one run, 1.52 in another; ONNX Runtime 1.86 in the second
    in process, one row: p50 0.20 ms
                    p50, p99 in ms at 1        at 8           at 64 at once
    REST            3.66,   4.75        7.92, 11.06    51.13, 279.07
    gRPC            3.11,   3.44        4.73,  6.70    32.01,  42.29
    100,000 requests: 930 MB before, 930 after
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import kerasae

BATCH, REPEATS = 4096, 15


def in_process(folder, x):
    """Prints the rows a second of each way to the codings of a large batch."""
    encode = tf.saved_model.load(str(folder)).signatures["encode"]
    rows = tf.constant(x[:BATCH].astype("float32"))
    kernel, bias = tf.random.normal((784, 100)), tf.zeros(100)
    product = tf.function(lambda: tf.tanh(tf.matmul(rows, kernel) + bias))
    bare = tf.function(lambda: tf.matmul(rows, kernel))
    ways = {
        "matrix product": lambda: bare().numpy(),
        "product, bias, tanh": lambda: product().numpy(),
        "SavedModel, encode": lambda: np.asarray(encode(rows=rows)["codings"]),
        **onnx(folder, rows.numpy()),
    }
    seconds = {name: [] for name in ways}
    for _ in range(REPEATS + 3):
        for name, way in ways.items():
            started = time.perf_counter()
            for _ in range(10):
                way()
            seconds[name].append((time.perf_counter() - started) / 10)
    medians = {name: statistics.median(values[3:]) for name, values in seconds.items()}
    for name, median in medians.items():
        ratio = medians["matrix product"] / median
        print(f"{name:22s} {BATCH / median:12,.0f} rows/s, {ratio:.2f} of the product's rate")


def onnx(folder, rows):
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return {}
    if not hasattr(kerasae, "export_onnx"):
        return {}
    model = kerasae.load_model(folder / "model.keras")
    path = kerasae.export_onnx(model, folder.parent.parent / "onnx") / "encode.onnx"
    session = onnxruntime.InferenceSession(str(path))
    return {"ONNX Runtime, encode": lambda: session.run(None, {"rows": rows})[0]}


def rest_client(port, x):
    """A function that asks for one row's codings over a connection that is kept."""
    connection = HTTPConnection("127.0.0.1", port)
    bodies = [json.dumps({"instances": [row.tolist()], "signature_name": "encode"}) for row in x]

    def ask(i):
        connection.request("POST", "/v1/models/demo:predict", bodies[i % len(bodies)])
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        answer.read()

    return ask


def grpc_client(port, x):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{port}")
    )
    requests = []
    for row in x:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "demo", "encode"
        request.inputs["rows"].CopyFrom(tf.make_tensor_proto(row[None].astype("float32")))
        requests.append(request)
    return lambda i: stub.Predict(requests[i % len(requests)])


def latencies(make, port, x, concurrency, count):
    """Milliseconds of each request, and requests a second, of so many clients at once."""

    def client(number):
        ask = make(port, x[number : number + 20])
        ask(0)
        taken = []
        for i in range(count // concurrency):
            started = time.perf_counter()
            ask(i)
            taken.append(1000 * (time.perf_counter() - started))
        return taken

    with ThreadPoolExecutor(concurrency) as pool:
        started = time.perf_counter()
        taken = np.concatenate(list(pool.map(client, range(concurrency))))
    return taken, len(taken) / (time.perf_counter() - started)


def over_the_wire(rest, rpc, folder, x, count):
    encode = tf.saved_model.load(str(folder)).signatures["encode"]
    row, taken = tf.constant(x[:1].astype("float32")), []
    for _ in range(500):
        started = time.perf_counter()
        encode(rows=row)["codings"].numpy()
        taken.append(1000 * (time.perf_counter() - started))
    print(f"in process, one row: p50 {np.percentile(taken, 50):.2f} ms")
    for concurrency in (1, 8, 64):
        for name, make, port in (("REST", rest_client, rest), ("gRPC", grpc_client, rpc)):
            taken, rate = latencies(make, port, x, concurrency, count)
            p50, p99 = np.percentile(taken, [50, 99])
            print(
                f"{name}, {concurrency:2d} at once: p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, "
                f"{rate:6,.0f} requests/s",
                flush=True,
            )


def memory(pid):
    """Megabytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def start_server(folder):
    """The process, and its two ports, once it answers."""
    command = ("serve", str(folder), "--rest-port", "18501", "--grpc-port", "18500")
    run = "from kerasae.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", run, *command])
    for _ in range(300):
        try:
            urllib.request.urlopen("http://127.0.0.1:18501/v1/models/demo")
            return process, 18501, 18500
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the server does not answer")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--requests", type=int, default=0)
    settings = parser.parse_args()
    x = kerasae.datasets.load("mnist").x_test
    with tempfile.TemporaryDirectory() as root:
        model = kerasae.stacked_autoencoder(784, 100)
        folder = kerasae.export_saved_model(model, Path(root) / "saved" / "demo")
        model.save(folder / "model.keras")
        in_process(folder, x)
        process, rest, rpc = start_server(Path(root) / "saved")
        try:
            over_the_wire(rest, rpc, folder, x, settings.count)
            if settings.requests:
                before = memory(process.pid)
                latencies(grpc_client, rpc, x, 8, settings.requests)
                after = memory(process.pid)
                print(f"{settings.requests:,} requests: {before:.0f} MB before, {after:.0f} after")
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
