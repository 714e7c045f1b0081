import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

PARTS = ["layers", "callbacks", "test_contract.py"]


@pytest.mark.tensorflow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
def test_layers_and_models_keep_the_contract_on_jax():
    tests = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *(str(tests / part) for part in PARTS)],
        capture_output=True,
        text=True,
        cwd=tests.parent,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
    assert keras.backend.backend() == "tensorflow"
