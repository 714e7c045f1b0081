"""The outputs of a model's ONNX and LiteRT files, against its own methods."""

import functools
import json
import logging

import keras
import numpy as np
import pytest
import test_contract
from keras import ops

import kerasae
from kerasae import anomaly, export_litert, export_onnx
from kerasae.export.litert import LITERT_FILE
from kerasae.models import recurrent_stack

pytestmark = pytest.mark.tensorflow

QUICK = ("stacked", "variational", "convolutional")
ALL = [*test_contract.CASES, *test_contract.IMAGES]
# In the user's units, pixels from 0 to 17, and in units of the guard's distance.
RAW = {"rtol": 1e-5, "atol": 1e-5}
# Of what is on the scaled values.
SCALED = {"rtol": 2e-6, "atol": 2e-6}
TOLERANCES = {
    "codings": SCALED,
    "reconstruction": RAW,
    "reconstruction_error": SCALED,
    "feature_errors": SCALED,
    "anomaly_score": RAW,
    "anomaly_map": RAW,
}


def run_onnx(folder, signature, **inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / f"{signature}.onnx")
    assert [one.name for one in session.get_inputs()] == list(inputs)
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def run_litert(folder, signature, **inputs):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / LITERT_FILE))
    return interpreter.get_signature_runner(signature)(**inputs)


RUNTIMES = {
    "onnx": (export_onnx, run_onnx, ("tf2onnx", "onnxruntime")),
    "litert": (export_litert, run_litert, ("ai_edge_litert",)),
}


@pytest.fixture(scope="module", params=RUNTIMES)
def runtime(request):
    """Of each runtime: how to export to it, and how to run a signature of the folder."""
    export, run, packages = RUNTIMES[request.param]
    for package in packages:
        reason = f"no {package}: pip install 'kerasae[{request.param}]'"
        pytest.importorskip(package, reason=reason)
    return export, run


@pytest.fixture(
    scope="module",
    params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALL],
)
def model(request, digits):
    """A model of each family, trained and calibrated on other rows than `x`."""
    model = test_contract.build(request.param, digits)
    rows = test_contract.pixels(digits).reshape(-1, *model.row_shape)
    model.fit(rows[:500], epochs=2, verbose=0)
    anomaly.calibrate(model, rows[500:1200], 0.05, guard=0.0 if len(model.row_shape) > 1 else 1.0)
    return model


@pytest.fixture(scope="module")
def x(model, digits):
    return test_contract.pixels(digits)[1200:1300].reshape(-1, *model.row_shape)


@pytest.fixture(scope="module")
def expected(model, x):
    """By signature: the inputs, and what the model's methods give for them."""
    codings = model.encode(x)
    maps, scores = {}, anomaly.score(model, x)._asdict()
    del scores["worst"]  # which is only of `top`
    if len(model.row_shape) == 3:
        maps["anomaly_map"] = ({"rows": x}, {"anomaly_map": anomaly.anomaly_maps(model, x)})
    return maps | {
        "encode": ({"rows": x}, {"codings": codings}),
        "encode_uint8": ({"rows": x.astype("uint8")}, {"codings": codings}),
        "decode": ({"codings": codings}, {"reconstruction": model.decode(codings)}),
        "reconstruct": ({"rows": x}, {"reconstruction": model.predict(x, verbose=0)}),
        "reconstruction_error": (
            {"rows": x},
            {"reconstruction_error": model.reconstruction_error(x)},
        ),
        "anomaly_score": ({"rows": x}, scores),
    }


def check_anomalies(calibration, got):
    """A row near a calibrated score may fall on its other side: each must fit its own score."""
    at_least = (calibration.scores >= got["anomaly_score"][:, None]).sum(axis=1)
    p_values = (1 + at_least) / (len(calibration.scores) + 1)
    np.testing.assert_allclose(got["p_value"], p_values, rtol=1e-6)
    flags = got["anomaly_score"] > np.float32(calibration.threshold)
    np.testing.assert_array_equal(got["is_anomaly"], flags)


@pytest.mark.fast(every=3)
def test_the_runtime_gives_the_same_as_the_methods(runtime, model, expected, tmp_path):
    export, run = runtime
    folder = export(model, tmp_path / "demo")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["signatures"]) == set(expected)
    assert list(manifest["left_out"]) == ([] if model.prior is None else ["generate"])
    for name, (inputs, outputs) in expected.items():
        for count in (100, 1):
            got = run(folder, name, **{key: value[:count] for key, value in inputs.items()})
            assert set(got) == set(outputs)
            for output, value in outputs.items():
                assert (got[output].shape, got[output].dtype) == (value[:count].shape, value.dtype)
                if tolerance := TOLERANCES.get(output):
                    np.testing.assert_allclose(
                        got[output], value[:count], err_msg=f"{name} {output}", **tolerance
                    )
            if name == "anomaly_score":
                check_anomalies(model.anomaly, got)
                assert np.abs(got["p_value"] - outputs["p_value"][:count]).max() < 2.1 / 701


