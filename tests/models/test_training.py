"""The loop of compiled programs does what Keras's own feeding does, and stays out of its way."""

import functools
import gc
import itertools
import random
import threading
import time
import weakref

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.callbacks import AtomicBackup
from kerasae.models import (
    chunks,
    jax_programs,
    programs,
    tensorflow_programs,
    training,
    watching,
)
from kerasae.models import xla as xla_rules
from kerasae.models.chunks import Rows, read_ahead
from kerasae.models.scaled_outputs import gives_scaled


def model(**compiled):
    keras.utils.set_random_seed(3)
    made = kerasae.stacked_autoencoder((64,), (10,))
    made.compile(**{"optimizer": keras.optimizers.Adam(0.01), **compiled})
    return made


@pytest.fixture
def dtype_policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


def dataset(x, batch_size=32):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, x)).batch(batch_size)


class AtEpochEnd(keras.callbacks.Callback):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.outputs = []

    def on_epoch_end(self, epoch, logs=None):
        self.outputs.append(self.function(self.model))


VALIDATIONS = {
    "dataset": lambda x: {"validation_data": dataset(x)},
    "some steps of a dataset": lambda x: {"validation_data": dataset(x), "validation_steps": 3},
    "endless": lambda x: {"validation_data": dataset(x).repeat(), "validation_steps": 5},
    "some steps of rows": lambda x: {"validation_data": (x, x), "validation_steps": 3},
    "weighted": lambda x: {"validation_data": (x, x, np.arange(len(x))), "validation_steps": 3},
}


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("how", VALIDATIONS)
def test_validation_sees_what_it_is_given(digits, keras_feeds, how):
    def run():
        made = model()
        made.evaluate(dataset(digits[300:600]), verbose=0)  # a function for one step an execution
        arguments = VALIDATIONS[how](digits[300:600])
        history = made.fit(digits[:100], epochs=2, shuffle=False, verbose=0, **arguments).history
        return history["val_loss"]

    assert run() == pytest.approx(keras_feeds(run), rel=1e-4)


def test_weights_of_a_split_are_kept(digits, keras_feeds):
    def run():
        weights = {"sample_weight": np.linspace(0, 5, 200), "validation_split": 0.5}
        options = {"validation_steps": 2, "shuffle": False, "verbose": 0}
        x = digits[:200]
        return model().fit(x, x, **weights, **options).history["val_loss"]

    assert run() == pytest.approx(keras_feeds(run), rel=1e-4)


def test_rows_validate_what_is_trained_on_a_dataset(digits):
    made = model()
    arguments = {"validation_data": digits[100:205], "epochs": 2, "verbose": 0}
    history = made.fit(dataset(digits[:100]), **arguments).history
    after = made.evaluate(digits[100:205], verbose=0, return_dict=True)
    assert history["val_loss"][-1] == pytest.approx(after["loss"], rel=1e-5)


CALLS = {
    "predict": lambda made, x: made.predict(dataset(x).map(lambda a, _: a), verbose=0),
    "evaluate": lambda made, x: made.evaluate(dataset(x), steps=2, verbose=0),
    "test_on_batch": lambda made, x: made.test_on_batch(x, x),
    "predict_on_batch": lambda made, x: made.predict_on_batch(x),
}


@pytest.mark.fast(every=5)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("hook", ["on_epoch_end", "on_test_end"])
def test_callbacks_call_what_keras_gives(digits, call, before, hook):
    made, x, outputs = model(), digits[:300], []
    if before:
        CALLS[call](made, x)
    seen = keras.callbacks.Callback()
    setattr(seen, hook, lambda *_, **__: outputs.append(CALLS[call](made, x)))
    rows = {"validation_data": digits[100:205], "epochs": 2, "callbacks": [seen], "verbose": 0}
    made.fit(digits[:100], **rows)
    assert len(outputs) == 2
    np.testing.assert_allclose(outputs[1], CALLS[call](made, x), rtol=1e-4, atol=1e-6)
    assert_as_before(made, digits[:90])


def assert_as_before(made, x):
    """That Keras's own functions work as they did."""
    assert made.steps_per_execution == 1
    steps = int(made.optimizer.iterations)
    made.train_on_batch(x, x)
    assert int(made.optimizer.iterations) == steps + 1
    of_rows, of_dataset = (made.evaluate(given, verbose=0) for given in (x, dataset(x)))
    np.testing.assert_allclose(of_rows, of_dataset, rtol=1e-5)


def test_a_callback_trains_on_its_own_batch(digits, keras_feeds):
    def run():
        made, hard = model(), digits[100:200]
        extra = AtEpochEnd(lambda made: made.train_on_batch(hard, hard))
        made.fit(digits[:90], epochs=2, shuffle=False, verbose=0, callbacks=[extra])
        return made.get_weights(), int(made.optimizer.iterations)

    (ours, steps), (theirs, expected) = run(), keras_feeds(run)
    assert steps == expected == 8
    for got, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


@pytest.mark.parametrize("rows", [90, 96])
def test_a_callback_fits_a_dataset(digits, keras_feeds, rows):
    def run():
        made, hard = model(), dataset(digits[100:200])
        extra = AtEpochEnd(lambda made: made.fit(hard, shuffle=False, verbose=0))
        made.fit(digits[:rows], epochs=2, shuffle=False, verbose=0, callbacks=[extra])
        return made.get_weights(), int(made.optimizer.iterations)

    (ours, steps), (theirs, expected) = run(), keras_feeds(run)
    assert steps == expected == 14
    for got, wanted in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end", "on_epoch_end"])
@pytest.mark.fast(every=3)
def test_a_model_is_as_before_after_an_error(digits, error, hook):
    made, broken = model(), keras.callbacks.Callback()

    def fail(*_, **__):
        raise error

    setattr(broken, hook, fail)
    with pytest.raises(error):
        made.fit(digits[:90], validation_data=digits[:50], verbose=0, callbacks=[broken])
    assert_as_before(made, digits[:90])
    made.fit(digits[:90], verbose=0)


