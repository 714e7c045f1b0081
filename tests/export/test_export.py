import json
import shutil
import subprocess
import sys
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest

from kerasae import RangeScaling, export_saved_model, load_model, stacked_autoencoder
from kerasae.export import FORMATS, publish_model, read_manifest
from kerasae.export.tf_serving import write_serving_files
from kerasae.export.versions import publish, verify, versions

OUTPUTS = {
    "serving_default": "codings",
    "encode": "codings",
    "reconstruct": "reconstruction",
    "reconstruction_error": "reconstruction_error",
}


@pytest.fixture
def model(digits):
    scaler = RangeScaling()
    scaler.adapt(digits)
    names = [f"pixel {i}" for i in range(64)]
    return stacked_autoencoder((64,), (20, 7), scaler=scaler, columns=names)


@pytest.fixture
def exported(model, digits, tmp_path):
    """The folder of a trained model's export, and what its methods give for rows in x.npy."""
    model.fit(digits, epochs=1, verbose=0)
    folder = export_saved_model(model, tmp_path / "demo", metrics={"test_mse": 0.5})
    x = digits[:10]
    np.save(tmp_path / "x.npy", x)
    return folder, {
        "serving_default": model.encode(x),
        "encode": model.encode(x),
        "reconstruct": model.predict(x, verbose=0),
        "reconstruction_error": model.reconstruction_error(x),
    }


@pytest.mark.slow
@pytest.mark.tensorflow
def test_saved_model_cli_gives_the_same_as_predict(exported, tmp_path):
    folder, expected = exported
    tool = Path(sys.executable).with_name("saved_model_cli")
    subprocess.run(
        [
            *(tool, "run", "--dir", folder, "--tag_set", "serve"),
            *("--signature_def", "reconstruct", "--inputs", f"rows={tmp_path / 'x.npy'}"),
            *("--outdir", tmp_path),
        ],
        check=True,
        capture_output=True,
    )
    got = np.load(tmp_path / "reconstruction.npy")
    np.testing.assert_allclose(got, expected["reconstruct"], rtol=0, atol=1e-6)


@pytest.mark.tensorflow
def test_the_manifest_describes_the_model(exported):
    folder, _ = exported
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["kerasae"] == version("kerasae")
    assert manifest["keras"] == keras.__version__
    assert manifest["row_shape"] == [64]
    assert manifest["columns"][63] == "pixel 63"
    assert manifest["layout"] == "20-7-20"
    assert manifest["codings"] == 7
    assert manifest["scaler"] == "RangeScaling"
    assert manifest["epochs"] == 1
    assert manifest["signatures"] == [*OUTPUTS, "encode_uint8", "decode"]
    assert set(manifest["metrics"]) == {"loss", "mse", "test_mse"}


@pytest.mark.tensorflow
def test_versions_count_on_and_are_never_overwritten(model, tmp_path):
    assert export_saved_model(model, tmp_path / "demo").name == "1"
    assert export_saved_model(model, tmp_path / "demo", version=7).name == "7"
    assert export_saved_model(model, tmp_path / "demo").name == "8"
    before = sorted((tmp_path / "demo").rglob("*"))
    with pytest.raises(FileExistsError, match="version=7, which exists.*Try version 9$"):
        export_saved_model(model, tmp_path / "demo", version=7)
    for number in (0, -1, 1.5):
        with pytest.raises(ValueError, match="version"):
            export_saved_model(model, tmp_path / "demo", version=number)
    assert sorted((tmp_path / "demo").rglob("*")) == before


