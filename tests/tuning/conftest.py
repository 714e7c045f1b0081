import math

import pytest

from kerasae.tuning import sweep

SPACE = {"layout": ["4", "8", "6-3-6"], "learning_rate": [0.001, 0.01]}


@pytest.fixture
def space():
    return SPACE


@pytest.fixture
def untrained(monkeypatch):
    """Gives trials an error without training; the list of the trials that it was called for."""
    trained = []

    def train(self, values, folder):
        trained.append(folder.name)
        (folder / "model.keras").write_text("")
        numbers = [len(str(values.get("layout"))), values.get("learning_rate", 0)]
        mse = abs(math.sin(sum(numbers) * 1000)) + 1 / values.get("tuner/epochs", 1)
        return {"val_mse": mse, "test_mse": mse, "epochs": 1, "fit_seconds": 0.0}

    monkeypatch.setattr(sweep.Sweep, "_train", train)
    return trained
