import os

import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    GaussianCorruption,
    average_activation,
    denoising_autoencoder,
    sparse_autoencoder,
    stacked_autoencoder,
)
from kerasae.callbacks import (
    AtomicBackup,
    AverageActivation,
    DivergedError,
    PenaltyWarmup,
    ReconstructionGallery,
    StabilityGuard,
)


@pytest.fixture
def x(digits):
    return digits[:320]


def sparse(**compiled):
    keras.utils.set_random_seed(0)
    model = sparse_autoencoder((64,), 8, beta=0.5, corruption=GaussianCorruption(0.1, seed=3))
    model.compile(**compiled)
    return model


def values(model):
    return [np.array(ops.convert_to_numpy(weight)) for weight in model.weights]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_callbacks_change_nothing_but_what_they_are_for(x, tmp_path):
    plain = sparse()
    plain.fit(x, epochs=4, verbose=0)
    callbacks = [
        AverageActivation(x[:50]),
        ReconstructionGallery(x[:4], tmp_path / "pictures", every=2, image_shape=(8, 8)),
        StabilityGuard(),
        AtomicBackup(tmp_path / "backup"),
    ]
    # Made only now: on JAX the shuffling draws on a state that the first fit has moved on.
    watched = sparse()
    watched.fit(x, epochs=4, verbose=0, callbacks=callbacks)
    assert_same(values(plain), values(watched))


@pytest.mark.parametrize("compiled", [{"steps_per_execution": 5}, {"jit_compile": True}])
def test_callbacks_work_with_compiled_and_grouped_steps(x, compiled, tmp_path):
    history = sparse(**compiled).fit(
        x,
        epochs=2,
        verbose=0,
        callbacks=[
            AverageActivation(x),
            PenaltyWarmup(2),
            ReconstructionGallery(x[:4], tmp_path, every=1),
            StabilityGuard(),
            AtomicBackup(tmp_path / "backup"),
        ],
    )
    assert len(history.history["average_activation"]) == 2
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_average_activation_is_in_the_history(x):
    model = sparse()
    got = model.fit(x, epochs=3, verbose=0, callbacks=[AverageActivation(x)]).history
    assert got["average_activation"][-1] == average_activation(model, x).overall
    assert len(set(got["average_activation"])) == 3


@pytest.mark.tensorflow
def test_tensorboard_gets_histograms_and_images(x, tmp_path):
    import tensorflow as tf

    sparse().fit(
        x,
        epochs=2,
        verbose=0,
        callbacks=[
            AverageActivation(x, tmp_path),
            ReconstructionGallery(x[:3], tmp_path / "p", every=2, tensorboard=tmp_path),
        ],
    )
    tags = [
        (value.tag, event.step)
        for path in sorted(tmp_path.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
    ]
    assert {("average activation", 0), ("average activation", 1)} <= set(tags)
    assert ("reconstructions", 1) in tags


def test_the_gallery_draws_every_nth_epoch_and_triples_where_there_is_noise(x, tmp_path):
    for model, name in ((denoising_autoencoder((64,), 8), "noisy"), (sparse(), "sparse")):
        gallery = ReconstructionGallery(x[:4], tmp_path / name, every=2, image_shape=(8, 8))
        model.fit(x, epochs=5, verbose=0, callbacks=[gallery])
        pictures = sorted(path.name for path in (tmp_path / name).iterdir())
        assert pictures == ["epoch_0002.png", "epoch_0004.png"]
        assert (tmp_path / name / pictures[0]).read_bytes().startswith(b"\x89PNG")
        assert np.abs(gallery._corrupted - x[:4]).max() > 0.05
    with pytest.raises(ValueError, match="every"):
        ReconstructionGallery(x, tmp_path, every=0)


def test_the_penalty_is_warmed_up_by_the_epoch(x):
    model, seen = sparse(), []
    sparsity = model.encoder.layers[-1]
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(float(ops.convert_to_numpy(sparsity.beta)))
    )
    model.fit(x, epochs=6, verbose=0, callbacks=[PenaltyWarmup(4), watch])
    np.testing.assert_allclose(seen, [0, 0.125, 0.25, 0.375, 0.5, 0.5])
    model.fit(x, epochs=6, initial_epoch=2, verbose=0, callbacks=[PenaltyWarmup(4), watch])
    np.testing.assert_allclose(seen[6:], [0.25, 0.375, 0.5, 0.5])
    with pytest.raises(ValueError, match="no layer has a beta"):
        stacked_autoencoder((64,), 8).fit(x, verbose=0, callbacks=[PenaltyWarmup(4)])


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("bad", ["nan", "explosion"])
def test_divergence_ends_fit_and_the_last_sound_weights_are_kept(x, steps, bad):
    model = stacked_autoencoder((64,), 8, activation="linear")
    model.compile(keras.optimizers.SGD(0.01, momentum=0.5), steps_per_execution=steps)
    kept = []

    def spoil(epoch, logs):
        if epoch == 2:
            kept.extend(values(model))
            model.optimizer.learning_rate.assign(1e30 if bad == "nan" else 1e3)

    callbacks = [
        StabilityGuard(),
        keras.callbacks.LambdaCallback(on_epoch_end=spoil),
    ]
    with pytest.raises(DivergedError, match="epoch 4.*learning rate.*weights after epoch 3.*try"):
        model.fit(x, epochs=9, verbose=0, callbacks=callbacks)
    model.check_weights()
    assert_same(kept, values(model))
    model.compile(keras.optimizers.SGD(0.01))
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()


