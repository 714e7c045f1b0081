import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest

TRAIN = """
import hashlib, os, signal, sys
import keras, numpy as np, kerasae

backup, kill_at = sys.argv[1:]
keras.utils.set_random_seed(7)
x = kerasae.datasets.load("digits").x_train[:500]
model = kerasae.stacked_autoencoder(
    (64,), (24, 10), scaler=keras.layers.Rescaling(1 / 16),
    corruption=kerasae.GaussianCorruption(0.2, rate=0.5),
    bottleneck=kerasae.KLSparsityRegularizer(-0.1, 0.01),
)
callbacks = []
if backup:
    callbacks = [keras.callbacks.BackupAndRestore(backup)]
if int(kill_at):
    kill = lambda epoch, logs: epoch == int(kill_at) and os.kill(os.getpid(), signal.SIGKILL)
    callbacks.append(keras.callbacks.LambdaCallback(on_epoch_begin=kill))
model.fit(x, epochs=6, verbose=0, callbacks=callbacks)
weights = b"".join(np.asarray(weight).tobytes() for weight in model.get_weights())
print(hashlib.sha256(weights).hexdigest())
"""


@pytest.mark.parametrize("processes", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_one_seed_gives_one_set_of_weights_in_fresh_processes(run_python, processes):
    with ThreadPoolExecutor(2) as pool:
        hashes = set(pool.map(lambda _: run_python(TRAIN, "", 0), range(processes)))
    assert len(hashes) == 1
    assert len(hashes.pop()) == len(hashlib.sha256().hexdigest())


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_run_that_is_killed_and_resumed_ends_as_if_it_had_not_been(run_python, tmp_path):
    backup = tmp_path / "backup"
    with pytest.raises(AssertionError):
        run_python(TRAIN, backup, 3)
    assert list(backup.iterdir())
    assert run_python(TRAIN, backup, 0) == run_python(TRAIN, "", 0)
