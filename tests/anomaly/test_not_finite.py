"""NaN, infinity and overflow in scores, calibrations, weights: cases 42 and 45."""

import zipfile

import keras
import numpy as np
import pytest

import kerasae
from kerasae import anomaly
from kerasae.anomaly import AnomalyCalibration

X = np.random.default_rng(0).normal(size=(400, 6)).astype("float32")
BAD = {
    "NaN": np.where(np.arange(6) == 2, np.nan, X[:3]).astype("float32"),
    "infinite": np.where(np.arange(6) == 2, np.inf, X[:3]).astype("float32"),
    "all NaN": np.full((3, 6), np.nan, "float32"),
    "overflow": np.full((3, 6), 3e38, "float32"),
}


@pytest.fixture(scope="module", params=[0.0, 1.0], ids=["plain", "guarded"])
def model(request):
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    made.fit(X, epochs=2, verbose=0)
    anomaly.calibrate(made, X, guard=request.param)
    return made


def run_saved_model(folder, rows):
    import tensorflow as tf

    signature = tf.saved_model.load(str(folder)).signatures["anomaly_score"]
    return {name: value.numpy() for name, value in signature(rows=tf.constant(rows)).items()}


def run_onnx(folder, rows):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(folder / "anomaly_score.onnx")
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {"rows": rows}), strict=True))


def run_litert(folder, rows):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    made = interpreter.Interpreter(model_path=str(folder / "model.tflite"))
    return made.get_signature_runner("anomaly_score")(rows=rows)