class Unfreeze(keras.callbacks.Callback):
    """Trains the encoder, too, from the second epoch on, by `how`."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.encoder.trainable = True
            self.how(self.model)


FREEZINGS = {
    "compile": lambda made: made.compile(keras.optimizers.SGD(0.1)),
    "both": lambda made: (
        made.compile(keras.optimizers.SGD(0.1)),
        made.make_train_function(force=True),
    ),
}


@pytest.mark.tensorflow  # on JAX, Keras itself cannot go on
@pytest.mark.parametrize("how", FREEZINGS)
def test_a_callback_compiles_anew(digits, how):
    made = model(optimizer=keras.optimizers.SGD(0.1))
    made.encoder.trainable = False
    made.compile(keras.optimizers.SGD(0.1))
    before = made.get_weights()
    history = made.fit(
        digits[:90], epochs=8, verbose=0, callbacks=[Unfreeze(FREEZINGS[how])]
    ).history["loss"]
    assert history == sorted(history, reverse=True)  # all rows, not the first again and again
    assert len(history) == 8
    for old, new in zip(before, made.get_weights(), strict=True):
        assert np.abs(old - new).max() > 0
    assert_as_before(made, digits[:90])


@pytest.mark.tensorflow
def test_a_callback_makes_the_function_anew(digits, keras_feeds):
    def freeze(made):
        made.encoder.trainable = False
        made.make_train_function(force=True)

    def run():
        made = model(optimizer=keras.optimizers.SGD(0.1))
        made.fit(digits[:90], shuffle=False, epochs=3, verbose=0, callbacks=[AtEpochEnd(freeze)])
        return made.get_weights()

    for got, wanted in zip(run(), keras_feeds(run), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_callback_compiles_at_the_end(digits):
    made, end = model(), keras.callbacks.Callback()
    end.on_train_end = lambda logs=None: made.compile(
        keras.optimizers.SGD(0.1), steps_per_execution=8
    )
    made.fit(dataset(digits[:90]), verbose=0)
    made.fit(digits[:90], verbose=0, callbacks=[end])
    assert made.steps_per_execution == 8
    for x in (dataset(digits[:90]), digits[:90]):
        before = int(made.optimizer.iterations)
        made.fit(x, verbose=0)
        assert int(made.optimizer.iterations) == before + 3


def test_steps_without_names_of_their_own_stay_apart(digits):
    made = model()
    made.train_step = functools.partial(made.train_step)
    made.test_step = functools.partial(made.test_step)
    made.fit(digits[:64], verbose=0)
    before = made.get_weights()
    made.evaluate(digits[:64], verbose=0)
    for got, wanted in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_sample_weights_may_have_another_shape(digits):
    def run(*shapes):
        made = model()
        for shape in shapes:
            weights = np.linspace(0, 2, 64).reshape(shape)
            made.fit(digits[:64], sample_weight=weights, shuffle=False, verbose=0)
        return made.evaluate(digits[:64], verbose=0)

    assert run(64, (64, 1), 64) == pytest.approx(run(64, 64, 64), rel=1e-5)


@pytest.mark.parametrize("given", ["x", "y", "x twice", "weights", "all"])
def test_a_train_step_of_ones_own_gets_what_keras_gives(digits, keras_feeds, given):
    x, weights = digits[:64], np.ones(64)
    arguments = {
        "x": {},
        "y": {"y": x[::-1]},
        "x twice": {"y": x},
        "weights": {"sample_weight": weights},
        "all": {"y": x[::-1], "sample_weight": weights},
    }[given]

    def run():
        seen, made = [], model()
        step = made.train_step

        def train_step(*data):
            described = keras.tree.map_structure(lambda t: (str(t.dtype), len(t.shape)), data[-1])
            seen.append(described)
            return step(*data)

        made.train_step = train_step
        made.fit(x, **arguments, verbose=0)
        return seen[0]

    assert run() == keras_feeds(run)


def test_what_was_compiled_before_an_adapted_scaler_is_forgotten(digits):
    scaler = keras.layers.Normalization()
    scaler.adapt(digits[:100])
    made = kerasae.stacked_autoencoder((64,), (10,), scaler=scaler)
    x = digits[:5]
    before = made.predict(x, verbose=0)
    made.encode(x)
    scaler.adapt(digits[:100] * 3 + 1)
    made.compile()
    after = keras.ops.convert_to_numpy(made(x))
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(made.predict(x, verbose=0), after, atol=1e-5)
    np.testing.assert_allclose(made.decode(made.encode(x)), after, atol=1e-5)


def scaled_to(x):
    scaler = kerasae.RangeScaling()
    scaler.adapt(x)
    made = kerasae.stacked_autoencoder((64,), (10,), scaler=scaler)
    made.compile(keras.optimizers.SGD(0.1))
    return made


def test_loaded_weights_bring_their_scaler_and_calibration(digits, tmp_path):
    def made(x):
        made = scaled_to(x)
        made.fit(x, verbose=0)
        kerasae.anomaly.calibrate(made, x)
        return made

    x = digits[:100]
    first, second = made(x), made(3 * x + 1)
    outputs = lambda made: (  # noqa: E731
        made.predict(x, verbose=0),
        made.encode(x),
        made.evaluate(x, verbose=0),
        kerasae.anomaly.score(made, x).p_value,
    )
    outputs(first)
    wanted = outputs(second)
    second.save_weights(tmp_path / "second.weights.h5")
    first.load_weights(tmp_path / "second.weights.h5")
    for got, expected in zip(outputs(first), wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fed", [lambda x: x, dataset], ids=["rows", "dataset"])
def test_training_goes_on_with_the_loaded_scaler(digits, tmp_path, fed):
    x = digits[:96]
    first, second = scaled_to(x), scaled_to(3 * x + 1)
    first.fit(fed(x), verbose=0, shuffle=False)
    second.save_weights(tmp_path / "second.weights.h5")
    first.load_weights(tmp_path / "second.weights.h5")
    for one in (first, second):
        one.fit(fed(x), verbose=0, shuffle=False)
    for got, wanted in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


def test_a_scaled_loss_is_taken_as_an_optimizer(digits):
    inner = keras.optimizers.Adam(0.01)
    made = model(optimizer=keras.optimizers.LossScaleOptimizer(inner))
    made.fit(digits[:100], verbose=0)
    with pytest.raises(ValueError, match="learning_rate"):
        made.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.0)))


def test_quantized_layers_predict(digits):
    made, x = model(), digits[:20]
    before = made.predict(x, verbose=0)
    made.quantize("int8")
    after = keras.ops.convert_to_numpy(made(x))
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(made.predict(x, verbose=0), after, atol=1e-5)


def test_columns_are_those_of_rows_that_were_trained_on():
    made = kerasae.stacked_autoencoder((3,), (2,))
    made.compile()
    rows = pd.DataFrame(np.eye(4, 3), columns=["a", "b", "c"])
    with pytest.raises((TypeError, ValueError)):
        made.fit(rows.assign(c="text"), verbose=0)
    assert made.columns is None
    made.predict(rows, verbose=0)
    made.evaluate(rows, verbose=0)
    assert made.columns is None
    made.fit(rows, validation_data=rows[["c", "b", "a"]], verbose=0)
    assert made.columns == ("a", "b", "c")


def test_a_schedule_may_begin_at_nothing(digits):
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, 10, warmup_target=0.1, warmup_steps=2, alpha=0.1
    )
    made = model(optimizer=keras.optimizers.Adam(schedule))
    losses = made.fit(digits[:100], epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict", "encode"])
def test_a_batch_size_may_be_of_numpy(digits, call):
    def run(size):
        got = getattr(model(), call)(digits[:100], batch_size=size, verbose=0)
        return got.history["loss"] if call == "fit" else got

    np.testing.assert_array_equal(run(np.array([32])[0]), run(32))


def orders_of(monkeypatch, run):
    orders, draw = [], Rows.order

    def spy(self, seed):
        order = draw(self, seed)
        orders.append(tuple(order.tolist()))
        return order

    with monkeypatch.context() as patch:
        patch.setattr(Rows, "order", spy)
        run()
    return orders


def test_each_epoch_has_an_order_of_its_own(digits, monkeypatch):
    made = model(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=64))
    fits = lambda: [made.fit(digits[:64], epochs=5, verbose=0) for _ in range(2)]  # noqa: E731
    orders = orders_of(monkeypatch, fits)
    assert len(set(orders)) == len(orders) == 10


def test_orders_follow_from_the_seed_of_the_model_alone(digits, monkeypatch):
    def run(other):
        made = model()
        random.seed(other)
        np.random.seed(other)  # noqa: NPY002
        state = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
        orders = orders_of(monkeypatch, lambda: made.fit(digits[:64], epochs=2, verbose=0))
        assert (random.getstate(), np.random.get_state()[1].tolist()) == state  # noqa: NPY002
        return orders

    assert run(1) == run(2)


def test_a_backup_goes_on_in_the_order_it_had(digits, tmp_path):
    def run(callbacks):
        made = model()
        made.fit(digits[:100], epochs=4, verbose=0, callbacks=callbacks)
        return made.get_weights()

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = run([])
    with pytest.raises(KeyboardInterrupt):
        run([AtomicBackup(tmp_path / "run"), Kill()])
    resumed = run([AtomicBackup(tmp_path / "run")])
    for got, wanted in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_kerass_own_backup_goes_on_where_it_was(digits, tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        model().fit(digits[:100], epochs=5, verbose=0, callbacks=[backup(), Kill()])
    history = model().fit(digits[:100], epochs=5, verbose=0, callbacks=[backup()])
    assert history.epoch[-1] == 4
    assert len(history.epoch) < 5


@pytest.mark.tensorflow
def test_what_xla_cannot_compile_is_trained_without_it(digits, monkeypatch):
    import tensorflow as tf

    @keras.saving.register_keras_serializable("tests")
    class Python(keras.layers.Layer):
        def call(self, x):
            y = tf.py_function(lambda v: v, [x], x.dtype)
            y.set_shape(x.shape)
            return y

    monkeypatch.setattr(xla_rules, "XLA_STEPS", 1)
    encoder = keras.Sequential([keras.Input((64,)), Python(), keras.layers.Dense(10)])
    decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
    made = kerasae.Autoencoder(encoder, decoder)
    made.compile()
    history = made.fit(digits[:100], epochs=3, verbose=0).history["loss"]
    assert made._programs.xla_failed
    assert history[2] < history[0]
    assert int(made.optimizer.iterations) == 12


def test_a_model_is_freed_after_its_fits(digits):
    made = model()
    made.fit(digits[:100], validation_data=digits[:50], verbose=0)
    made.predict(digits[:10], verbose=0)
    left = weakref.ref(made)
    del made
    for _ in range(20):  # the backend's own threads let go of it when they come to run
        gc.collect()
        if left() is None:
            return
        time.sleep(0.2)
    assert left() is None, [str(one)[:300] for one in gc.get_referrers(left())]


GAINS = {
    "stacked": (lambda: kerasae.stacked_autoencoder(64, (10,)), True),
    "salt and pepper": (
        lambda: kerasae.denoising_autoencoder(64, 10, corruption=kerasae.SaltPepperDropout(0.3)),
        True,
    ),
    "variational": (lambda: kerasae.variational_autoencoder(64, 10), True),
    "wide variational": (lambda: kerasae.variational_autoencoder(64, 60), False),
    "convolutional": (lambda: kerasae.convolutional_autoencoder((8, 8, 1), (4, 8, 10)), False),
    "k-sparse": (lambda: kerasae.k_sparse_autoencoder(64, 10, k=3), False),
    "noisy": (lambda: kerasae.denoising_autoencoder(64, 10), False),
    "Keras's noise": (
        lambda: kerasae.denoising_autoencoder(64, 10, corruption=keras.layers.GaussianNoise(0.1)),
        False,
    ),
}


@pytest.mark.fast(every=3)
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", GAINS)
def test_long_fits_take_xla_where_it_pays(name, monkeypatch):
    monkeypatch.setattr(xla_rules, "XLA_STEPS", 4)
    build, gains = GAINS[name]
    made, jits = build(), []
    made.compile()
    real = tensorflow_programs.loop_of
    monkeypatch.setattr(tensorflow_programs, "loop_of", lambda *a: jits.append(a[-1]) or real(*a))
    x = np.random.default_rng(0).uniform(size=(20, *made.row_shape)).astype("float32")
    made.fit(x, batch_size=10, verbose=0)  # 2 steps
    made.fit(x, batch_size=10, epochs=2, verbose=0)  # 4
    assert jits == [False, True] if gains else [False]


@pytest.mark.tensorflow
@pytest.mark.parametrize("units", [True, False])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_matrix_units_are_left_to_onednn(digits, monkeypatch, dtype_policy, policy, units):
    """XLA's own code for processors does not use them."""
    dtype_policy(policy)
    monkeypatch.setattr(xla_rules, "has_matrix_units", lambda: units)
    assert xla_rules.gains_by_xla(model(), 10**6) != (units and policy == "mixed_bfloat16")


