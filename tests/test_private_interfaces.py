"""What is used beyond the public interface of others, and what upstream would have to change.

Each use has an upper bound in pyproject.toml. A release that frees one, or moves it, fails here
first: look at the reason, then raise the bound or go over to the public way.
"""

import importlib
import re
import tomllib
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parent.parent
# Package: name of its upper bound's dependency, and each private use with what would free it.
USES = {
    "keras": {
        "_initial_epoch": "a public way for a backup to say where fit begins (BackupAndRestore)",
        "_should_trace": "a public attribute profile_batch of keras.callbacks.TensorBoard",
        "_flatten_layers": "a public iterator over all layers of a model",
        "_momentums": "a fused update in Keras's own Adam on TensorFlow, or public moments",
        "_velocities": "the same",
        "_get_variable_index": "the same, or a public index for optimizers that are subclasses",
    },
    "keras-tuner": {
        "keras_tuner.src.distribute.oracle_chief": "a public chief (keras-tuner#1055 and workers)",
        "keras_tuner.src.protos": "the same",
        "_retry_queue": "an oracle that resumes: https://github.com/keras-team/keras-tuner/issues/1055",
    },
    "tensorflow": {
        "tensorflow.python.framework.convert_to_constants": "tf2onnx taking a concrete function",
        "tensorflow.python.eager.cancellation": "a public way to end a function that runs too long",
    },
}


@pytest.mark.parametrize("package", USES)
def test_what_is_private_has_an_upper_bound(package):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bound,) = [d for d in project["dependencies"] if re.match(rf"{package}[<>=]", d)]
    assert "<" in bound


@pytest.mark.parametrize("use", [use for uses in USES.values() for use in uses])
def test_each_use_is_still_one(use):
    """A use that is gone from the code is to be struck from the list."""
    sources = [path.read_text() for path in (ROOT / "kerasae").rglob("*.py")]
    last = use.rpartition(".")[2]
    assert any(use in source or f"import {last}" in source for source in sources)


def test_no_private_module_is_imported_but_those_listed():
    listed = {use for uses in USES.values() for use in uses if "." in use}
    pattern = r"^\s*from ((?:keras\.src|keras_tuner\.src|tensorflow\.python)[\w.]*) import (\w+)"
    for path in (ROOT / "kerasae").rglob("*.py"):
        for module, name in re.findall(pattern, path.read_text(), re.M):
            assert module in listed or f"{module}.{name}" in listed, path


def test_keras_has_what_is_used():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    assert model._initial_epoch is None
    assert len(list(model._flatten_layers())) >= 2
    adam = keras.optimizers.Adam()
    adam.build(model.trainable_variables)
    index = adam._get_variable_index(model.trainable_variables[1])
    assert adam._momentums[index].shape == adam._velocities[index].shape == (1,)
    if keras.backend.backend() == "tensorflow":
        assert keras.callbacks.TensorBoard("x")._should_trace is False


@pytest.mark.tensorflow
def test_keras_tuner_and_tensorflow_have_what_is_used():
    chief = importlib.import_module("keras_tuner.src.distribute.oracle_chief")
    assert callable(chief.OracleServicer)
    convert = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    assert callable(convert.convert_variables_to_constants_v2)