EXPORTS = {
    "saved_model": "saved_model.pb",
    "onnx": "reconstruct.onnx",
    "litert": "model.tflite",
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_published_with_plots_model_and_metrics(form, model, digits, tmp_path):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="no tf2onnx: pip install 'kerasae[onnx]'")
    from matplotlib.image import imread

    from kerasae.plots import error_histogram

    history = model.fit(digits, epochs=2, verbose=0).history
    errors = model.reconstruction_error(digits)
    plots = {name: error_histogram(errors) for name in ("test_errors", "all_errors")}
    folder = publish_model(
        model,
        tmp_path / "demo",
        form,
        metrics={"test_mse": 0.5},
        plots=plots,
        keras_model=True,
    )
    assert folder == tmp_path / "demo" / "1"
    assert (folder / EXPORTS[form]).stat().st_size
    assert sorted(path.name for path in (folder / "plots").iterdir()) == [
        "all_errors.png",
        "test_errors.png",
    ]
    for name, figure in plots.items():
        width, height = figure.get_size_inches() * 120
        assert imread(folder / "plots" / f"{name}.png").shape[:2] == (int(height), int(width))
    np.testing.assert_array_equal(load_model(folder).encode(digits), model.encode(digits))
    last = {name: pytest.approx(values[-1]) for name, values in history.items()}
    manifest = read_manifest(folder)
    assert manifest["metrics"] == {**last, "test_mse": 0.5}
    assert manifest["epochs"] == 2
    assert {"plots/all_errors.png", "plots/test_errors.png", "model.keras", EXPORTS[form]} <= set(
        manifest["files"]
    )
    verify(folder)


@pytest.mark.tensorflow
def test_plots_and_model_are_only_written_where_they_are_wanted(model, tmp_path):
    folder = publish_model(model, tmp_path / "demo", "litert")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.tflite"]
    assert read_manifest(folder)["metrics"] == {}


def test_impossible_exports_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="format must be one of .*format='onxx'. Try onnx$"):
        publish_model(model, tmp_path, "onxx")
    with pytest.raises(ValueError, match="features must .*'saved_model'. Received: format='onnx'"):
        publish_model(model, tmp_path, "onnx", features=["codings"])
    assert not list(tmp_path.iterdir())


def publish_at_once(directory, number=None):
    """Two writers that both fill their folder before either is renamed; what each got."""
    written = threading.Barrier(2, timeout=60)

    def publish_as(name):
        def write(folder):
            (folder / "name").write_text(name)
            written.wait()

        try:
            return publish(write, directory, number)
        except FileExistsError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return dict(zip("ab", pool.map(publish_as, "ab"), strict=True))


@pytest.mark.parametrize("attempt", range(10))
def test_two_writers_at_once_both_get_a_version(tmp_path, attempt):
    folders = publish_at_once(tmp_path / "demo")
    assert sorted(folder.name for folder in folders.values()) == ["1", "2"]
    for name, folder in folders.items():
        assert (folder / "name").read_text() == name
        assert verify(folder) == 1
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["1", "2"]


@pytest.mark.parametrize("attempt", range(10))
def test_of_two_writers_of_one_version_only_one_gets_it(tmp_path, attempt):
    outcomes = publish_at_once(tmp_path / "demo", 7)
    (winner,) = (name for name, one in outcomes.items() if isinstance(one, Path))
    (loser,) = (one for one in outcomes.values() if not isinstance(one, Path))
    assert "version=7, which exists" in str(loser)
    assert (tmp_path / "demo" / "7" / "name").read_text() == winner
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["7"]


