"""Files that version 0.1.0 wrote load and give the same outputs."""

from pathlib import Path

import keras
import numpy as np
import pytest

import kerasae

FOLDER = Path(__file__).parent / "data" / "0.1.0"
NAMES = sorted(path.stem for path in FOLDER.glob("*.keras") if path.stem != "supervised")


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "expected.npz") as file:
        return dict(file)


def check(got, expected):
    # Other processors round differently.
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.fast(every=2)
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", NAMES)
def test_a_model_predicts_and_trains_as_before(name, expected):
    model = kerasae.load_model(FOLDER / f"{name}.keras")
    rows = expected["images" if len(model.row_shape) == 3 else "x"]
    check(model.predict(rows, verbose=0), expected[f"{name}/predict"])
    check(model.encode(rows), expected[f"{name}/encode"])
    scores = kerasae.anomaly.score(model, rows)
    check(scores.anomaly_score, expected[f"{name}/score"])
    # A score that is rounded differently may change its rank among the calibrated ones.
    np.testing.assert_allclose(scores.p_value, expected[f"{name}/p"], atol=2 / 61)
    if f"{name}/generate" in expected:
        check(model.generate(3, seed=0), expected[f"{name}/generate"])
    model.fit(rows, epochs=1, shuffle=False, batch_size=16, verbose=0)
    np.testing.assert_allclose(model.encode(rows), expected[f"{name}/later"], atol=1e-3)


@pytest.mark.tensorflow
def test_a_supervised_model_predicts_as_before(expected):
    network = keras.saving.load_model(FOLDER / "supervised.keras")
    check(network.predict(expected["x"], verbose=0), expected["supervised/predict"])


@pytest.mark.tensorflow
def test_a_saved_model_gives_the_same_outputs(expected, c_library):
    folder = FOLDER / "saved_model" / "1"
    x = expected["x"]
    got = c_library(folder, dict.fromkeys(("encode", "reconstruct", "anomaly_score"), x))
    check(got["encode/codings"], expected["stacked/encode"])
    check(got["reconstruct/reconstruction"], expected["stacked/predict"])
    check(got["anomaly_score/anomaly_score"], expected["stacked/score"])
    assert kerasae.verify(folder) > 3


@pytest.mark.tensorflow
def test_an_export_of_a_loaded_model_gives_the_same_outputs(expected, tmp_path, c_library):
    model = kerasae.load_model(FOLDER / "stacked.keras")
    folder = kerasae.export_saved_model(model, tmp_path / "again")
    got = c_library(folder, {"anomaly_score": expected["x"]})
    check(got["anomaly_score/anomaly_score"], expected["stacked/score"])


# Keras alone, which only finds classes that were imported, in whichever order.
ORDERS = ["import kerasae, keras", "import keras, kerasae", "import kerasae, tensorflow"]


@pytest.mark.fast(every=3)
@pytest.mark.tensorflow
@pytest.mark.parametrize("imports", ORDERS)
def test_keras_loads_a_model_after_import_kerasae(imports, run_python):
    code = f"{imports}, sys; from keras.saving import load_model; print(load_model(sys.argv[1]))"
    assert "Autoencoder" in run_python(code, FOLDER / "stacked.keras")
