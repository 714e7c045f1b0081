"""The public names: lazy, typed, and understandable when they are misused."""

import importlib
import inspect
import os
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasae

ROOT = Path(__file__).parent.parent
MODULES = ["anomaly", "callbacks", "datasets", "export", "layers", "methods", "models", "plots"]
MODULES += ["engines", "series", "sklearn", "tuning", "atomic", "validation"]


def public_objects():
    yield from ((f"kerasae.{name}", getattr(kerasae, name)) for name in kerasae.__all__)
    for module in MODULES:
        found = importlib.import_module(f"kerasae.{module}")
        for name in getattr(found, "__all__", [n for n in vars(found) if n[0] != "_"]):
            one = getattr(found, name)
            if getattr(one, "__module__", "").startswith("kerasae"):
                yield f"{found.__name__}.{name}", one


def callables():
    """Public functions, constructors and methods by name."""
    seen = set()
    for name, one in public_objects():
        if not callable(one) or id(one) in seen:
            continue
        seen.add(id(one))
        if not isinstance(one, type):
            yield name, one
            continue
        if issubclass(one, tuple):
            continue  # a NamedTuple has typed fields
        for method, attribute in vars(one).items():
            private = method.startswith("_") and method not in ("__init__", "__call__")
            # Keras documents and types its own hooks.
            of_keras = any(hasattr(base, method) for base in one.__mro__ if keras_class(base))
            function = inspect.unwrap(getattr(attribute, "__func__", attribute))
            ours = not of_keras or method in ("__init__", "fit", "evaluate", "predict", "compile")
            if inspect.isfunction(function) and ours and not private:
                yield f"{name}.{method}", function


def keras_class(base):
    return base.__module__.startswith("keras.") and base is not object


CALLABLES = dict(callables())


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_callable_is_typed_and_names_its_arguments(name):
    signature = inspect.signature(CALLABLES[name])
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        assert parameter.annotation is not parameter.empty, f"{name}({parameter.name})"
        if parameter.kind is parameter.VAR_KEYWORD and ".evaluate" not in name:
            spelled = typing.get_origin(parameter.annotation) is typing.Unpack
            assert spelled or parameter.annotation is typing.Any, f"{name}(**{parameter.name})"
    assert signature.return_annotation is not signature.empty, name


def test_there_are_about_fifty_public_names():
    assert 40 <= len(kerasae.__all__) <= 60
    assert sorted(kerasae.__all__) == sorted(set(kerasae.__all__))
    assert "soft_threshold" not in dir(kerasae)


@pytest.mark.parametrize("name", kerasae._MOVED)
def test_names_of_before_still_work_and_say_where_they_are(name):
    with pytest.warns(DeprecationWarning, match=f"kerasae.{name} has moved to kerasae"):
        one = getattr(kerasae, name)
    assert callable(one)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = kerasae.no_such_name


def test_old_import_paths_work():
    from kerasae.anomaly import Scores, calibrate, score, trim_and_refit
    from kerasae.datasets import load
    from kerasae.serving import Server
    from kerasae.tuning import best_model, leaderboard, search

    assert all(map(callable, (Scores, calibrate, score, trim_and_refit, load, Server)))
    assert all(map(callable, (best_model, leaderboard, search)))


@pytest.mark.parametrize("family", kerasae.ZOO)
def test_a_typo_names_the_function_that_was_called(family):
    builder = kerasae.ZOO[family]
    with pytest.raises(TypeError, match=f"{builder.__name__}.*outptu_activation") as caught:
        builder((64,), 10, outptu_activation="relu")
    if family != "stacked":
        assert str(caught.value).endswith("Try output_activation")


@pytest.mark.parametrize("family", kerasae.ZOO)
def test_a_builder_shows_all_its_arguments(family):
    names = set(inspect.signature(kerasae.ZOO[family]).parameters)
    assert {"input_shape", "hidden_units", "activation", "scaler", "columns", "name"} <= names


