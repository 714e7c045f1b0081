# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Serving
#
# TF Serving runs what `export_saved_model` writes, and so does `kerasae serve`, which has a subset of TF
# Serving's interface for a laptop: REST and gRPC over `saved_models/NAME/VERSION/`. Here a server runs in
# the notebook; on the command line it would be `kerasae serve saved_models`.

# %%
import json
import tempfile
import time
import urllib.request
from pathlib import Path

import keras
import numpy as np

import kerasae
from kerasae.serving import Server

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
model = kerasae.variational_autoencoder(
    data.x.shape[1], (64, 8), scaler=keras.layers.Rescaling(1 / float(data.x.max()))
)
model.compile(keras.optimizers.Adam(0.003))
model.fit(data.x_train, epochs=30, verbose=0)
threshold = kerasae.anomaly.calibrate(model, data.x_test)
saved_models = Path(tempfile.mkdtemp())
version = kerasae.export_saved_model(model, saved_models / "digits")
kerasae.verify(version), json.loads((version / "manifest.json").read_text())["signatures"]

# %% [markdown]
# ## REST
#
# Rows are sent as they are, in their own units: the scaler is in the model. The response to `instances`
# has one entry a row, the response to `inputs` one array for each output.

# %%
server = Server(saved_models, rest_port=0, grpc_port=0)
server.start()


def predict(signature, **body):
    text = json.dumps({"signature_name": signature, **body}).encode()
    with urllib.request.urlopen(f"{server.url}/v1/models/digits:predict", text) as response:
        return json.load(response)


rows = data.x_test[:8]
reconstructed = np.array(predict("reconstruct", instances=rows.tolist())["predictions"])
difference = np.abs(reconstructed - model.reconstruct(rows)).max()
print("largest difference from the model's own reconstruction", difference)
kerasae.plots.reconstructions(rows, reconstructed, data.image_shape)

# %% [markdown]
# Anomaly scores of digits and of the same images upside down.

# %%
scores = {}
for name, some in (("digits", data.x_test), ("upside down", data.x_test[:, ::-1])):
    outputs = predict("anomaly_score", inputs={"rows": some.tolist()})["outputs"]
    scores[name] = np.array(outputs["anomaly_score"])
    print(f"{name}: {np.mean(outputs['is_anomaly']):.1%} anomalies")
kerasae.plots.error_histogram(
    scores["upside down"], threshold=threshold, quantity="anomaly score, upside down"
)

# %% [markdown]
# New digits, each by its seed.

# %%
new = predict("generate", instances=list(range(20)))["predictions"]
kerasae.plots.images(np.array(new), data.image_shape)

# %% [markdown]
# ## gRPC

# %%
import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(server.grpc_address))
request = predict_pb2.PredictRequest()
request.model_spec.name, request.model_spec.signature_name = "digits", "encode"
request.inputs["rows"].CopyFrom(tf.make_tensor_proto(rows.astype("float32")))
codings = tf.make_ndarray(stub.Predict(request, timeout=5).outputs["codings"])
np.abs(codings - model.encode(rows)).max()

# %% [markdown]
# ## A new version
#
# A version appears whole, is loaded, passes a test request, and only then takes over.

# %%
model.fit(data.x_train, epochs=1, verbose=0)
kerasae.export_saved_model(model, saved_models / "digits")
for _ in range(100):
    status = json.load(urllib.request.urlopen(f"{server.url}/v1/models/digits"))
    newest = status["model_version_status"][0]
    if (newest["version"], newest["state"]) == ("2", "AVAILABLE"):
        break
    time.sleep(0.1)
print(newest)
server.stop()
