"""The fused Adam is Keras's Adam."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import FusedAdam

OPTIONS = {
    "plain": {},
    "betas": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "amsgrad": {"amsgrad": True},
    "decay": {"weight_decay": 0.01, "clipnorm": 0.1},
    "accumulated": {"gradient_accumulation_steps": 2},
    "schedule": {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.5)},
}


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.fast(every=4)
def test_trains_as_kerass(digits, name, jit_compile):
    def run(adam):
        keras.utils.set_random_seed(3)
        made = kerasae.stacked_autoencoder((64,), (10,))
        made.compile(adam(**{"learning_rate": 0.01, **OPTIONS[name]}), jit_compile=jit_compile)
        made.fit(digits[:100], epochs=3, verbose=0)
        return made.get_weights(), made.optimizer.get_config()

    (ours, config), (theirs, wanted) = run(FusedAdam), run(keras.optimizers.Adam)
    assert {**config, "name": ""} == {**wanted, "name": ""}
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected, atol=2e-5)


def test_rows_of_a_table_of_weights_are_updated_as_kerass():
    """A gradient of some rows alone."""

    def run(adam):
        keras.utils.set_random_seed(3)
        made = keras.Sequential([keras.layers.Embedding(5, 2), keras.layers.Dense(1)])
        made.compile(adam(0.1), "mse")
        made.fit(np.array([[0], [3]]), np.ones((2, 1, 1)), epochs=3, verbose=0)
        return made.get_weights()

    for got, wanted in zip(run(FusedAdam), run(keras.optimizers.Adam), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_is_what_the_name_stands_for_and_survives_a_file(digits, tmp_path):
    made = kerasae.stacked_autoencoder((64,), (10,))
    made.compile("adam")
    fused = keras.backend.backend() == "tensorflow"
    assert (type(made.optimizer) is FusedAdam) == fused
    made.fit(digits[:100], verbose=0)
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(made.optimizer)
    for one in (made, loaded):
        one.fit(digits[:100], shuffle=False, verbose=0)
    for got, wanted in zip(loaded.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-6)
