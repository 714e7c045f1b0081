import shutil
import time

import keras
import pytest

if keras.backend.backend() != "tensorflow":
    collect_ignore_glob = ["test_*.py"]
else:
    from kerasae.serving import Server
    from serving.models import save_all


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A folder of the suite's models."""
    folder = tmp_path_factory.mktemp("models")
    save_all(folder)
    return folder


@pytest.fixture(scope="session")
def server(models):
    """Our server over the suite's models."""
    with Server(models, rest_port=0, grpc_port=0, deadline=20) as server:
        yield server


@pytest.fixture
def plain(models, tmp_path):
    """A folder of one plain model, version 1."""
    shutil.copytree(models / "half_plus_three" / "123", tmp_path / "plain" / "1")
    return tmp_path


@pytest.fixture
def until():
    """Waits until a function returns something true, which it gives back."""

    def until(function, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := function():
                return value
            time.sleep(0.02)
        raise AssertionError(f"waited {seconds} seconds")

    return until
