"""SavedModels that take a table by the names of its columns, and codes elsewhere."""

import json
import urllib.request

import keras
import numpy as np
import pytest

import kerasae
from kerasae.export.named import input_names

pd = pytest.importorskip("pandas")
pytestmark = pytest.mark.tensorflow
if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are TensorFlow's", allow_module_level=True)


@pytest.fixture(scope="module")
def exported(model, table, tmp_path_factory):
    kerasae.anomaly.calibrate(model, table)
    folder = kerasae.export_saved_model(
        model, tmp_path_factory.mktemp("models") / "t", features=["hidden_1"]
    )
    return folder, json.loads((folder / "manifest.json").read_text())


@pytest.fixture(scope="module")
def signatures(exported):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(exported[0]))
    yield loaded.signatures


def inputs_of(table, described):
    """The columns of a table as the manifest describes the inputs."""
    import tensorflow as tf

    found = {}
    for one in described:
        cells = table[one["column"]]
        if one["kind"] == "datetime":
            cells = cells.astype("datetime64[ns]").astype("int64") / 1e9
        elif one["dtype"] == "string":
            cells = cells.astype(object).where(cells.notna(), "")
        found[one["input"]] = tf.constant(cells.to_numpy(), one["dtype"])
    return found


def test_signatures_by_name_are_the_model(exported, signatures, model, table):
    inputs = inputs_of(table, exported[1]["table"])
    np.testing.assert_allclose(
        signatures["encode"](**inputs)["codings"], model.encode(table), atol=2e-6
    )
    np.testing.assert_allclose(
        signatures["serving_default"](**inputs)["codings"], model.encode(table), atol=2e-6
    )
    np.testing.assert_allclose(
        signatures["features"](**inputs)["hidden_1"],
        kerasae.deep_features(model, table, "hidden_1"),
        atol=2e-6,
    )
    scores = kerasae.anomaly.score(model, table, top=3)
    found = signatures["anomaly_score"](**inputs)
    np.testing.assert_allclose(found["anomaly_score"], scores.anomaly_score, rtol=1e-5, atol=2e-6)
    back, expected = signatures["reconstruct"](**inputs), model.reconstruct(table)
    np.testing.assert_allclose(back["size"], expected["size"], atol=1e-5)
    colours = [text.decode() for text in back["colour"].numpy()]
    assert colours == expected.colour.tolist()
    seconds = expected.when.astype("datetime64[ns]").astype("int64") / 1e9
    np.testing.assert_allclose(back["when"], seconds, rtol=0, atol=60)
    named = signatures["explain"](**inputs)
    columns = np.vectorize(bytes.decode)(named["column"].numpy())
    assert (columns == scores.worst.column).mean() > 0.99
    np.testing.assert_allclose(named["error"], scores.worst.error, rtol=1e-3, atol=1e-4)
    first = named["column"].numpy()[0, 0].decode()
    if first == "colour":
        assert named["expected"].numpy()[0, 0].decode() == expected.colour.iloc[0]


def test_unseen_levels_and_missing_cells_have_outputs(exported, signatures, model, table):
    odd = table.head(4).copy()
    odd["colour"] = ["mauve", "", "red", "green"]
    odd.iloc[3, odd.columns.get_loc("size")] = np.nan
    inputs = inputs_of(odd, exported[1]["table"])
    np.testing.assert_allclose(
        signatures["encode"](**inputs)["codings"], model.encode(odd), atol=2e-6
    )
    scores = signatures["anomaly_score"](**inputs)["anomaly_score"].numpy()
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(scores, model.reconstruction_error(odd), rtol=1e-5)


def test_codes_are_a_signature_that_tensorflow_alone_runs(exported, model, table, c_library):
    codes = model.schema.codes(table)
    outputs = c_library(exported[0], {"encode_codes": codes, "anomaly_score_codes": codes})
    np.testing.assert_allclose(
        outputs["encode_codes/codings"], model.encode(table), rtol=1e-5, atol=2e-6
    )


def test_the_manifest_tells_names_types_and_levels(exported):
    described = {one["column"]: one for one in exported[1]["table"]}
    assert described["colour"]["levels"] == ["blue", "green", "red"]
    assert {name: one["dtype"] for name, one in described.items()} == {
        "size": "float32",
        "count": "float32",
        "colour": "string",
        "sold": "bool",
        "when": "float64",
        "grade": "string",
    }


