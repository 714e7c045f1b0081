import json
import math

import keras
import numpy as np
import pytest
from keras import ops
from keras.callbacks import LambdaCallback

import kerasae
from kerasae.callbacks import AtomicBackup, DivergedError, StabilityGuard


def rising_rate(model, from_epoch):
    """A learning rate that rises a hundredfold an epoch once the loss has fallen a little."""

    def raise_rate(epoch, logs=None):
        if epoch >= from_epoch:
            model.optimizer.learning_rate = 1e3 * 100 ** (epoch - from_epoch)

    return LambdaCallback(on_epoch_begin=raise_rate)


def recorder(model, variables):
    """A callback that keeps all variables as each epoch begins."""
    seen = []
    return seen, LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(variables(model)))


def diverge(model, x, callbacks=(), guard=None, **arguments):
    with pytest.raises(DivergedError) as raised:
        model.fit(
            x,
            shuffle=False,
            verbose=0,
            callbacks=[guard or StabilityGuard(), *callbacks],
            **arguments,
        )
    return raised.value


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("compiled", [{}, {"steps_per_execution": 3, "jit_compile": True}])
def test_a_rate_that_is_too_high_stops_fit_and_brings_the_epochs_first_weights_back(
    make, x, variables, compiled
):
    model = make(keras.optimizers.SGD(0.1, momentum=0.9), **compiled)
    seen, record = recorder(model, variables)
    error = diverge(model, x, [record, rising_rate(model, 2)], epochs=10)
    assert error.epoch >= 2
    assert len(seen) == error.epoch + 1
    names = [v.path for v in [*model.variables, *model.optimizer.variables]]
    for name, before, after in zip(names, seen[-1], variables(model), strict=True):
        if "seed" not in name:
            np.testing.assert_array_equal(before, after, err_msg=name)
    assert len(model.history.history["loss"]) == error.epoch
    assert np.isfinite(model.history.history["loss"]).all()
    assert f"(epoch {error.epoch + 1}" in str(error)
    assert f"the weights are back at the start of epoch {error.epoch + 1}" in str(error)
    rate = 1e3 * 100 ** (error.epoch - 2)
    assert f"likely caused by a learning rate of {rate:.2g} that is too high; " in str(error)
    assert f". Try a learning rate of {rate / 10:.2g}, or clipnorm" in str(error)
    assert "RangeScaling" in str(error)
    model._check_weights()
    # All is sound again, the momentum too: fit goes on, and the error falls further.
    model.optimizer.learning_rate = 0.1
    restored = model.evaluate(x, verbose=0, return_dict=True)["mse"]
    model.fit(x, epochs=5, verbose=0, callbacks=[StabilityGuard()])
    assert model.evaluate(x, verbose=0, return_dict=True)["mse"] < restored


def break_at(model, batch, value=np.nan, from_epoch=0):
    """A callback that spoils a weight before a batch, in the epochs from one on."""
    epochs = []

    def assign(now, logs):
        if now == batch and epochs[-1] >= from_epoch:
            kernel = model.trainable_weights[0]
            kernel.assign(ops.full(kernel.shape, value))

    return LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epochs.append(epoch), on_train_batch_begin=assign
    )


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_bad_batch_is_named(make, x, value):
    model = make()
    error = diverge(model, x, [break_at(model, 6, value)], epochs=3, batch_size=20)
    assert (error.epoch, error.batch) == (0, 6)
    assert "(epoch 1, batch 7), likely caused by rows that are NaN, infinite" in str(error)
    assert "far too large, or a learning rate of 0.001 that is too high; the wei" in str(error)


def test_the_batches_of_one_execution_are_named_together(make, x):
    for batch, named in ((8, "batches 9 to 10"), (4, "batches 5 to 8")):
        model = make(steps_per_execution=4)
        error = diverge(model, x, [break_at(model, batch)], epochs=3, batch_size=20)
        assert named in str(error)


def spoil(model, value, epoch):
    """A callback that spoils a weight at the end of an epoch, after the last loss was taken."""

    def assign(now, logs):
        if now == epoch:
            kernel = model.trainable_weights[0]
            kernel.assign(ops.full(kernel.shape, value))

    return LambdaCallback(on_epoch_end=assign)


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("value", [math.nan, math.inf, 50000.0])
def test_weights_are_looked_at_as_well_as_the_loss(make, x, variables, value):
    model = make()
    seen, record = recorder(model, variables)
    with pytest.raises(DivergedError, match=rf"largest weight is {value:.6g} \(epoch 2\)"):
        model.fit(
            x, epochs=3, verbose=0, callbacks=[record, spoil(model, value, 1), StabilityGuard()]
        )
    kernel = model.trainable_weights[0]
    place = [variable is kernel for variable in model.variables].index(True)
    np.testing.assert_array_equal(kernel, seen[1][place])


def test_weights_may_grow_as_large_as_the_rows(x):
    model = kerasae.stacked_autoencoder((64,), (8,))
    model.compile(keras.optimizers.Adam(1000.0))
    history = model.fit(1e6 * x, epochs=10, verbose=0, callbacks=[StabilityGuard()]).history
    assert np.abs(np.array(model.trainable_weights[-1])).max() > 1e4
    assert history["loss"][-1] < history["loss"][0]


def test_an_explosion_is_seen_before_infinity_and_growth_says_from_where(make, x):
    calm, wild = make(keras.optimizers.SGD(0.5)), make(keras.optimizers.SGD(60.0))
    calm.fit(x, epochs=2, verbose=0, callbacks=[StabilityGuard(2.0)])
    error = diverge(wild, x, guard=StabilityGuard(2.0), epochs=20)
    assert math.isfinite(float(error.what.split()[-1]))
    with pytest.raises(ValueError, match="growth"):
        StabilityGuard(1.0)
    with pytest.raises(ValueError, match="growth"):
        StabilityGuard(math.nan)