def test_training_in_bfloat16_reaches_the_error_of_float32(digits, dtype_policy):
    def error(policy):
        dtype_policy(policy)
        keras.utils.set_random_seed(3)
        made = kerasae.stacked_autoencoder((64,), (32, 12))
        made.compile()  # Adam by the default name: fused on TensorFlow
        made.fit(digits, batch_size=64, epochs=12, verbose=0)
        assert {str(weight.dtype) for weight in made.trainable_weights} == {"float32"}
        return made.evaluate(digits, verbose=0, return_dict=True)["mse"]

    assert error("mixed_bfloat16") == pytest.approx(error("float32"), rel=0.03)


@pytest.mark.tensorflow
def test_a_resumed_fit_takes_the_programs_of_the_whole_one(digits, monkeypatch, tmp_path):
    """XLA rounds in another way: the choice follows from all epochs, not from those left."""
    monkeypatch.setattr(xla_rules, "XLA_STEPS", 8)

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def run(callbacks):
        made, jits = model(), []
        real = tensorflow_programs.loop_of
        with monkeypatch.context() as patch:
            patch.setattr(tensorflow_programs, "loop_of", lambda *a: jits.append(a[-1]) or real(*a))
            made.fit(digits[:96], epochs=4, verbose=0, callbacks=callbacks)  # 12 steps, 9 left
        return jits, made.get_weights()

    with pytest.raises(KeyboardInterrupt):
        run([AtomicBackup(tmp_path / "run"), Kill()])
    monkeypatch.setattr(xla_rules, "XLA_STEPS", 10)
    (jits, resumed), (_, whole) = run([AtomicBackup(tmp_path / "run")]), run([])
    assert jits == [True]
    for got, wanted in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_convolutions_train_as_when_keras_feeds(digits, keras_feeds):
    x = digits[:90].reshape(-1, 8, 8, 1)

    def run():
        keras.utils.set_random_seed(3)
        made = kerasae.convolutional_autoencoder((8, 8, 1), (4, 8, 10))
        made.compile(keras.optimizers.SGD(0.1))
        history = made.fit(x, validation_data=x[:40], epochs=2, shuffle=False, verbose=0).history
        return made.get_weights(), list(history.values())

    for ours, theirs in zip(run(), keras_feeds(run), strict=True):
        for got, wanted in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.tensorflow