def test_rest_by_the_names_of_the_columns(exported, model, table):
    from kerasae.serving import Server

    row = {"size": 2.1, "count": 21, "colour": "green", "sold": True, "grade": "mid"}
    row["when"] = 1_712_000_000
    odd = {**row, "size": None, "colour": None}
    with Server(exported[0].parent.parent, rest_port=0, grpc_port=0) as server:

        def post(body):
            url = f"http://127.0.0.1:{server.rest_port}/v1/models/t:predict"
            request = urllib.request.Request(url, json.dumps(body).encode())
            return json.loads(urllib.request.urlopen(request).read())["predictions"]

        codings = post({"instances": [row, odd]})
        frame = pd.DataFrame([row, odd]).assign(when=pd.to_datetime([row["when"]] * 2, unit="s"))
        np.testing.assert_allclose(codings, model.encode(frame), atol=1e-5)
        found = post({"signature_name": "explain", "instances": [{**row, "count": 900}]})
        assert found[0]["column"][0] == "count"
        assert float(found[0]["value"][0]) == 900
        url = f"http://127.0.0.1:{server.rest_port}/v1/models/t/metadata"
        metadata = json.loads(urllib.request.urlopen(url).read())["metadata"]
        assert metadata["columns"] == exported[1]["table"]


def test_any_name_of_a_column_can_be_served(tmp_path):
    import tensorflow as tf

    names = ["net income ($)", "größe", "'; drop", "2nd"]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=names)
    model = kerasae.table_autoencoder(frame, (4, 1))
    folder = kerasae.export_saved_model(model, tmp_path / "t")
    described = json.loads((folder / "manifest.json").read_text())["table"]
    assert [one["column"] for one in described] == names
    signature = tf.saved_model.load(str(folder)).signatures["encode"]
    found = signature(**inputs_of(frame, described))["codings"]
    np.testing.assert_allclose(found, model.encode(frame), atol=2e-6)
    assert len(set(input_names(["a b", "a_b", "a.b", ""]))) == 4


def scale_of(model):
    unit = np.ones(len(model.schema), "float32")
    unit[model.scaler.layout.values] = model.scaler.spread
    return unit


def test_onnx_and_litert_take_codes(model, table, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    codes = model.schema.codes(table)
    folder = kerasae.export_onnx(model, tmp_path / "onnx")
    assert set(json.loads((folder / "manifest.json").read_text())["left_out"]) <= {"generate"}
    expected = {
        "encode": model.encode(codes),
        "reconstruction_error": model.reconstruction_error(codes),
        "reconstruct": model.predict(codes, verbose=0),
    }
    for name, output in expected.items():
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        (found,) = session.run(None, {"rows": codes})
        unit = scale_of(model) if name == "reconstruct" else 1  # on the scaled values
        np.testing.assert_allclose(found / unit, output / unit, rtol=2e-6, atol=2e-6)
    folder = kerasae.export_litert(model, tmp_path / "litert")
    assert set(json.loads((folder / "manifest.json").read_text())["left_out"]) <= {"generate"}
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    runner = interpreter.Interpreter(str(folder / "model.tflite")).get_signature_runner("encode")
    found = np.concatenate([runner(rows=row[None])["codings"] for row in codes[:10]])
    np.testing.assert_allclose(found, expected["encode"][:10], atol=2e-6)


def test_booleans_with_missing_cells_come_back_as_booleans():
    """They come in as 1, 0 and NaN, and their words are those of other booleans."""
    from kerasae.export.named import named_signatures

    sold = pd.array([True, False, None] * 20, dtype="boolean")
    table = pd.DataFrame({"size": np.arange(60) % 7 + 0.5, "sold": sold})
    model = kerasae.table_autoencoder(table, (4, 1))
    endpoints = named_signatures(model)
    inputs = {"size": np.float32([0.5, 1.5, 2.5]), "sold": np.float32([1, 0, np.nan])}
    inputs = {name: keras.ops.convert_to_tensor(cells) for name, cells in inputs.items()}
    back = endpoints["reconstruct"][0](inputs)["sold"].numpy()
    assert back.dtype == bool
    cells = model.reconstruct(table.head(3)).sold
    assert cells.dtype == sold.dtype
    assert back.tolist() == cells.tolist()
    found = {name: one.numpy() for name, one in endpoints["explain"][0](inputs).items()}
    of_sold = found["column"] == b"sold"
    assert found["value"][of_sold].tolist() == [b"true", b"false", b"nan"]
    assert set(found["expected"][of_sold]) <= {b"true", b"false"}
