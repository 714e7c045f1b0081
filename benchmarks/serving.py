"""Rows a second of an exported `encode`, in process and over the wire, 784-100 on MNIST rows.

    pip install -e '.[serve]'
    KERASAE_DATA_DIR=FOLDER python benchmarks/serving.py [--requests 100000]

In process: batches of 4,096 through the SavedModel's signature, beside the bare matrix product of the
same shapes in TensorFlow and ONNX Runtime where it is installed; interleaved, medians of 15. Over the
wire: one row a request to `kerasae serve` on the loopback, with clients as threads of another process.
With --requests, that many more by gRPC, and the server's memory before and after.
"""

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
import results
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

import kerasae

BATCH, REPEATS = 4096, 15


def in_process(folder, x):
    """A row for each way to compute the codings of a large batch: its rate over the product's."""
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
    found = []
    for name, median in medians.items():
        ratio = medians["matrix product"] / median
        print(f"{name:22s} {BATCH / median:12,.0f} rows/s, {ratio:.2f} of the product's rate")
        found.append({"what": f"rate of {name} / product", "value": ratio})
    return found


def onnx(folder, rows):
    try:
        import onnxruntime
    except ModuleNotFoundError:
        return {}
    model = kerasae.load_model(folder / "model.keras")
    path = kerasae.export_onnx(model, folder.parent.parent / "onnx") / "encode.onnx"
    session = onnxruntime.InferenceSession(str(path))
    return {"ONNX Runtime, encode": lambda: session.run(None, {"rows": rows})[0]}


def rest_client(port, x):
    """A function that requests one row's codings over a connection that stays open."""
    connection = HTTPConnection("127.0.0.1", port)
    bodies = [json.dumps({"instances": [row.tolist()], "signature_name": "encode"}) for row in x]

    def send(i):
        connection.request("POST", "/v1/models/demo:predict", bodies[i % len(bodies)])
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()

    return send


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
    """Milliseconds of each request, and requests a second, of several clients at once."""

    def client(number):
        send = make(port, x[number : number + 20])
        send(0)
        taken = []
        for i in range(count // concurrency):
            started = time.perf_counter()
            send(i)
            taken.append(1000 * (time.perf_counter() - started))
        return taken

    with ThreadPoolExecutor(concurrency) as pool:
        started = time.perf_counter()
        taken = np.concatenate(list(pool.map(client, range(concurrency))))
    return taken, len(taken) / (time.perf_counter() - started)


def over_the_wire(rest, rpc, folder, x, count):
    """A row for the latency in this process, and for each protocol and number of clients."""
    encode = tf.saved_model.load(str(folder)).signatures["encode"]
    row, taken = tf.constant(x[:1].astype("float32")), []
    for _ in range(500):
        started = time.perf_counter()
        encode(rows=row)["codings"].numpy()
        taken.append(1000 * (time.perf_counter() - started))
    found = [{"way": "in process, one row", "p50, ms": float(np.percentile(taken, 50))}]
    print(f"in process, one row: p50 {found[0]['p50, ms']:.2f} ms")
    for concurrency in (1, 8, 64):
        for name, make, port in (("REST", rest_client, rest), ("gRPC", grpc_client, rpc)):
            taken, rate = latencies(make, port, x, concurrency, count)
            p50, p99 = map(float, np.percentile(taken, [50, 99]))
            print(
                f"{name}, {concurrency:2d} at once: p50 {p50:6.2f} ms, p99 {p99:6.2f} ms, "
                f"{rate:6,.0f} requests/s",
                flush=True,
            )
            row = {"way": name, "clients": concurrency, "p50, ms": p50, "p99, ms": p99}
            found.append({**row, "requests/s": rate})
    return found


def memory(pid):
    """Megabytes that a process has in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def start_server(folder):
    """The process, and its two ports, once it responds."""
    command = ("serve", str(folder), "--rest-port", "18501", "--grpc-port", "18500")
    run = "from kerasae.cli import main; main()"
    process = subprocess.Popen([sys.executable, "-c", run, *command])
    for _ in range(300):
        try:
            urllib.request.urlopen("http://127.0.0.1:18501/v1/models/demo")
            return process, 18501, 18500
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the server must respond within 60 seconds")


def main():
    parser = results.parser(__doc__, "serving")
    parser.add_argument("--count", type=int, default=2000, help="Requests of each measurement.")
    parser.add_argument("--requests", type=int, default=0, help="For the server's memory.")
    settings = parser.parse_args()
    x = kerasae.datasets.load("mnist").x_test
    with tempfile.TemporaryDirectory() as root:
        model = kerasae.stacked_autoencoder(784, 100)
        folder = kerasae.export_saved_model(model, Path(root) / "saved" / "demo")
        model.save(folder / "model.keras")
        rows = in_process(folder, x)
        process, rest, rpc = start_server(Path(root) / "saved")
        try:
            rows += over_the_wire(rest, rpc, folder, x, settings.count)
            if settings.requests:
                before = memory(process.pid)
                latencies(grpc_client, rpc, x, 8, settings.requests)
                after = memory(process.pid)
                print(f"{settings.requests:,} requests: {before:.0f} MB before, {after:.0f} after")
                for when, value in (("before", before), ("after", after)):
                    what = f"MB of the server {when} {settings.requests:,} requests"
                    rows.append({"what": what, "value": value})
        finally:
            process.terminate()
            process.wait(60)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
