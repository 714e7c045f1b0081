import shutil

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import anomaly
from kerasae.export import publish_model

N = 80
_Z = np.random.default_rng(0).normal(size=(N, 1))
NOISE = np.random.default_rng(1).normal(size=(N, 3))
FRAME = pd.DataFrame(10 + _Z * [1, 2, 3] + 0.1 * NOISE, columns=["a", "b", "c"])


@pytest.fixture
def frame():
    """Rows that a single coding describes."""
    return FRAME.copy()


@pytest.fixture(scope="session")
def _trained():
    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    scaler.adapt(FRAME)
    made = kerasae.stacked_autoencoder((3,), (2,), scaler=scaler, columns=list(FRAME))
    made.compile(keras.optimizers.Adam(0.03))
    made.fit(FRAME, epochs=30, verbose=0)
    anomaly.calibrate(made, FRAME)
    return made


@pytest.fixture(scope="session")
def _saved(_trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    publish_model(_trained, folder / "m", keras_model=True)
    return folder


@pytest.fixture(scope="session")
def _file(_trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "m.keras"
    _trained.save(path)
    return path


@pytest.fixture
def model(_file):
    """A model of its own, which a test may change."""
    return kerasae.load_model(_file)


@pytest.fixture
def saved(_saved, tmp_path):
    """A folder of saved models with "m", version 1, which a test may damage."""
    shutil.copytree(_saved, tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def write(tmp_path):
    """Writes a file of a name and a content, bytes or text."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write