def test_fits_on_other_numbers_of_rows_are_not_traced_anew(digits):
    made, traced = model(), []
    step = made.train_step
    made.train_step = lambda *data: traced.append(1) or step(*data)
    for rows in (100, 110):
        made.fit(digits[:rows], verbose=0)
    before = len(traced)
    for rows in (120, 145, 167):
        made.fit(digits[:rows], verbose=0)
    assert len(traced) == before


def test_a_callback_sees_every_batch_of_a_test(digits, ends_of):
    seen, made = ends_of("test"), model()
    made.evaluate(digits[:100], verbose=0, callbacks=[seen])
    assert seen.ends == [0, 1, 2, 3]
    made.fit(digits[:50], validation_data=digits[:60], verbose=0, callbacks=[seen])
    assert seen.ends[4:] == [0, 1]


@pytest.mark.parametrize("call", ["fit", "evaluate"])
def test_a_model_that_is_not_compiled_is_refused(digits, call, tmp_path):
    made = model()
    made.save(tmp_path / "model.keras")
    made = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    with pytest.raises(ValueError, match="compile"):
        getattr(made, call)(digits[:10], verbose=0)


# The same as Keras's own feeding ----------------------------------------------------------------


def sparse(**compiled):
    keras.utils.set_random_seed(3)
    made = kerasae.sparse_autoencoder((64,), (10,), beta=0.1)
    made.compile(keras.optimizers.Adam(0.01), **compiled)
    return made


