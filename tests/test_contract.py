"""What every model of the zoo keeps, on every backend."""

import functools
import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import ZOO, RangeScaling, SaltPepperDropout, deep_features
from kerasae.models import recurrent_stack

NOISE = {"corruption": lambda: SaltPepperDropout(0.1, salt=0, seed=1)}
# Each name: the family, the shape of a row, the encoder's half, and arguments made anew each time.
CASES = {name: (name, (64,), (24, 10), {}) for name in ZOO if name != "convolutional"}
CASES["sparse-noisy"] = ("sparse", (64,), (24, 10), NOISE)
CASES["stacked-tied"] = ("stacked", (64,), (24, 10), {"tied": lambda: True})
CASES["convolutional"] = ("convolutional", (8, 8, 1), (4, 8, 10), {})
# Two pixels become one and stay one: the decoder crops.
CASES["convolutional-odd"] = ("convolutional", (2, 16, 2), (4, 8, 10), {})
IMAGES = {
    f"{name}-images": (name, (8, 8, 1), (4, 8, 10), {})
    for name in ZOO
    if name not in ("stacked", "convolutional", "residual-denoiser")
}
SERIES = {
    f"{name}-{kind}": (name, (16, 4), units, extras)
    for name in ZOO
    if name not in ("convolutional", "residual-denoiser")
    for kind, units, extras in (
        ("series", (4, 8, 10), {}),
        ("recurrent", (12, 10), {"stack": lambda: recurrent_stack}),
    )
}
# Two steps become one, and then four: the decoder crops.
SERIES["convolutional-series"] = ("convolutional", (2, 32), (4, 8, 10), {})
VARIANTS = IMAGES | SERIES


def build(name, digits, **compiled):
    """A model of the zoo on pixels from 0 to 17; every call gives the same weights."""
    family, row_shape, hidden_units, extras = (CASES | VARIANTS)[name]
    keras.utils.set_random_seed(0)
    scalers = {
        "variational": lambda: keras.layers.Rescaling(1 / 17),
        # Of standardised columns, of which constant ones are a case for themselves.
        "residual-denoiser": lambda: keras.layers.Normalization(mean=8.0, variance=36.0),
    }
    scaler = scalers.get(family, RangeScaling)()
    if family not in scalers:
        scaler.adapt(pixels(digits).reshape(-1, *row_shape))
    extras = {argument: make() for argument, make in extras.items()}
    model = ZOO[family](row_shape, hidden_units, scaler=scaler, **extras)
    model.compile(**compiled)
    return model


def pixels(digits):
    return 16 * digits + np.arange(64, dtype="float32") % 2


# A variant is its family on another stack: the longer run goes through most of them.
STACKED = ("stacked-series",)


@pytest.fixture(
    scope="module",
    params=[
        name if name in (*CASES, *STACKED) else pytest.param(name, marks=pytest.mark.slow)
        for name in CASES | VARIANTS
    ],
)
def make(request, digits):
    return functools.partial(build, request.param, digits)


# What compiles each family several times more: three stand for all.
THREE = ("sparse", "variational", "contractive")


@pytest.fixture(
    scope="module",
    params=[
        name if name in THREE else pytest.param(name, marks=pytest.mark.slow)
        for name in CASES | VARIANTS
    ],
)
def some(request, digits):
    return functools.partial(build, request.param, digits)


@pytest.fixture(scope="module")
def trained(make, digits):
    """A model of each family that was fitted once, for what does not change it."""
    model = make(optimizer=keras.optimizers.Adam(0.003))
    model.fit(pixels(digits), epochs=6, verbose=0)
    return model


@pytest.fixture(scope="module")
def outputs(trained, x):
    return outputs_of(trained, x)


@pytest.fixture(scope="module")
def x(digits):
    return pixels(digits[:200])


def outputs_of(model, x):
    return {
        "predict": model.predict(x, verbose=0),
        "encode": model.encode(x),
        "reconstruct": model.reconstruct(x),
        "reconstruction_error": model.reconstruction_error(x),
        "feature_errors": model.reconstruction_error(x, per_feature=True),
    }