def test_infinite_growth_lets_everything_finite_pass(make, x):
    model = make(keras.optimizers.SGD(60.0))
    error = diverge(model, x, guard=StabilityGuard(math.inf), epochs=20)
    assert error.what.split()[-1] in ("nan", "inf")


@pytest.mark.slow
def test_a_broken_validation_loss_stops_too(make, x):
    model = make()
    sound = []

    def spoil_test(logs):
        sound.append(np.array(model.trainable_weights[0]))
        model.trainable_weights[0].assign(np.full_like(sound[-1], np.nan))

    spoiled = LambdaCallback()
    spoiled.on_test_begin = spoil_test
    spoiled.on_test_end = lambda logs: model.trainable_weights[0].assign(sound[-1])
    error = diverge(model, x, [spoiled], validation_data=x, epochs=2)
    assert error.what == "validation loss is nan"
    assert str(error).endswith(". Try looking at the validation rows")


def test_a_model_that_is_broken_before_is_refused(make, x):
    model = make()
    model.trainable_weights[0].assign(ops.full(model.trainable_weights[0].shape, math.nan))
    assert "not finite before training" in diverge(model, x).what


def test_a_sound_training_goes_on_as_without_it(make, x, assert_same):
    plain, watched = make(), make()
    plain.fit(x, epochs=3, shuffle=False, verbose=0)
    watched.fit(x, epochs=3, shuffle=False, verbose=0, callbacks=[StabilityGuard()])
    assert_same(plain, watched)


def test_a_backup_beside_it_keeps_the_last_sound_epoch(make, x, tmp_path):
    model = make()
    callbacks = [break_at(model, 6, from_epoch=2), AtomicBackup(tmp_path)]
    error = diverge(model, x, callbacks, epochs=5, batch_size=20)
    with np.load(tmp_path / "backup.npz") as file:
        assert json.loads(str(file["state"]))["epoch"] == error.epoch
    resumed = make()
    resumed.fit(x, epochs=5, shuffle=False, verbose=0, callbacks=[AtomicBackup(tmp_path)])
    resumed._check_weights()
    assert resumed.history.epoch == list(range(error.epoch, 5))


def test_half_precision_is_among_the_remedies(make, x):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = make()
        error = diverge(model, x, [break_at(model, 6)], epochs=3, batch_size=20)
    finally:
        keras.config.set_dtype_policy("float32")
    assert ". Try looking at these rows, then a learning rate" in str(error)
    assert "mixed_bfloat16" in str(error)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_sweep_records_the_cause_and_goes_on(x, tmp_path):
    import keras_tuner

    def build(choices):
        model = kerasae.stacked_autoencoder((64,), (8,))
        rate = choices.Choice("rate", [1e6, 0.1])
        # From the loss before it broke the guard infers whether the rate or the rows are the cause.
        model.compile(keras.optimizers.SGD(rate), steps_per_execution=1)
        return model

    tuner = keras_tuner.GridSearch(
        build, keras_tuner.Objective("val_mse", "min"), directory=tmp_path, project_name="sweep"
    )
    tuner.search(x, validation_data=x, epochs=3, verbose=0, callbacks=[StabilityGuard()])
    trials = {t.hyperparameters.get("rate"): t for t in tuner.oracle.trials.values()}
    assert trials[0.1].status == "COMPLETED"
    assert trials[1e6].status == "FAILED"
    assert "likely caused by a learning rate of 1e+06 that is too high" in trials[1e6].message
    assert tuner.get_best_hyperparameters()[0].get("rate") == 0.1


def test_the_first_loss_is_that_before_the_first_step(x):
    """Case 50 of faults.md: the first execution has many steps, which had exploded already."""
    model = kerasae.stacked_autoencoder((64,), (4,))
    model.compile(keras.optimizers.Adam(1e4))
    guard = StabilityGuard(x=x)
    error = diverge(model, x, guard=guard, epochs=2)
    assert guard.first_loss < 1
    assert error.epoch == 0
    assert str(error).startswith("training must stay stable. Received: loss is ")


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("rate", [10.0, 100.0, 1000.0])
def test_a_training_that_ends_worse_than_the_mean_is_refused(digits, rate):
    """Case 50 of faults.md."""
    model = kerasae.stacked_autoencoder((64,), (4,))
    model.compile(keras.optimizers.Adam(rate))
    error = diverge(model, digits, guard=StabilityGuard(x=digits), epochs=2)
    mean = np.square(digits - digits.mean(axis=0)).mean()
    if rate == 10:
        assert str(error).startswith("training must end better than predicting the mean")
        assert f"where the mean has {mean:.4g}"[:-1] in str(error)
        assert f"Try a learning rate of {rate / 10:.2g}" in str(error)


def test_a_training_that_is_only_short_passes(digits):
    model = kerasae.stacked_autoencoder((64,), (4,))
    model.compile("adam")
    model.fit(digits, epochs=1, verbose=0, callbacks=[StabilityGuard(x=digits)])
    mean = np.square(digits - digits.mean(axis=0)).mean()
    assert model.evaluate(digits, verbose=0, return_dict=True)["mse"] > mean


def test_watching_rows_changes_nothing(make, x, assert_same):
    plain, watched = make(), make()
    plain.fit(x, epochs=3, shuffle=False, verbose=0)
    watched.fit(x, epochs=3, shuffle=False, verbose=0, callbacks=[StabilityGuard(x=x)])
    assert_same(plain, watched)