CASES = {
    "plain": {},
    "weights": {"sample_weight": np.linspace(0, 2, 205)},
    "target": {"y": True},
    "split": {"validation_split": 0.2},
    "validation": {"validation_data": True},
    "every second epoch": {"validation_data": True, "validation_freq": 2},
    "chosen epochs": {"validation_data": True, "validation_freq": [1, 3]},
    "one batch": {"batch_size": 500},
    "later epochs": {"initial_epoch": 1},
    "class weights": {"class_weight": None, "steps_per_epoch": 3},
}


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("jit", ["auto", True])
@pytest.mark.parametrize("case", CASES)
def test_trains_as_when_keras_feeds(digits, keras_feeds, case, jit):
    x = digits[:205]
    arguments = dict(CASES[case])
    if "y" in arguments:
        arguments["y"] = x[::-1]
    if "validation_data" in arguments:
        arguments["validation_data"] = (x[:50], x[:50], np.linspace(0, 2, 50))

    def fitted(**compiled):
        made = sparse(**compiled)
        options = {"epochs": 3, "batch_size": 32, "shuffle": False, "verbose": 0, **arguments}
        history = made.fit(x, **options)
        return history.history, history.epoch, made.get_weights()

    ours = fitted(jit_compile=jit)
    theirs = keras_feeds(fitted)
    assert ours[0].keys() == theirs[0].keys()
    assert ours[1] == theirs[1]
    for name, values in theirs[0].items():
        np.testing.assert_allclose(ours[0][name], values, rtol=1e-4, err_msg=name)
    for got, wanted in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


@pytest.mark.parametrize("return_dict", [True, False])
def test_evaluates_as_when_keras_feeds(digits, keras_feeds, return_dict):
    made = sparse(metrics=["mae", "mse"], weighted_metrics=["cosine_similarity"])
    arguments = {"sample_weight": np.linspace(0, 2, 205), "verbose": 0, "return_dict": return_dict}
    ours = made.evaluate(digits[:205], **arguments)
    theirs = keras_feeds(lambda: made.evaluate(digits[:205], **arguments))
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("family", ["sparse", "variational", "adversarial"])
def test_evaluate_agrees_in_list_and_dict_form(digits, family):
    made = kerasae.ZOO[family]((64,), (8, 2))
    made.fit(digits[:100], verbose=0)
    as_dict = made.evaluate(digits[:100], verbose=0, return_dict=True)
    assert set(as_dict) == {"loss", "mse"}
    assert made.evaluate(digits[:100], verbose=0) == pytest.approx(list(as_dict.values()))


def test_a_supervised_model_trains_as_when_keras_feeds(digits, keras_feeds):
    labels = kerasae.datasets.load("digits").y[:205]

    def run():
        keras.utils.set_random_seed(3)
        source = kerasae.stacked_autoencoder((64,), (10,))
        made = kerasae.supervised_from(source, keras.layers.Dense(10, activation="softmax"))
        made.compile(
            "adam", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=None
        )
        split = {"validation_split": 0.2, "shuffle": False}
        history = made.fit(digits[:205], labels, epochs=2, verbose=0, **split).history
        return history, made.evaluate(digits[:205], labels, verbose=0)

    (ours, evaluated), (theirs, expected) = run(), keras_feeds(run)
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-4, err_msg=name)
    assert evaluated == pytest.approx(expected, rel=1e-4)


