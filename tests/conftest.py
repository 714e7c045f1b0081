import collections
import json
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

import kerasae
from kerasae import cli

ROOT = Path(__file__).parent.parent
collect_ignore = ["user_script.py"]  # for the type checker, not to be run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of the cases of a test marked `fast(every=n)`, each but every n-th becomes slow."""
    seen = collections.Counter()
    for item in items:
        if mark := item.get_closest_marker("fast"):
            name = item.nodeid.split("[")[0]
            if seen[name] % mark.kwargs["every"]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1
    if keras.backend.backend() != "tensorflow":
        skip = pytest.mark.skip(reason="needs the TensorFlow backend")
        for item in items:
            if item.get_closest_marker("tensorflow"):
                item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def digits():
    """The 1,797 digits in [0, 1]."""
    return kerasae.datasets.load("digits").x.astype("float32") / 16


@pytest.fixture(scope="session")
def mnist():
    """The full MNIST, where KERASAE_DATA_DIR has it."""
    folder = os.environ.get("KERASAE_DATA_DIR")
    if not folder or not (Path(folder) / "mnist.npz").exists():
        pytest.skip("KERASAE_DATA_DIR is not set to a folder with mnist.npz")
    return kerasae.datasets.load("mnist")


@pytest.fixture
def run_python(tmp_path):
    """Runs a script in a fresh process and returns what it printed last."""

    def run(code, *arguments, **environment):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip().splitlines()[-1]

    return run


@pytest.fixture(name="kerasae")
def command(monkeypatch, capsys, tmp_path):
    """Runs the command in a folder of its own; returns its status and what it wrote."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerasae", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return ended.value.code or 0, written.out, written.err

    return run


@pytest.fixture
def mistake(kerasae):
    """Runs a command that ends with status 2; returns its one line of error."""

    def run(*arguments):
        status, _, err = kerasae(*arguments)
        assert status == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run


@pytest.fixture
def c_library(tmp_path):
    """Outputs of an export by TensorFlow's C library alone, by "signature/output"."""

    def outputs(folder, feeds):
        import tensorflow as tf
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

        graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]
        names = {}
        for name, signature in graph.signature_def.items():
            if name in feeds:
                (feed,) = signature.inputs.values()
                names[name] = feed.name, {key: one.name for key, one in signature.outputs.items()}
        np.savez(tmp_path / "feeds.npz", **feeds)
        client = ROOT / "tests" / "c_client.py"
        files = folder, tmp_path / "feeds.npz", tmp_path / "outputs.npz"
        arguments = (client, Path(tf.__file__).parent, *files, json.dumps(names))
        subprocess.run([sys.executable, *map(str, arguments)], check=True)
        return dict(np.load(tmp_path / "outputs.npz"))

    return outputs


@pytest.fixture
def gradient():
    """The gradient of a scalar function of tensors at arrays, on any backend."""

    def tensorflow(function, x):
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)

    def jax(function, x):
        import jax

        return jax.grad(function)(keras.ops.convert_to_tensor(x))

    chosen = {"tensorflow": tensorflow, "jax": jax}[keras.backend.backend()]
    return lambda function, x: np.asarray(keras.ops.cast(chosen(function, x), "float32"))
