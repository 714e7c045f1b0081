import json
import random
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from keras.callbacks import EarlyStopping, ReduceLROnPlateau

import kerasae
from kerasae.callbacks import AtomicBackup

TRAIN = """
import hashlib, io, os, pathlib, signal, sys
import keras, numpy as np, kerasae
from kerasae.callbacks import AtomicBackup, PenaltyWarmup

backup, stage = sys.argv[1:]
writes = 0
savez, fsync, replace = np.savez, os.fsync, pathlib.Path.replace

def kill_at(now):
    if now == stage and writes == 2:
        os.kill(os.getpid(), signal.SIGKILL)

def savez_in_two_parts(file, **arrays):
    global writes
    writes += 1
    buffer = io.BytesIO()
    savez(buffer, **arrays)
    half = len(buffer.getvalue()) // 2
    with open(file, "wb") as opened:
        opened.write(buffer.getvalue()[:half])
        opened.flush()
        kill_at("in the middle of the write")
        opened.write(buffer.getvalue()[half:])

def fsync_or_kill(descriptor):
    kill_at("before the flush")
    fsync(descriptor)

def replace_or_kill(path, target):
    kill_at("before the rename")
    replace(path, target)
    kill_at("after the rename")

np.savez, os.fsync, pathlib.Path.replace = savez_in_two_parts, fsync_or_kill, replace_or_kill

keras.utils.set_random_seed(7)
x = kerasae.datasets.load("digits").x_train[:500]
encoder = keras.Sequential([
    keras.Input((64,)),
    kerasae.GaussianCorruption(0.2, rate=0.5),
    keras.layers.Dense(24, activation="tanh"),
    keras.layers.Dropout(0.1),
    keras.layers.Dense(10, activation="tanh"),
    kerasae.KLSparsityRegularizer(-0.1, 0.01),
])
decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
model = kerasae.Autoencoder(encoder, decoder, keras.layers.Rescaling(1 / 16))
model.compile("adam", steps_per_execution=4)
counting = [
    keras.callbacks.ReduceLROnPlateau("mse", factor=0.7, patience=2, min_delta=0.03, mode="min"),
    keras.callbacks.EarlyStopping("mse", patience=9, mode="min", restore_best_weights=True),
]
callbacks = [PenaltyWarmup(4), *counting]
if backup:
    callbacks.insert(0, AtomicBackup(backup, callbacks=counting))
model.fit(x, epochs=8, verbose=0, callbacks=callbacks)
every = [*model.variables, *model.optimizer.variables]
weights = b"".join(np.asarray(keras.ops.convert_to_numpy(one)).tobytes() for one in every)
rate = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
print(hashlib.sha256(weights).hexdigest(), f"{rate:.2g}", counting[1].wait, counting[1].best)
"""

STAGES = {
    "in the middle of the write": 1,
    "before the flush": 2,
    "before the rename": 3,
    "after the rename": 5,
}


def stored_epoch(folder):
    with np.load(folder / "backup.npz") as file:
        return json.loads(str(file["state"]))["epoch"]