def test_divergence_in_the_first_epoch_leaves_the_weights_of_before(x):
    model = stacked_autoencoder((64,), 8, activation="linear")
    model.compile(keras.optimizers.SGD(1e30))
    before = values(model)
    with pytest.raises(DivergedError, match="epoch 1, batch .*weights after epoch 0"):
        model.fit(x, epochs=3, verbose=0, callbacks=[StabilityGuard()])
    assert_same(before, values(model))
    with pytest.raises(ValueError, match="growth"):
        StabilityGuard(growth=1)


class Stop(Exception):  # noqa: N818
    pass


def stopped(x, directory, epoch_to_stop_in):
    def stop(epoch, logs):
        if epoch == epoch_to_stop_in:
            raise Stop

    model = sparse()
    callbacks = [PenaltyWarmup(5), AtomicBackup(directory)]
    callbacks.append(keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    try:
        model.fit(x, epochs=6, verbose=0, shuffle=False, callbacks=callbacks)
    except Stop:
        return None
    return values(model)


def test_a_run_that_is_stopped_and_resumed_ends_with_the_same_weights(x, tmp_path):
    whole = stopped(x, tmp_path / "whole", None)
    assert list((tmp_path / "whole").iterdir()) == []
    assert stopped(x, tmp_path / "two", 3) is None
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["epoch-3.weights.h5"]
    assert_same(stopped(x, tmp_path / "two", None), whole)


def test_a_backup_that_fails_leaves_the_earlier_one(x, tmp_path, monkeypatch):
    model = sparse()
    save = model.save_weights

    def full(path, **arguments):
        save(path, **arguments)
        if "epoch-3" in str(path):
            with open(path, "r+b") as file:  # noqa: PTH123
                file.truncate(100)
            raise OSError("disk full")

    monkeypatch.setattr(model, "save_weights", full)
    with pytest.raises(OSError, match="disk full"):
        model.fit(x, epochs=5, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-2.weights.h5"]
    whole = sparse()
    whole.load_weights(tmp_path / "epoch-2.weights.h5")


def test_weights_that_are_not_finite_are_never_backed_up(x, tmp_path):
    model = stacked_autoencoder((64,), 8, activation="linear")
    model.compile(keras.optimizers.SGD(1e30))

    def stop(epoch, logs):
        if epoch == 2:
            raise Stop

    callbacks = [AtomicBackup(tmp_path), keras.callbacks.LambdaCallback(on_epoch_end=stop)]
    with pytest.raises(Stop):
        model.fit(x, epochs=5, verbose=0, callbacks=callbacks)
    assert list(tmp_path.iterdir()) == []


def test_the_backup_of_another_model_is_refused(x, tmp_path):
    stopped(x, tmp_path, 2)
    with pytest.raises(ValueError, match="does not fit this model.*another directory"):
        stacked_autoencoder((64,), (20, 8)).fit(x, verbose=0, callbacks=[AtomicBackup(tmp_path)])


KILLED = """
import os, signal, sys
import keras, numpy as np, kerasae
folder, moment = sys.argv[1:]
keras.utils.set_random_seed(7)
x = kerasae.datasets.load("digits").x_train[:300]
model = kerasae.denoising_autoencoder((64,), 10, scaler=keras.layers.Rescaling(1 / 16))
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
save, replace = model.save_weights, os.replace
from kerasae.callbacks import atomic_backup
def half(path, **arguments):
    save(path, **arguments)
    if moment == "write" and "epoch-3" in str(path):
        with open(path, "r+b") as file:
            file.truncate(1000)
        kill()
model.save_weights = half
flush = atomic_backup._flush
def flushed(path):
    flush(path)
    if moment == "flushed" and "epoch-3" in str(path) or moment == "renamed" and (
        path / "epoch-3.weights.h5").exists():
        kill()
atomic_backup._flush = flushed
model.fit(x, epochs=5, verbose=0, callbacks=[kerasae.callbacks.AtomicBackup(folder)])
print(sum(float(np.abs(weight).astype("float64").sum()) for weight in model.get_weights()).hex())
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("moment", ["write", "flushed", "renamed"])
def test_a_kill_at_any_moment_of_a_save_loses_at_most_that_epoch(run_python, tmp_path, moment):
    with pytest.raises(AssertionError):
        run_python(KILLED, tmp_path / "backup", moment)
    names = {path.name for path in (tmp_path / "backup").glob("epoch*")}
    newest = "epoch-3.weights.h5" if moment == "renamed" else "epoch-2.weights.h5"
    assert max(names) == newest
    resumed = run_python(KILLED, tmp_path / "backup", "never")
    assert resumed == run_python(KILLED, tmp_path / "other", "never")
    assert os.listdir(tmp_path / "backup") == []  # noqa: PTH208