class Recorder(keras.callbacks.Callback):
    """Writes down every call, with its arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __getattribute__(self, name):
        if not name.startswith("on_") or "predict" in name:
            return super().__getattribute__(name)

        def record(*arguments, logs=None):
            *numbers, last = (*arguments, logs) if logs is not None else (*arguments, None)
            if numbers and isinstance(numbers[-1], dict):
                last = numbers.pop()
            self.calls.append((name, tuple(numbers), dict(last or {})))

        return record


@pytest.mark.parametrize("steps", [None, 1, 2, 4])
@pytest.mark.fast(every=2)
def test_callbacks_get_every_call_that_keras_makes(digits, keras_feeds, steps):
    def run():
        recorder = Recorder()
        made = sparse(steps_per_execution=steps)
        rows = {"validation_data": digits[:70], "shuffle": False}
        made.fit(digits[:205], epochs=2, verbose=0, callbacks=[recorder], **rows)
        made.evaluate(digits[:70], verbose=0, callbacks=[recorder])
        return recorder.calls

    ours, theirs = run(), keras_feeds(run)
    assert [call[:2] for call in ours] == [call[:2] for call in theirs]
    for (name, _, got), (_, _, wanted) in zip(ours, theirs, strict=True):
        assert got.keys() == wanted.keys(), name
        for key, value in wanted.items():
            assert np.ndim(got[key]) == 0
            assert float(got[key]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), (name, key)


def test_a_checkpoint_of_batches_saves_at_the_same_batches(digits, keras_feeds, tmp_path):
    def run():
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        path = str(folder / "{epoch}-{batch}.weights.h5")
        checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=10)
        model().fit(digits[:500], batch_size=8, verbose=0, callbacks=[checkpoint])
        return sorted(path.name for path in folder.iterdir())

    ours = run()
    assert ours == keras_feeds(run)
    assert "1-10.weights.h5" in ours
    assert len(ours) == 6


def test_a_tensorboard_of_batches_writes_the_same_steps(digits, keras_feeds, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def run():
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        board = keras.callbacks.TensorBoard(folder, update_freq="batch")
        model().fit(digits[:100], batch_size=10, verbose=0, callbacks=[board])
        events = EventAccumulator(str(folder / "train"), size_guidance={"tensors": 0}).Reload()
        return [event.step for event in events.Tensors("batch_loss")]

    ours = run()
    assert ours == keras_feeds(run)
    assert len(ours) == 10


WATCHING = {
    "none": (lambda path: [], False),
    "history": (lambda path: [keras.callbacks.History()], False),
    "early stopping": (lambda path: [keras.callbacks.EarlyStopping("loss")], False),
    "checkpoint": (lambda path: [keras.callbacks.ModelCheckpoint(path / "a.keras")], False),
    "checkpoint of batches": (
        lambda path: [keras.callbacks.ModelCheckpoint(path / "a.keras", save_freq=3)],
        True,
    ),
    "board": (lambda path: [keras.callbacks.TensorBoard(path)], False),
    "board of batches": (lambda path: [keras.callbacks.TensorBoard(path, update_freq=2)], True),
    "profile": (lambda path: [keras.callbacks.TensorBoard(path, profile_batch=2)], True),
    "guard": (lambda path: [kerasae.callbacks.StabilityGuard()], False),
    "epochs": (lambda path: [keras.callbacks.LambdaCallback(on_epoch_end=print)], False),
    "batches": (lambda path: [keras.callbacks.LambdaCallback(on_train_batch_end=print)], True),
    "NaN": (lambda path: [keras.callbacks.TerminateOnNaN()], True),
}


@pytest.mark.parametrize("name", WATCHING)
def test_who_watches_batches_is_known(name, tmp_path):
    make, watches = WATCHING[name]
    if name == "profile" and keras.backend.backend() != "tensorflow":
        pytest.skip("Keras profiles TensorFlow alone")
    callbacks = keras.callbacks.CallbackList(make(tmp_path), add_history=True)
    assert watching.watches_batches(model(), callbacks, "train") == watches


def test_a_log_message_says_that_training_goes_step_by_step(digits, caplog):
    made = model()
    made.fit(digits[:100], verbose=0)
    assert not caplog.records
    for _ in range(2):
        made.fit(digits[:100], verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert [record.getMessage() for record in caplog.records] == [
        "TerminateOnNaN is called for every batch, so that training goes step by step"
    ]


def executions_of(made, monkeypatch, run):
    real, steps = programs.Programs.run, []

    def spy(self, kind, chunk, first, count, **options):
        steps.append(count)
        return real(self, kind, chunk, first, count, **options)

    with monkeypatch.context() as patch:
        patch.setattr(programs.Programs, "run", spy)
        run()
    return steps


def test_executions_are_bounded_by_time_not_by_steps(digits, monkeypatch):
    made = model()
    fit = lambda: made.fit(digits, batch_size=4, verbose=0)  # noqa: E731
    first = executions_of(made, monkeypatch, fit)
    assert first[0] == programs.FIRST_STEPS
    assert sum(first) == 450
    made._programs._seconds["train", 4] = programs.EXECUTION_SECONDS / 200
    assert executions_of(made, monkeypatch, fit)[0] == 200
    made._programs._seconds["train", 4] = 1e-9
    assert executions_of(made, monkeypatch, fit) == [450]


def test_what_compile_is_given_wins(digits, ends_of):
    seen, made = ends_of("train"), model(steps_per_execution=2, jit_compile=False)
    made.fit(digits[:205], batch_size=50, verbose=0, callbacks=[seen])
    assert seen.ends == [1, 3, 5]  # as Keras counts
    assert made.steps_per_execution == 2


def test_what_was_chosen_is_chosen_again_after_loading(digits, tmp_path):
    made = model()
    made.fit(digits[:100], verbose=0)
    assert made.steps_per_execution == 1
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded._given_steps is None
    assert loaded._given_jit == "auto"
    given = model(steps_per_execution=3, jit_compile=False)
    given.save(tmp_path / "given.keras")
    loaded = keras.saving.load_model(tmp_path / "given.keras")
    assert loaded.steps_per_execution == loaded._given_steps == 3
    assert loaded._given_jit is False


def test_a_function_of_a_subclass_is_used(digits):
    """A model whose functions are the user's own is fed by Keras."""
    made_functions = []

    class Own(kerasae.Autoencoder):
        def make_train_function(self, force=False):
            made_functions.append("train")
            return super().make_train_function(force)

    encoder = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
    made = Own(encoder, decoder)
    made.compile(keras.optimizers.Adam(0.01))
    losses = made.fit(digits[:200], epochs=3, verbose=0).history["loss"]
    assert made_functions
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("method", ["train_step", "compute_loss"])
def test_methods_of_a_subclass_see_the_users_units(digits, method):
    seen = []

    class Own(kerasae.Autoencoder):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            if method == "compute_loss":
                seen.append(keras.ops.max(y_pred))
                keras.ops.shape(y_pred)
            return super().compute_loss(x, y, y_pred, sample_weight, training)

    x = 1000 + digits[:64]
    scaler = kerasae.RangeScaling()
    scaler.adapt(x)
    encoder = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
    made = Own(encoder, decoder, scaler)
    made.compile(keras.optimizers.SGD(1e-9), metrics=None)
    plain = kerasae.Autoencoder(encoder, decoder, scaler)
    plain.compile(keras.optimizers.SGD(1e-9), metrics=None)
    assert not gives_scaled(made)
    assert gives_scaled(plain)
    own = made.fit(x, verbose=0).history["loss"]
    assert own == pytest.approx(plain.fit(x, verbose=0).history["loss"], rel=1e-3)
    assert made(x[:3], training=True).shape == (3, 64)
    assert float(keras.ops.max(made(x[:3], training=True))) > 500


def test_a_loss_is_taken_on_scaled_values_without_unscaling(digits):
    made = scaled_to(1000 + digits[:100])
    made.encode(1000 + digits[:100])  # the check of rows looks once at what the scaler can give
    calls = []
    made.scaler.inverse = lambda z: calls.append(z.shape[0]) or z
    made.fit(1000 + digits[:100], verbose=0)
    made.evaluate(1000 + digits[:100], verbose=0)
    assert set(calls) <= {2}  # the limits that raw values are checked against


