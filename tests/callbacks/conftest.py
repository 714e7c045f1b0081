import keras
import numpy as np
import pytest
from keras import ops

import kerasae


@pytest.fixture
def x(digits):
    return digits[:200]


@pytest.fixture
def make():
    """Builds a sparse denoising model; every call gives the same weights and noise."""

    def build(optimizer="adam", **compiled):
        keras.utils.set_random_seed(0)
        model = kerasae.sparse_autoencoder(
            (64,), (16, 8), beta=0.04, corruption=kerasae.GaussianCorruption(0.3, seed=1)
        )
        model.compile(optimizer, **compiled)
        return model

    return build


@pytest.fixture
def variables():
    """All that training changes: weights, optimizer and seed states, as arrays."""

    def arrays(model):
        every = [*model.variables, *model.optimizer.variables]
        return [np.array(ops.convert_to_numpy(variable)) for variable in every]

    return arrays


@pytest.fixture
def assert_same(variables):
    def check(first, second):
        for one, other in zip(variables(first), variables(second), strict=True):
            np.testing.assert_array_equal(one, other)

    return check


class InterruptedFitError(Exception):
    """Acts as a kill within the process."""


@pytest.fixture
def interrupted():
    """Trains until an epoch begins, and no further."""

    def fit(model, x, epoch, callbacks, **arguments):
        def stop(now, logs=None):
            if now == epoch:
                raise InterruptedFitError

        stopping = keras.callbacks.LambdaCallback(on_epoch_begin=stop)
        with pytest.raises(InterruptedFitError):
            model.fit(x, callbacks=[*callbacks, stopping], verbose=0, **arguments)

    return fit


@pytest.fixture
def events():
    """What a TensorBoard directory holds."""

    def read(folder):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        accumulator.Reload()
        return {tag: accumulator.Tensors(tag) for tag in accumulator.Tags()["tensors"]}

    return read