RUNTIMES = {
    "saved_model": (kerasae.export_saved_model, run_saved_model),
    "onnx": (kerasae.export_onnx, run_onnx),
    "litert": (kerasae.export_litert, run_litert),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_row_that_is_not_finite_is_an_anomaly_in_every_runtime(model, tmp_path, runtime):
    export, run = RUNTIMES[runtime]
    if runtime == "onnx":
        pytest.importorskip("tf2onnx")
    folder = export(model, tmp_path / "model")
    for name, rows in BAD.items():
        mixed = np.concatenate([rows, X[:2]])
        got = run(folder, mixed)
        assert got["is_anomaly"][:3].all(), name
        np.testing.assert_allclose(got["p_value"][:3], 1 / 401, rtol=1e-6, err_msg=name)
        assert (got["anomaly_score"][:3] > model.anomaly.threshold).all(), name
        # The other rows of the batch have the scores that they have alone.
        for part, value in list(anomaly.score(model, X[:2])._asdict().items())[:-1]:
            # A score that is rounded differently may have the next rank.
            atol = 1.1 / 401 if part == "p_value" else 1e-6
            np.testing.assert_allclose(got[part][3:], value, rtol=1e-4, atol=atol, err_msg=part)


def test_a_row_that_is_not_finite_is_an_anomaly_in_the_layer(model):
    for rows in BAD.values():
        errors, codings = model._errors(rows), model._codings(rows)
        got = {k: keras.ops.convert_to_numpy(v) for k, v in model.anomaly(errors, codings).items()}
        assert got["is_anomaly"].all()
        np.testing.assert_allclose(got["p_value"], 1 / 401, rtol=1e-6)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_rows_that_are_not_finite_calibrate_nothing(bad):
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    for guard in (0.0, 1.0):
        with pytest.raises(ValueError, match="x must hold"):
            anomaly.calibrate(made, np.concatenate([X, bad]), guard=guard)
    assert not made.anomaly.fitted


BAD_SCORES = {
    "NaN": ([1.0, np.nan, 2.0], "1 NaN or infinite scores, the first of row 1"),
    "infinite": ([1.0, 2.0, np.inf], "1 NaN or infinite scores, the first of row 2"),
    "of two axes": (np.ones((3, 3)), r"one for each row. Received: shape=\(3, 3\)"),
    "none": ([], "one for each row"),
    "text": (np.array(["a"]), "must be numbers"),
}


@pytest.mark.parametrize(("scores", "said"), BAD_SCORES.values(), ids=BAD_SCORES)
def test_scores_that_are_not_finite_are_refused(scores, said):
    layer = AnomalyCalibration()
    with pytest.raises(ValueError, match=said):
        layer.fit(scores, 1.0)
    assert not layer.fitted
    with pytest.raises(ValueError, match="threshold must be finite"):
        layer.fit([1.0], float("nan"))


def _damaged(path, name, value):
    """The .keras file with another value in the calibration."""
    h5py = pytest.importorskip("h5py")
    weights = path.with_suffix(".h5")
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        del file[f"anomaly/vars/{name}"]
        if value is not None:
            file[f"anomaly/vars/{name}"] = value(h5py) if callable(value) else value
    parts["model.weights.h5"] = weights.read_bytes()
    damaged = path.with_name("damaged.keras")
    with zipfile.ZipFile(damaged, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return damaged


DAMAGE = {
    "NaN": ("scores", np.full(400, np.nan, "f4")),
    "infinite": ("scores", np.full(400, np.inf, "f4")),
    "of two axes": ("scores", np.zeros((3, 3), "f4")),
    "none": ("scores", np.zeros(0, "f4")),
    "text": ("scores", "abc"),
    "a link": ("scores", lambda h5py: h5py.ExternalLink("x.h5", "w")),
    "no scores": ("scores", None),
    "no settings": ("settings", None),
    "settings of NaN": ("settings", np.full(3, np.nan)),
    "too many settings": ("settings", np.zeros(4)),
    "a guard of another width": ("center", np.zeros(3, "f4")),
}


@pytest.mark.parametrize(("name", "value"), DAMAGE.values(), ids=DAMAGE)
@pytest.mark.fast(every=4)
def test_a_damaged_calibration_in_a_file_is_refused(model, tmp_path, name, value):
    model.save(tmp_path / "model.keras")
    damaged = _damaged(tmp_path / "model.keras", name, value)
    with pytest.raises(ValueError, match="corrupt.*calibration must hold|could not.*be loaded"):
        kerasae.load_model(damaged)
    # Into a model that is there already, which then loads a sound file.
    made = kerasae.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(anomaly.score(made, X).p_value, anomaly.score(model, X).p_value)


@pytest.mark.parametrize("size", [1e12, 9e14])
def test_errors_of_large_rows_do_not_overflow(size):
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    rows = np.full((5, 6), size)
    assert np.isfinite(made.reconstruction_error(rows)).all()
    assert np.isfinite(made.evaluate(rows, verbose=0, return_dict=True)["mse"])
    anomaly.calibrate(made, rows, "3sd")
    assert np.isfinite(made.anomaly.threshold)


@pytest.mark.parametrize("value", [1.1e15, 1.5e19, 1e30])
def test_rows_whose_errors_would_overflow_are_refused_by_column(value):
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    rows = X.copy()
    rows[7, 3] = value
    for call in (made.reconstruction_error, made.fit, made.encode, made.evaluate):
        with pytest.raises(ValueError, match="values in column 3 whose square overflows"):
            call(rows)
    big = np.random.default_rng(0).integers(0, 2**64 - 1, size=(60, 6), dtype="uint64")
    with pytest.raises(ValueError, match="values in column 0 whose square overflows"):
        made.fit(big)


WEIGHTS = {
    "NaN": (np.where(np.arange(400) == 5, np.nan, 1.0), "1 NaN or infinite weights.*row 5"),
    "infinite": (np.where(np.arange(400) == 5, np.inf, 1.0), "1 NaN or infinite weights"),
    "negative": (np.where(np.arange(400) == 5, -1.0, 1.0), "at least 0. Received: -1 in row 5"),
    "too few": (np.ones(399), "one weight a row. Received: 399 for 400 rows"),
    "one": (1.0, "one weight a row"),
    "masked": (np.ma.masked_array(np.ones(400), np.arange(400) == 5), "1 masked"),
}
CALLS = {
    "fit": lambda m, w: m.fit(X, sample_weight=w, verbose=0),
    "evaluate": lambda m, w: m.evaluate(X, sample_weight=w, verbose=0),
    "train_on_batch": lambda m, w: m.train_on_batch(X, X, w),
    "test_on_batch": lambda m, w: m.test_on_batch(X, X, w),
    "validation": lambda m, w: m.fit(X, validation_data=(X, X, w), verbose=0),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("weights", "said"), WEIGHTS.values(), ids=WEIGHTS)
def test_sample_weights_that_cannot_be_are_refused(weights, said, call):
    made = kerasae.stacked_autoencoder((6,), (4, 2))
    before = made.get_weights()
    with pytest.raises(ValueError, match=said):
        CALLS[call](made, weights)
    for one, other in zip(before, made.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sample_weights_and_labels_come_as_rows_do():
    """Lists, Series of any library, nullable ones, tables of one column."""
    pd, pl, pa = map(pytest.importorskip, ("pandas", "polars", "pyarrow"))
    numbers = np.linspace(0, 2, 400)
    given = [
        numbers.tolist(),
        pd.Series(numbers, index=np.arange(400)[::-1]),
        pd.Series(numbers).astype("Float64"),
        pl.Series(numbers),
        pa.array(numbers),
        keras.ops.convert_to_tensor(numbers),
    ]

    made = kerasae.stacked_autoencoder((6,), (4, 2))
    network = kerasae.supervised_from(made, keras.layers.Dense(1))
    network.compile("adam", "mse")

    def weighted(weights):
        return made.evaluate(X, sample_weight=weights, verbose=0)

    def labelled(labels):
        return network.evaluate(X, labels, verbose=0)

    assert weighted(numbers) != pytest.approx(weighted(np.ones(400)), rel=1e-3)
    assert labelled(numbers) != pytest.approx(labelled(numbers[::-1].copy()), rel=1e-6)
    for one in given:
        assert weighted(one) == pytest.approx(weighted(numbers), rel=1e-6)
        assert labelled(one) == pytest.approx(labelled(numbers), rel=1e-6)
    whole = np.arange(400)
    for one in (whole.tolist(), pd.Series(whole, dtype="Int64"), pd.DataFrame({"y": whole})):
        assert labelled(one) == pytest.approx(labelled(whole), rel=1e-6)
    # The same goes for training, whose weights and labels are looked at in the same way.
    made.fit(X, sample_weight=given[0], verbose=0)
    network.fit(X, given[1], verbose=0)
    for bad in (pd.Series([*"ab"] * 200), ["a"] * 400):
        with pytest.raises(TypeError, match="y must hold real numbers. Received: 'a'"):
            labelled(bad)
    with pytest.raises(ValueError, match="1 NaN or infinite labels, the first in row 399"):
        labelled(pd.Series([*range(399), None], dtype="Int64"))