def test_two_threads_may_use_one_model(digits):
    """A prediction for a dataset, in another thread, does not change what is trained."""

    def run(beside):
        made = model()
        stop, outputs = threading.Event(), []

        def predict():
            while not stop.is_set():
                outputs.append(made.predict(dataset(digits[:50]).map(lambda a, _: a), verbose=0))

        thread = threading.Thread(target=predict)
        if beside:
            thread.start()
        history = made.fit(digits[:300], epochs=15, shuffle=False, verbose=0).history["loss"]
        stop.set()
        if beside:
            thread.join()
            assert outputs
            assert all(output.shape == (50, 64) for output in outputs)
        return history, made.get_weights()

    if keras.backend.backend() != "tensorflow":
        pytest.skip("on JAX, Keras itself keeps the weights for the fit alone")
    (alone, weights), (beside, others) = run(False), run(True)
    np.testing.assert_allclose(alone, beside, rtol=1e-5)
    for got, wanted in zip(others, weights, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)


# Chunks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, "batch", False])
def test_every_row_comes_once_an_epoch(shuffle):
    rows = Rows(np.zeros((103, 2), "float32"), batch_size=10, shuffle=shuffle)
    order = rows.order([1, 2])
    assert sorted(order) == list(range(103))
    assert (order.tolist() == list(range(103))) == (shuffle is False)
    if shuffle == "batch":
        assert sorted(order[:10]) == list(range(10))


@pytest.mark.parametrize("rows", [205, 192])
def test_chunks_train_as_one(digits, monkeypatch, rows):
    def run():
        made = sparse()
        history = made.fit(digits[:rows], epochs=2, batch_size=16, verbose=0).history
        return history["loss"], made.get_weights()

    whole = run()
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 64 * 4 * 50)
    monkeypatch.setattr(chunks, "on_processor", lambda: False)
    made = list(Rows(digits[:rows], batch_size=16).chunks())
    assert len({(chunk.parts[0].shape, chunk.rest) for chunk in made}) == 1  # for one program
    assert [chunk.rows for chunk in made] == [48, 48, 48, 48, 13][: 5 if rows == 205 else 4]
    parts = run()
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-4)
    for got, wanted in zip(parts[1], whole[1], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


def test_reading_ahead_gives_all_items_and_errors():
    assert list(read_ahead(range(5))) == [0, 1, 2, 3, 4]

    def broken():
        yield 1
        raise OSError("disk gone")

    items = read_ahead(broken())
    assert next(items) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(items)


def test_reading_ahead_stops_with_its_reader():

    before = threading.active_count()
    items = read_ahead(iter(range(1000)))
    assert next(items) == 0
    items.close()
    for thread in threading.enumerate()[before:]:
        thread.join(timeout=5)
    assert threading.active_count() == before


def test_bytes_stay_bytes_on_the_device(digits):
    x = (digits * 16).astype("uint8")[:100]
    (chunk,) = Rows(x, batch_size=32).chunks()
    assert keras.backend.standardize_dtype(chunk.parts[0].dtype) == "uint8"
    assert chunk.parts[1:] == (None, None)
    made = kerasae.stacked_autoencoder((64,), (10,), scaler=keras.layers.Rescaling(1 / 16))
    losses = made.fit(x, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool"])
def test_rows_are_copied_to_the_device_as_they_are(dtype):
    x = np.arange(3 * 5 * 7).reshape(3, 5, 7).astype(dtype)
    given = x[:, ::2] if dtype == "float32" else x
    (chunk,) = Rows(given, batch_size=2).chunks()
    wanted = given.copy()
    x[...] = 0  # what the user does with the array afterwards does not change the copy
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(chunk.parts[0]), wanted)


@pytest.mark.parametrize("size", [1, 700, 4096])
@pytest.mark.parametrize("shape", [(1000,), (300, 8), (1, 9), (0, 8), (64, 0), (7, 5, 40)])
def test_rows_are_copied_in_parts(monkeypatch, shape, size):
    monkeypatch.setattr(chunks, "COPY_BYTES", size)
    x = np.random.default_rng(0).standard_normal(shape).astype("float32")
    copy = keras.ops.convert_to_numpy(chunks.on_device(x))
    np.testing.assert_array_equal(copy, x)


# Counts that decide the speed of an accelerator -------------------------------------------------


@pytest.mark.parametrize("rows", [96, 100])
def test_a_fit_compiles_one_program(digits, rows, caplog):
    """The short last batch, later epochs and later fits compile nothing more."""
    if keras.backend.backend() != "jax":
        pytest.skip("counts what JAX compiles")
    import jax

    made = model()
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        for _ in range(2):
            made.fit(digits[:rows], epochs=3, verbose=0)
    compiled = [r for r in caplog.records if "Finished XLA compilation of jit(loop)" in r.message]
    assert len(compiled) == 1


@pytest.fixture
def as_on_an_accelerator(monkeypatch):
    if keras.backend.backend() != "jax":
        pytest.skip("the programs of JAX")
    for module in (jax_programs, programs, chunks):
        monkeypatch.setattr(module, "on_processor", lambda: False)


@pytest.mark.parametrize(("rows", "blocks"), [(96, 6), (100, 6), (112, 7), (16, 1), (7, 0)])
def test_an_accelerator_trains_by_blocks_to_the_same(
    digits, rows, blocks, as_on_an_accelerator, monkeypatch
):
    monkeypatch.setattr(programs, "BLOCK_STEPS", 64)
    made, other = model(), model()
    other.set_weights(made.get_weights())
    assert programs.block_of(blocks) == max(blocks, 1)
    seen = made.fit(digits[:rows], batch_size=16, epochs=3, verbose=0, shuffle=False).history
    for module in (jax_programs, programs):
        monkeypatch.setattr(module, "on_processor", lambda: True)
    wanted = other.fit(digits[:rows], batch_size=16, epochs=3, verbose=0, shuffle=False).history
    for name, values in wanted.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-5)
    for one, same in zip(made.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("steps", "block"), [(468, 234), (234, 234), (257, 257), (514, 514), (7, 7)]
)
def test_blocks_divide_the_steps_of_an_epoch(steps, block, as_on_an_accelerator):
    assert programs.block_of(steps) == block