def test_a_model_shows_verbs_and_parts():
    own = {name for name in vars(kerasae.Autoencoder) if name[0] != "_"}
    keras_own = set(dir(keras.Model))
    assert own - keras_own == {
        *("encode", "decode", "reconstruct", "reconstruction_error", "generate"),
        *("prior", "row_shape"),
    }


HEAVY = "print(sorted({'keras', 'numpy', 'tensorflow', 'matplotlib', 'typer'} & set(sys.modules)))"


def test_importing_takes_nothing_heavy(run_python):
    assert run_python(f"import kerasae, sys; dir(kerasae); {HEAVY}") == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("file", ["kerasae.py", "kerasae"])
def test_a_program_may_have_any_name(tmp_path, file):
    # Started from elsewhere, so that it does not hide the package.
    folder = tmp_path / "scripts"
    folder.mkdir()
    (folder / file).write_text(
        "import sys; sys.path = [p for p in sys.path if 'scripts' not in p]\n"
        "import kerasae; print(kerasae.RangeScaling.__name__)"
    )
    done = subprocess.run(
        [sys.executable, folder / file], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "RangeScaling"


# What everybody has who installed Keras and JAX; the rest is blocked.
CORE = """
import sys
import importlib.abc, importlib.util

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in ("tensorflow", "keras_tuner", "typer", "pyarrow", "tensorboard", "sklearn",
                   "tensorflow_serving", "pandas", "tf2onnx", "onnx", "starlette", "grpc"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=top)
sys.meta_path.insert(0, Missing())
find_spec = importlib.util.find_spec
def find_or_none(name, package=None):
    try:
        return find_spec(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_or_none

import numpy as np, kerasae
from kerasae import anomaly, callbacks, layers, models, plots
x = np.random.default_rng(0).uniform(size=(64, 8))
scaler = kerasae.RangeScaling(); scaler.adapt(x)
model = kerasae.sparse_autoencoder((8,), (6, 3), scaler=scaler)
history = model.fit(x, epochs=3, verbose=0, callbacks=[callbacks.StabilityGuard()]).history
assert history["loss"][-1] < history["loss"][0]
anomaly.calibrate(model, x, "p90")
plots.loss_curve(history)
assert kerasae.deep_features(model, x, "hidden_1").shape == (64, 6)
model.save("model.keras")
assert kerasae.load_model("model.keras").encode(x).shape == (64, 3)
try:
    kerasae.export_saved_model(model, "demo")
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_the_core_trains_on_jax_without_tensorflow(run_python):
    said = run_python(CORE, KERAS_BACKEND="jax")
    assert said == "tensorflow must be installed for a SavedModel. Try pip install tensorflow"


NEEDED = "keras numpy jax jaxlib ml_dtypes opt_einsum scipy absl-py rich markdown-it-py mdurl "
NEEDED += "pygments namex h5py optree packaging typing_extensions lazy_loader matplotlib contourpy "
NEEDED += "cycler fonttools kiwisolver pillow pyparsing python-dateutil six"


@pytest.mark.slow
def test_the_core_trains_on_jax_in_an_environment_of_its_own(tmp_path):
    """Installed by `pip install --no-deps`, with what Keras, JAX and Matplotlib need alone."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "-q", "--no-deps"]
    shutil.copytree(ROOT, tmp_path / "source", ignore=shutil.ignore_patterns(".git", "*.egg-info"))
    subprocess.run([*pip, tmp_path / "source", *NEEDED.split()], check=True, cwd=tmp_path)
    done = subprocess.run(
        [python, "-c", CORE],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "pip install tensorflow" in done.stdout


def test_user_script_names_exist():
    """The script that the type checker reads (`mypy`, in .ci/run) uses names that there are."""
    code = compile((ROOT / "tests" / "user_script.py").read_text(), "user_script.py", "exec")
    for name in code.co_names:
        if name in kerasae.__all__:
            assert getattr(kerasae, name) is not None
    assert np.__name__ in code.co_names or "np" in code.co_names
