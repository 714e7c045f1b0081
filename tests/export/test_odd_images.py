"""Exports of models of colour images whose height and width no stride divides."""

import functools

import keras
import numpy as np
import pytest
from test_runtimes import RAW, SCALED, run_litert, run_onnx

import kerasae
from kerasae.anomaly import anomaly_maps, calibrate
from kerasae.models import conv_stack

pytestmark = pytest.mark.tensorflow

X = np.random.default_rng(0).integers(0, 256, (40, 13, 9, 3)).astype("float32")
MODELS = {
    "convolutional": (kerasae.convolutional_autoencoder, (4, 6, 10), {}),
    "maps": (kerasae.convolutional_autoencoder, (4, 6), {"maps": True, "strides": 3}),
    "denoising": (kerasae.denoising_autoencoder, (6, 5), {}),
    "winner-take-all": (kerasae.winner_take_all_autoencoder, (4, 6), {}),
    "single": (
        kerasae.k_sparse_autoencoder,
        (4, 6),
        {"stack": functools.partial(conv_stack, maps=True, single_kernel_size=5)},
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    build, units, options = MODELS[request.param]
    keras.utils.set_random_seed(0)
    model = build((13, 9, 3), units, scaler=keras.layers.Rescaling(1 / 255), **options)
    model.fit(X, epochs=1, verbose=0)
    calibrate(model, X)
    return model


@pytest.fixture(scope="module")
def expected(model):
    """By signature: the name of its output, and what the model's methods give."""
    return {
        "encode": ("codings", model.encode(X[:5]), SCALED),
        "reconstruct": ("reconstruction", model.reconstruct(X[:5]), {"rtol": 1e-5, "atol": 1e-4}),
        "reconstruction_error": (
            "reconstruction_error",
            model.reconstruction_error(X[:5]),
            SCALED,
        ),
        "anomaly_map": ("anomaly_map", anomaly_maps(model, X[:5]), RAW),
    }


@pytest.mark.fast(every=3)
def test_the_saved_model_gives_the_same(model, expected, tmp_path, c_library):
    folder = kerasae.export_saved_model(model, tmp_path / "demo")
    got = c_library(folder, dict.fromkeys(expected, X[:5]))
    for name, (output, value, tolerance) in expected.items():
        np.testing.assert_allclose(got[f"{name}/{output}"], value, err_msg=name, **tolerance)


@pytest.mark.parametrize("runtime", ["onnx", "litert"])
@pytest.mark.fast(every=3)
def test_the_other_runtimes_give_the_same(model, expected, runtime, tmp_path):
    needed, export, run = {
        "onnx": (("tf2onnx", "onnxruntime"), kerasae.export_onnx, run_onnx),
        "litert": (("ai_edge_litert",), kerasae.export_litert, run_litert),
    }[runtime]
    for package in needed:
        pytest.importorskip(package)
    folder = export(model, tmp_path / "demo")
    for name, (output, value, tolerance) in expected.items():
        got = run(folder, name, rows=X[:5])[output]
        np.testing.assert_allclose(got, value, err_msg=name, **tolerance)
