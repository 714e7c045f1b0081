import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

# Of the contract, what compiles some families once.
QUICK = ["test_contract.py", "-k", "falls and (denoising or variational or series)"]
WHOLE = [
    "layers",
    "callbacks",
    "models",
    "test_contract.py",
    "test_losses.py",
    "test_generation.py",
]


@pytest.mark.tensorflow
@pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="JAX is not installed")
@pytest.mark.parametrize("parts", [QUICK, pytest.param(WHOLE, marks=pytest.mark.slow)], ids=len)
def test_layers_and_models_keep_the_contract_on_jax(parts, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", *parts],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        # What was compiled once is not compiled again: 167 s instead of 305.
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        },
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
    assert keras.backend.backend() == "tensorflow"