def test_a_version_that_fails_midway_leaves_nothing(tmp_path):
    def fail(folder):
        (folder / "saved_model.pb").write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        publish(fail, tmp_path / "demo")
    assert list((tmp_path / "demo").iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from kerasae.export.versions import publish
def write(folder):
    (folder / "saved_model.pb").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
publish(write, sys.argv[1])
"""


def test_a_version_that_is_killed_midway_never_appears(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "demo"], check=False)
    assert done.returncode == -9
    assert versions(tmp_path / "demo") == []
    publish(lambda folder: (folder / "whole").touch(), tmp_path / "demo")
    assert versions(tmp_path / "demo") == [1]


@pytest.mark.tensorflow
def test_every_byte_is_verified(exported):
    folder, _ = exported
    count = verify(folder)
    assert count == sum(path.is_file() for path in folder.rglob("*")) - 1
    weights = next((folder / "variables").glob("*.data*"))
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"as they were written. Received: variables/.* changed"):
        verify(folder)
    weights.unlink()
    with pytest.raises(ValueError, match="Received: variables/.* missing"):
        verify(folder)
    weights.write_bytes(content)
    (folder / "new").touch()
    with pytest.raises(ValueError, match="Received: new added"):
        verify(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="the manifest must be JSON"):
        verify(folder)
    with pytest.raises(FileNotFoundError, match="variables, without manifest.json"):
        verify(folder / "variables")


@pytest.mark.tensorflow
def test_warm_up_requests_replay(exported):
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    folder, _ = exported
    signatures = tf.saved_model.load(str(folder)).signatures
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    replayed = set()
    for record in records:
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "demo"
        inputs = {key: tf.constant(tf.make_ndarray(one)) for key, one in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        assert all(len(output) == 1 for output in outputs.values())
        replayed.add(request.model_spec.signature_name)
    assert replayed == set(signatures)


@pytest.mark.tensorflow
def test_the_servers_list_names_every_model(exported, tmp_path):
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    (tmp_path / "empty").mkdir()
    (tmp_path / "batching.config").write_text("mine")
    text = write_serving_files(tmp_path).read_text()
    listed = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert [(one.name, one.base_path) for one in listed] == [("demo", "/models/demo")]
    assert (tmp_path / "batching.config").read_text() == "mine"
    assert "127.0.0.1:8501:8501" in (tmp_path / "compose.yaml").read_text()


def test_a_broken_model_is_not_exported(model, tmp_path):
    model.encoder.get_layer("codings").bias.assign(np.full(7, np.nan))
    with pytest.raises(ValueError, match="NaN or infinite weights.*codings/bias"):
        export_saved_model(model, tmp_path / "demo")
    assert versions(tmp_path / "demo") == []


def test_models_are_loaded_from_files_and_folders_of_versions(model, digits, tmp_path):
    (tmp_path / "demo" / "2").mkdir(parents=True)
    (tmp_path / "demo" / "10").mkdir()
    model.save(tmp_path / "demo" / "10" / "model.keras")
    shutil.copy(tmp_path / "demo" / "10" / "model.keras", tmp_path / "copy.keras")
    for path in ("demo", "demo/10", "demo/10/model.keras", "copy.keras"):
        loaded = load_model(tmp_path / path)
        np.testing.assert_array_equal(loaded.encode(digits[:5]), model.encode(digits[:5]))
    assert loaded.columns == model.columns
    for path in ("nowhere.keras", "demo/2", "nowhere"):
        with pytest.raises(
            FileNotFoundError, match=f"Received: .*{Path(path).name}.*, which does not exist"
        ):
            load_model(tmp_path / path)


def test_damaged_models_are_called_corrupt(model, tmp_path):
    model.save(tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    middle = len(content) // 2
    damaged = {
        "truncated": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :],
        "foreign": b"<html>not found</html>",
        "empty": b"",
    }
    for name, bad in damaged.items():
        path = tmp_path / f"{name}.keras"
        path.write_bytes(bad)
        with pytest.raises(
            ValueError, match=f"whole .keras file. Received: a corrupt one, .*{name}.keras"
        ):
            load_model(path)
    with zipfile.ZipFile(tmp_path / "zip.keras", "w") as archive:
        archive.writestr("readme.txt", "not a model")
    with pytest.raises(ValueError, match="Received: a corrupt one, .* is missing .*zip.keras"):
        load_model(tmp_path / "zip.keras")


@pytest.mark.parametrize("name", ["model.h5", "model.pkl", "model"])
def test_other_formats_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(
        ValueError, match=f"must be a .keras file.*Received: .*{name}. Try model.save"
    ):
        load_model(tmp_path / name)


def test_models_that_run_code_are_refused(tmp_path):
    layers = [keras.Input((3,)), keras.layers.Lambda(lambda x: x + 1)]
    keras.Sequential(layers).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match="Lambda layer, which runs code when loaded"):
        load_model(tmp_path / "lambda.keras")

    class Unregistered(keras.layers.Layer):
        def call(self, inputs):
            return inputs

    keras.Sequential([keras.Input((3,)), Unregistered()]).save(tmp_path / "unknown.keras")
    with pytest.raises(ValueError, match="classes of Keras or kerasae. Received: .*'Unregistered'"):
        load_model(tmp_path / "unknown.keras")
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must be a kerasae Autoencoder. Received: a Sequential"):
        load_model(tmp_path / "other.keras")