ALONE = {
    "onnx": """
import sys, numpy as np, onnxruntime
folder = sys.argv[1]
session = onnxruntime.InferenceSession(folder + "/encode.onnx")
(codings,) = session.run(["codings"], {"rows": np.load(folder + "/../x.npy")})
""",
    "litert": """
import sys, numpy as np
from ai_edge_litert.interpreter import Interpreter
folder = sys.argv[1]
interpreter = Interpreter(model_path=folder + "/model.tflite")
codings = interpreter.get_signature_runner("encode")(rows=np.load(folder + "/../x.npy"))["codings"]
""",
}


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_file_runs_without_keras(name, digits, tmp_path, run_python):
    export, _, packages = RUNTIMES[name]
    for package in packages:
        pytest.importorskip(package, reason=f"no {package}: pip install 'kerasae[{name}]'")
    model = kerasae.stacked_autoencoder((64,), (7,))
    folder = export(model, tmp_path)
    np.save(tmp_path / "x.npy", digits[:5])
    check = (
        "assert not {'keras', 'tensorflow', 'kerasae'} & set(sys.modules)\nprint(codings.tolist())"
    )
    got = json.loads(run_python(ALONE[name] + check, folder))
    np.testing.assert_allclose(got, model.encode(digits[:5]), **SCALED)


def test_standardised_rows_are_taken_as_they_come(runtime, digits, tmp_path):
    export, run = runtime
    rows = test_contract.pixels(digits)[:100]
    scaler = keras.layers.Normalization()
    scaler.adapt(rows)
    # Pixels that never change are among them: their divisor is 1.
    with pytest.warns(UserWarning, match="constant"):
        model = kerasae.stacked_autoencoder((64,), (7,), scaler=scaler)
    folder = export(model, tmp_path)
    got = run(folder, "reconstruct", rows=rows)["reconstruction"]
    np.testing.assert_allclose(got, model.predict(rows, verbose=0), **RAW)
    got = run(folder, "reconstruction_error", rows=rows)["reconstruction_error"]
    np.testing.assert_allclose(got, model.reconstruction_error(rows), **SCALED)


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_recurrent_layers_are_unrolled(runtime, cell, tmp_path):
    """Padding is skipped there, too; the model itself keeps its loop."""
    export, run = runtime
    stack = functools.partial(recurrent_stack, cell=cell)
    model = kerasae.stacked_autoencoder((4, 2), (4, 3), stack=stack, mask_value=-9.0)
    rows = np.random.default_rng(0).normal(size=(6, 4, 2)).astype("float32")
    rows[:3, 2:] = -9
    folder = export(model, tmp_path)
    assert json.loads((folder / "manifest.json").read_text())["left_out"] == {}
    assert not model.encoder.get_layer("hidden_1").unroll
    for name, value in (("encode", model.encode(rows)), ("reconstruct", model.reconstruct(rows))):
        (got,) = run(folder, name, rows=rows).values()
        np.testing.assert_allclose(got, value, **RAW)


@pytest.mark.parametrize(
    ("family", "half"),
    [
        ("convolutional", "float16"),
        *(pytest.param(name, "bfloat16", marks=pytest.mark.slow) for name in ALL),
    ],
)
def test_mixed_precision_is_written_in_float32(runtime, family, half, digits, tmp_path):
    export, run = runtime
    whole = test_contract.build(family, digits)
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        model = test_contract.build(family, digits)
    finally:
        keras.config.set_dtype_policy("float32")
    rows = test_contract.pixels(digits[:20]).reshape(-1, *model.row_shape)
    before = model.encode(rows)
    folder = export(model, tmp_path)
    assert model.encoder.get_layer("hidden_1").compute_dtype == half
    np.testing.assert_array_equal(model.encode(rows), before)
    for name, value in (("encode", whole.encode(rows)), ("reconstruct", whole.reconstruct(rows))):
        (got,) = run(folder, name, rows=rows).values()
        np.testing.assert_allclose(got, value, **RAW)


@keras.saving.register_keras_serializable("tests")
class Foreign(keras.layers.Layer):
    """Has no operator in the other runtimes."""

    def call(self, inputs):
        return ops.erfinv(ops.tanh(inputs) / 2)


def foreign(*places):
    def part(name, width, units):
        layers = [keras.Input((width,)), keras.layers.Dense(units)]
        return keras.Sequential(layers + [Foreign()] * (name in places))

    return kerasae.Autoencoder(part("encoder", 8, 2), part("decoder", 2, 8))


def test_what_cannot_be_expressed_is_left_out_and_named(runtime, tmp_path, caplog):
    export, run = runtime
    model = foreign("encoder")
    with caplog.at_level(logging.CRITICAL, "tf2onnx"):
        folder = export(model, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["signatures"] == ["decode"]
    assert set(manifest["left_out"]) == {
        *("encode", "encode_uint8", "reconstruct", "reconstruction_error"),
    }
    assert all("Erfinv" in reason for reason in manifest["left_out"].values())
    codings = np.ones((3, 2), "float32")
    got = run(folder, "decode", codings=codings)["reconstruction"]
    np.testing.assert_allclose(got, model.decode(codings), **SCALED)


def test_a_model_that_cannot_be_expressed_at_all_is_refused(runtime, tmp_path):
    export, _ = runtime
    message = "a signature that .* can express. Received: .*decode: .*Erfinv.*Try .*saved_model$"
    with pytest.raises(ValueError, match=message):
        export(foreign("encoder", "decoder"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_comes_with_its_command(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"Try pip install 'kerasae\[onnx\]'"):
        export_onnx(kerasae.stacked_autoencoder((8,), (2,)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_broken_model_is_not_exported(runtime, tmp_path):
    model = kerasae.stacked_autoencoder((8,), (2,))
    model.encoder.get_layer("codings").bias.assign([np.nan, 0])
    with pytest.raises(ValueError, match="NaN or infinite weights"):
        runtime[0](model, tmp_path)
    assert not list(tmp_path.iterdir())