def test_the_short_last_batch_is_compiled_beside_the_loop(digits, as_on_an_accelerator, caplog):
    import jax

    made = model()
    before = jax.config.jax_log_compiles
    jax.config.update("jax_log_compiles", True)  # in all threads
    try:
        with caplog.at_level("WARNING", logger="jax"):
            for _ in range(2):
                made.fit(digits[:100], epochs=2, verbose=0)
    finally:
        jax.config.update("jax_log_compiles", before)
    threads = {"loop": [], "one": []}
    for record in caplog.records:
        for name, found in threads.items():
            if f"Finished XLA compilation of jit({name})" in record.message:
                found.append(record.threadName == "MainThread")
    assert threads == {"loop": [True], "one": [False]}


def test_an_accelerator_takes_the_steps_that_it_is_given(digits, as_on_an_accelerator):
    made, other = model(steps_per_execution=5), model(steps_per_execution=1)
    other.set_weights(made.get_weights())
    for one in (made, other):
        one.fit(digits[: 16 * 13], batch_size=16, epochs=2, verbose=0, shuffle=False)
    for one, same in zip(made.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-6)


def test_an_accelerator_is_waited_for_once_an_execution(digits, as_on_an_accelerator, caplog):
    """It takes an epoch as one program and, for the short last batch, one of a single step."""
    import jax

    made, callbacks = model(), []
    with jax.log_compiles(), caplog.at_level("WARNING", logger="jax"):
        made.fit(digits[:500], epochs=2, verbose=0, batch_size=16, callbacks=callbacks)
        caplog.clear()
        made.fit(digits[:500], epochs=3, verbose=0, batch_size=16)
    assert "Finished XLA compilation" not in caplog.text


def test_the_next_order_is_drawn_while_the_device_works(digits, monkeypatch):
    """Before the host waits for the logs of an epoch, and none twice or in vain."""
    order, value, seen, seeds = Rows.order, programs._value, [], []
    watcher = [keras.callbacks.Callback()]

    def draw(self, seed):
        seen.append("order")
        seeds.append(int(seed[1]))
        return order(self, seed)

    monkeypatch.setattr(Rows, "order", draw)
    monkeypatch.setattr(programs, "_value", lambda log: seen.append("wait") or value(log))
    made = model()
    for _ in range(2):
        made.fit(digits[:64], epochs=3, verbose=0, callbacks=watcher)
    assert [key for key, _ in itertools.groupby(seen)] == ["order", "wait"] * 4
    assert seeds == list(range(seeds[0], seeds[0] + 6))


@pytest.mark.parametrize("watched", [False, True])
def test_the_next_epoch_begins_before_the_logs_are_there(digits, monkeypatch, watched):
    """Where nothing is asked for between epochs; the history is the same."""
    run, numbers, seen = programs.Programs.run, training._numbers, []

    def spy(self, *arguments, **options):
        seen.append("run")
        return run(self, *arguments, **options)

    monkeypatch.setattr(programs.Programs, "run", spy)
    monkeypatch.setattr(training, "_numbers", lambda logs: seen.append("logs") or numbers(logs))
    made, plain = model(), model()
    plain.set_weights(made.get_weights())
    for one in (made, plain):
        one._order_generator.state.assign(np.array([3, 0], "uint32"))
    callbacks = [keras.callbacks.Callback()] if watched else None
    history = made.fit(digits[:64], epochs=5, verbose=0, callbacks=callbacks).history
    assert seen == (["run", "logs"] * 5 if watched else ["run", *["run", "logs"] * 4, "logs"])
    monkeypatch.undo()
    wanted = plain.fit(digits[:64], epochs=5, verbose=0, validation_data=digits[:9]).history
    assert history["loss"] == wanted["loss"]
    for one, same in zip(made.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


class StopsBefore(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.stop_training = epoch == 2


def test_a_stop_before_an_epoch_is_seen_after_its_first_step(digits, keras_feeds):
    def run():
        made = model()
        losses = made.fit(digits[:96], epochs=5, verbose=0, callbacks=[StopsBefore()]).history
        return len(losses["loss"]), int(keras.ops.convert_to_numpy(made.optimizer.iterations))

    assert run() == keras_feeds(run) == (3, 3 + 3 + 1)


def test_an_interrupt_does_not_lose_the_epoch_before_it(digits, monkeypatch):
    run, calls = programs.Programs.run, []

    def interrupted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return run(self, *arguments, **options)

    monkeypatch.setattr(programs.Programs, "run", interrupted)
    made = model()
    with pytest.raises(KeyboardInterrupt):
        made.fit(digits[:64], epochs=9, verbose=0)
    assert made.history.epoch == [0, 1, 2]


def test_rows_are_moved_to_the_device_once(digits, monkeypatch):
    """What goes there in an epoch is its order, four bytes a row, whatever the steps are."""
    moved, real = [], chunks.on_device
    monkeypatch.setattr(chunks, "on_device", lambda rows: moved.append(rows.nbytes) or real(rows))
    x = digits[:100]
    model().fit(x, validation_data=digits[:50], epochs=4, batch_size=5, verbose=0)
    assert sorted(moved) == [50 * 4, *[100 * 4] * 4, 50 * 64 * 4, 100 * 64 * 4]


@pytest.mark.parametrize("rows", [96, 100])
def test_a_fit_traces_a_step_once_for_each_number_of_rows(digits, rows):
    """On TensorFlow once for all numbers."""
    made, traced = model(), []
    step = made.train_step
    made.train_step = lambda *data: traced.append(1) or step(*data)
    for _ in range(2):
        made.fit(digits[:rows], epochs=3, verbose=0)
    short = keras.backend.backend() == "jax" and rows % 32 > 0
    assert len(traced) == 1 + short