# Once is enough: what is written to disk, and when, does not depend on the backend.
@pytest.mark.slow
@pytest.mark.tensorflow
def test_killed_in_every_stage_of_writing_it_ends_as_if_it_had_not_been(run_python, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        uninterrupted = pool.submit(run_python, TRAIN, "", "")
        for stage, epoch in STAGES.items():
            with pytest.raises(AssertionError):
                run_python(TRAIN, tmp_path / "backup", stage)
            # Each run gets through two epochs more, and loses the second to the kill but once.
            assert stored_epoch(tmp_path / "backup") == epoch
        resumed = run_python(TRAIN, tmp_path / "backup", "")
    assert resumed == uninterrupted.result()
    # The state that had to be restored was not that of the beginning.
    assert float(resumed.split()[1]) < 0.001
    assert not (tmp_path / "backup").exists()


RANDOM_KILL = """
import os, signal, threading
threading.Timer({delay}, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(run_python, tmp_path):
    uninterrupted = run_python(TRAIN, "", "")
    begun = time.monotonic()
    run_python(TRAIN, "", "")
    whole = time.monotonic() - begun
    draw = random.Random(0)
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        for _ in range(3):
            kill = RANDOM_KILL.format(delay=draw.uniform(0.4, 1.0) * whole)
            try:
                run_python(kill + TRAIN, folder, "")
            except AssertionError:
                continue
            break
        assert run_python(TRAIN, folder, "") == uninterrupted


def plain(dtype="float32"):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((64,)), keras.layers.Dense(8, dtype=dtype), keras.layers.Dense(64)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_serves_any_keras_model(x, tmp_path, interrupted, assert_same, dtype):
    whole, resumed = plain(dtype), plain(dtype)
    whole.fit(x, x, epochs=5, shuffle=False, verbose=0)
    interrupted(plain(dtype), x, 3, [AtomicBackup(tmp_path)], y=x, epochs=5, shuffle=False)
    resumed.fit(x, x, epochs=5, shuffle=False, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    assert_same(whole, resumed)
    assert resumed.history.epoch == [3, 4]


@pytest.mark.parametrize(("seconds", "first"), [(0, 3), (1000, 1)])
def test_early_stopping_stops_where_it_would_have(
    make, x, tmp_path, interrupted, *, assert_same, seconds, first
):
    def callbacks():
        # Nothing improves by so much: stopping is a matter of counting.
        counting = [
            EarlyStopping("mse", patience=4, min_delta=1.0, restore_best_weights=True),
            ReduceLROnPlateau("mse", patience=2, min_delta=1.0, factor=0.5),
        ]
        return [AtomicBackup(tmp_path, callbacks=counting, seconds=seconds), *counting]

    whole, resumed = make(), make()
    epochs = whole.fit(x, epochs=20, shuffle=False, verbose=0, callbacks=callbacks()[1:]).epoch
    assert epochs == [0, 1, 2, 3, 4]
    interrupted(make(), x, 3, callbacks(), epochs=20, shuffle=False)
    went_on = resumed.fit(x, epochs=20, shuffle=False, verbose=0, callbacks=callbacks())
    assert went_on.epoch == list(range(first, 5))
    assert_same(whole, resumed)


def test_the_backup_goes_after_a_fit_that_ends_and_the_next_fit_is_whole(
    make, x, tmp_path, interrupted
):
    (tmp_path / "mine").write_text("of the user")
    interrupted(make(), x, 2, [AtomicBackup(tmp_path)], epochs=4)
    assert stored_epoch(tmp_path) == 2
    model = make()
    model.fit(x, epochs=4, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert model.fit(x, epochs=3, verbose=0).epoch == [0, 1, 2]


def test_a_resumed_fit_that_fails_leaves_the_next_one_whole(make, x, tmp_path, interrupted):
    interrupted(make(), x, 2, [AtomicBackup(tmp_path)], epochs=4)
    model = make()
    interrupted(model, x, 3, [AtomicBackup(tmp_path)], epochs=4)
    assert model.fit(x, epochs=2, verbose=0).epoch == [0, 1]


@pytest.fixture
def full_disk():
    """Lets no file grow over some bytes, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_the_backup_of_before_is_whole(make, x, tmp_path, full_disk):
    def fill(epoch, logs=None):
        if epoch == 2:
            full_disk(2000)

    filling = keras.callbacks.LambdaCallback(on_epoch_end=fill)
    with pytest.raises(OSError, match=r"after epoch 3 must be written. Received: File too large"):
        make().fit(
            x, epochs=5, shuffle=False, verbose=0, callbacks=[AtomicBackup(tmp_path), filling]
        )
    full_disk(resource.RLIM_INFINITY)
    assert [path.name for path in tmp_path.iterdir()] == ["backup.npz"]
    assert stored_epoch(tmp_path) == 2
    resumed = make()
    resumed.fit(x, epochs=5, shuffle=False, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    assert resumed.history.epoch == [2, 3, 4]


def test_a_folder_that_cannot_be_is_an_error_before_training(make, x, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    model = make()
    with pytest.raises(OSError, match="file"):
        model.fit(x, verbose=0, callbacks=[AtomicBackup(tmp_path / "file")])
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="directory must be writable"):
        model.fit(x, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    assert int(model.optimizer.iterations) == 0


def test_weights_that_are_not_finite_are_never_stored(make, x, tmp_path):
    model = make()

    def spoil(epoch, logs):
        if epoch == 2:
            model.trainable_weights[0].assign(np.full((64, 16), np.nan))

    spoiling = keras.callbacks.LambdaCallback(on_epoch_end=spoil)
    with pytest.warns(UserWarning, match="not finite; the last sound state.*backup.npz"):
        model.fit(x, epochs=5, verbose=0, callbacks=[AtomicBackup(tmp_path), spoiling])
    assert stored_epoch(tmp_path) == 2
    with np.load(tmp_path / "backup.npz") as file:
        for name in file.files:
            assert name == "state" or np.isfinite(file[name]).all()


def test_a_damaged_or_foreign_backup_is_an_error_and_stays(make, x, tmp_path, interrupted):
    interrupted(make(), x, 1, [AtomicBackup(tmp_path)], epochs=3)
    interrupted(make(), x, 2, [AtomicBackup(tmp_path)], epochs=3)
    path = tmp_path / "backup.npz"
    whole = path.read_bytes()
    other = kerasae.stacked_autoencoder((64,), (8,))
    with pytest.raises(ValueError, match="Received: one of another model or optimizer"):
        other.fit(x, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for damaged in (whole[: len(whole) // 2], bytes(flipped), b"", b"not a zip"):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"must be a whole file. .*backup\.npz.*Try deleting it"
        ):
            make().fit(x, verbose=0, callbacks=[AtomicBackup(tmp_path)])
        assert path.read_bytes() == damaged


def test_a_kept_backup_holds_the_end_and_the_whole_history(
    make, x, tmp_path, interrupted, variables
):
    """Cases 26 and 60 of faults.md: killed after the last epoch, a program trains no more."""
    arguments = {"epochs": 4, "shuffle": False}
    plain = make()
    want = plain.fit(x, verbose=0, **arguments).history
    interrupted(make(), x, 2, [AtomicBackup(tmp_path, keep=True)], **arguments)
    for epochs in ([2, 3], []):
        model, backup = make(), AtomicBackup(tmp_path, keep=True)
        history = model.fit(x, verbose=0, callbacks=[backup], **arguments)
        assert history.epoch == epochs
        assert backup.path.exists()
        assert backup.history == {name: pytest.approx(values) for name, values in want.items()}
        for one, other in zip(variables(model), variables(plain), strict=True):
            np.testing.assert_array_equal(one, other)