@pytest.mark.fast(every=3)
def test_shapes_and_agreement_of_the_methods(trained, outputs, x):
    rows = (200, *trained.row_shape)
    maps = len(trained.encoder.output_shape) > 2
    # A residual denoiser's decoder needs the row, too: and its level, or the image.
    codings = 10 + (65 if trained.name == "residual_denoiser" else 0)
    codings += maps * (trained.row_shape[-1] if trained.name == "denoising_autoencoder" else 0)
    assert {name: value.shape for name, value in outputs.items()} == {
        "predict": rows,
        "encode": (200, *trained.row_shape[:-1], codings) if maps else (200, codings),
        "reconstruct": rows,
        "reconstruction_error": (200,),
        "feature_errors": rows,
    }
    assert {value.dtype for value in outputs.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(outputs["predict"], outputs["reconstruct"], atol=1e-5)
    np.testing.assert_allclose(trained.decode(outputs["encode"]), outputs["reconstruct"], atol=1e-5)
    errors = outputs["reconstruction_error"]
    np.testing.assert_allclose(
        outputs["feature_errors"].reshape(200, -1).mean(axis=1), errors, rtol=1e-5
    )
    evaluated = trained.evaluate(x, verbose=0, return_dict=True)
    assert evaluated["mse"] == pytest.approx(errors.mean(), rel=1e-5)


def falls(model):
    """A residual denoiser does well from the start: it has only to learn what is beyond that."""
    return 0.9 if model.name == "residual_denoiser" else 0.8


def test_the_error_falls(trained):
    history = trained.history.history
    # The mean squared error: the loss of some families has terms that work against each other.
    assert history["mse"][-1] < falls(trained) * history["mse"][0]
    assert all(np.isfinite(values).all() for values in history.values())


def test_inference_is_deterministic(trained, outputs, x):
    for name, value in outputs_of(trained, x).items():
        np.testing.assert_array_equal(outputs[name], value, err_msg=name)


def test_a_row_is_treated_alone_as_in_a_batch(trained, outputs, x):
    alone = [outputs_of(trained, row[None]) for row in x[:3]]
    for name, value in outputs.items():
        rows = np.concatenate([one[name] for one in alone])
        np.testing.assert_allclose(rows, value[:3], rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.fast(every=2)
def test_every_trainable_weight_gets_a_finite_gradient(make, x):
    model = make(optimizer=keras.optimizers.SGD(1.0))
    before = [ops.convert_to_numpy(weight) for weight in model.trainable_weights]
    model.fit(x, batch_size=len(x), epochs=1, verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        gradient = old - ops.convert_to_numpy(weight)
        assert np.isfinite(gradient).all(), weight.path
        assert gradient.any(), weight.path


LOAD = """
import json, sys, numpy as np, kerasae, keras
from pathlib import Path
folder = Path(sys.argv[1])
x = np.load(folder / "x.npy")
steps = {}
for path in folder.glob("*.keras"):
    model = keras.saving.load_model(path)
    got = {"predict": model.predict(x, verbose=0), "encode": model.encode(x),
           "mse": model.evaluate(x, verbose=0, return_dict=True)["mse"]}
    model.fit(x, epochs=1, shuffle=False, verbose=0)
    np.savez(path.with_suffix(".npz"), later=model.encode(x), **got)
    steps[path.stem] = int(model.optimizer.iterations)
print(json.dumps(steps))
"""


@pytest.mark.parametrize(
    "cases",
    [THREE, *(pytest.param(cases, marks=pytest.mark.slow) for cases in (CASES, IMAGES, SERIES))],
    ids=len,
)
def test_a_fresh_process_goes_on_bit_for_bit(cases, digits, x, tmp_path, run_python):
    models = {name: build(name, digits) for name in cases}
    np.save(tmp_path / "x.npy", x)
    for name, model in models.items():
        model.fit(x, epochs=1, shuffle=False, verbose=0)
        model.save(tmp_path / f"{name}.keras")
    assert json.loads(run_python(LOAD, tmp_path)) == dict.fromkeys(models, 14)
    for name, model in models.items():
        got = np.load(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(got["predict"], model.predict(x, verbose=0))
        np.testing.assert_array_equal(got["encode"], model.encode(x))
        assert got["mse"] == model.evaluate(x, verbose=0, return_dict=True)["mse"]
        model.fit(x, epochs=1, shuffle=False, verbose=0)
        np.testing.assert_array_equal(got["later"], model.encode(x), err_msg=name)


def test_compiled_and_plain_training_agree(some, x):
    # XLA draws its noise with another generator: then only the loss can agree, and roughly.
    noisy = any(hasattr(layer, "seed_generator") for layer in some()._flatten_layers())
    models = [some(jit_compile=jit, optimizer=keras.optimizers.SGD(0.1)) for jit in (True, False)]
    losses = [m.fit(x, epochs=2, shuffle=False, verbose=0).history["loss"] for m in models]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.04 if noisy else 1e-4)
    if not noisy:
        np.testing.assert_allclose(*(m.encode(x) for m in models), atol=1e-4)


def test_several_steps_an_execution_train_as_one(some, x):
    models = [some(steps_per_execution=n, optimizer=keras.optimizers.SGD(0.1)) for n in (1, 4)]
    for model in models:
        model.fit(x, epochs=2, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 14
    for one, several in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(one, several, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("half", ["float16", pytest.param("bfloat16", marks=pytest.mark.slow)])
def test_trains_in_mixed_precision(some, digits, half):
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        model = some(optimizer=keras.optimizers.Adam(0.003))
        assert model.encoder.get_layer("hidden_1").compute_dtype == half
        history = model.fit(pixels(digits), epochs=6, verbose=0).history
        got = outputs_of(model, pixels(digits[:50]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert history["mse"][-1] < falls(model) * history["mse"][0]
    assert {value.dtype for value in got.values()} == {np.dtype("float32")}
    assert all(np.isfinite(value).all() for value in got.values())


@pytest.mark.fast(every=20)
@pytest.mark.tensorflow
def test_the_c_library_gives_what_the_methods_give(trained, outputs, digits, tmp_path, c_library):
    import tensorflow as tf

    from kerasae import anomaly, export_saved_model

    # On other rows: the score of the same row, a digit off, would have another rank.
    x, others = pixels(digits[:200]), pixels(digits[200:400])
    anomaly.calibrate(trained, others)
    folder = export_saved_model(trained, tmp_path / "demo", features=["hidden_1"])
    rows, seeds = np.reshape(x, (-1, *trained.row_shape)), np.arange(len(x), dtype="int32")
    codings = outputs["encode"]
    hidden = deep_features(trained, x, "hidden_1")
    expected = {
        "serving_default/codings": (rows, codings),
        "encode/codings": (rows, codings),
        "encode_uint8/codings": (rows.astype("uint8"), codings),
        "features/hidden_1": (rows, hidden),
        "decode/reconstruction": (codings, trained.decode(codings)),
        "reconstruct/reconstruction": (rows, outputs["predict"]),
        "reconstruction_error/reconstruction_error": (rows, outputs["reconstruction_error"]),
    }
    if len(trained.row_shape) == 3:
        expected["anomaly_map/anomaly_map"] = (rows, anomaly.anomaly_maps(trained, rows))
    for name, value in anomaly.score(trained, x)._asdict().items():
        if name != "worst":  # which is only of `top`
            expected[f"anomaly_score/{name}"] = (rows, value)
    if trained.prior is not None:
        draws = [tf.random.stateless_uniform([trained.prior.uniforms], [i, 0]) for i in seeds]
        drawn = trained.decode(np.asarray(trained.prior(tf.stack(draws))))
        expected["generate/reconstruction"] = (seeds, drawn)
    feeds = {name.split("/")[0]: one for name, (one, _) in expected.items()}
    got = c_library(folder, feeds)
    alone = c_library(folder, {name: one[3:4] for name, one in feeds.items()})
    assert set(got) == set(expected)
    assert set(tf.saved_model.load(str(folder)).signatures) == set(feeds)
    # Relative to the units: pixels go up to 17. Recurrent layers round at every step, and corrected
    # images are a difference.
    named = {layer.name for layer in (*trained.encoder.layers, *trained.decoder.layers)}
    by = 10 if named & {"repeat", "with_image"} else 1
    close = functools.partial(np.testing.assert_allclose, rtol=by * 1e-6, atol=by * 2e-6)
    for name, (_, value) in expected.items():
        close(got[name], value, err_msg=name)
        close(alone[name], value[3:4], err_msg=name)
    assert b"_XlaMustCompile" not in (folder / "saved_model.pb").read_bytes()
