"""Names that are somebody else's language are literal in what is exported."""

import pytest

from kerasae import export_saved_model, load_model, stacked_autoencoder
from kerasae.export import read_manifest
from kerasae.export.tf_serving import write_serving_files

pytestmark = pytest.mark.tensorflow
NAMES = [
    *('a"b', "a'b", "a\\b", "a\nb", "a\tb", "a b", "a}b", "a{b", "a#b", "a:b", 'a"\n}\nconfig {'),
    *("[red]", "$x$", "=1+1", "größe", "模型", "%s", "{}", "\\n", "\x01", "\x7f", "..."),
]


@pytest.fixture
def listed():
    def listed(root):
        from google.protobuf import text_format
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

        text = write_serving_files(root).read_text(encoding="utf-8")
        return text_format.Parse(text, ModelServerConfig()).model_config_list.config

    return listed


@pytest.mark.parametrize("name", NAMES)
def test_names_of_models_are_literal_in_the_list_of_tf_serving(tmp_path, listed, name):
    """Case 51."""
    for one in (name, "good"):
        (tmp_path / one / "1").mkdir(parents=True)
        (tmp_path / one / "1" / "saved_model.pb").touch()
    assert {one.name: one.base_path for one in listed(tmp_path)} == {
        name: f"/models/{name}",
        "good": "/models/good",
    }


def test_a_name_that_is_not_utf_8_is_left_out_with_a_warning(tmp_path, listed):
    """Case 51."""
    for name in (b"caf\xe9", b"good"):
        folder = tmp_path / name.decode(errors="surrogateescape") / "1"
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").touch()
    with pytest.warns(UserWarning, match=r"'caf\\udce9' is left out of models.config"):
        assert [one.name for one in listed(tmp_path)] == ["good"]


@pytest.mark.fast(every=5)
@pytest.mark.parametrize("name", NAMES)
def test_names_of_columns_are_literal_in_manifest_and_model(tmp_path, name):
    """Case 51."""
    from kerasae.export import publish_model

    model = stacked_autoencoder((2,), (1,), columns=[name, "b"])
    folder = publish_model(model, tmp_path / "demo", "litert", keras_model=True)
    assert read_manifest(folder)["columns"] == [name, "b"]
    assert list(load_model(folder).columns) == [name, "b"]


@pytest.mark.parametrize("name", ['a"b', "a\nb", "[red]", "模型", "..."])
def test_names_of_models_are_literal_in_warm_up_requests(tmp_path, name):
    """Case 51."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    folder = export_saved_model(stacked_autoencoder((2,), (1,)), tmp_path / name)
    (first, *_) = tf.data.TFRecordDataset(
        str(folder / "assets.extra" / "tf_serving_warmup_requests")
    )
    assert PredictionLog.FromString(first.numpy()).predict_log.request.model_spec.name == name
