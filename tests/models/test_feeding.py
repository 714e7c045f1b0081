"""What `fit` puts in the place of Keras's functions stays out of the way of everything else."""

import functools
import gc
import random
import weakref

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.callbacks import AtomicBackup
from kerasae.models import loops, resident


def model(**compiled):
    keras.utils.set_random_seed(3)
    made = kerasae.stacked_autoencoder((64,), (10,))
    made.compile(**{"optimizer": keras.optimizers.Adam(0.01), **compiled})
    return made


def dataset(x, batch_size=32):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((x, x)).batch(batch_size)


class AtEpochEnd(keras.callbacks.Callback):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.answers = []

    def on_epoch_end(self, epoch, logs=None):
        self.answers.append(self.function(self.model))


VALIDATIONS = {
    "dataset": lambda x: {"validation_data": dataset(x)},
    "some steps of a dataset": lambda x: {"validation_data": dataset(x), "validation_steps": 3},
    "endless": lambda x: {"validation_data": dataset(x).repeat(), "validation_steps": 5},
    "some steps of rows": lambda x: {"validation_data": (x, x), "validation_steps": 3},
    "weighted": lambda x: {"validation_data": (x, x, np.arange(len(x))), "validation_steps": 3},
}


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


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("hook", ["on_epoch_end", "on_test_end"])
def test_callbacks_call_what_keras_gives(digits, call, before, hook):
    made, x, answers = model(), digits[:300], []
    if before:
        CALLS[call](made, x)
    seen = keras.callbacks.Callback()
    setattr(seen, hook, lambda *_, **__: answers.append(CALLS[call](made, x)))
    rows = {"validation_data": digits[100:205], "epochs": 2, "callbacks": [seen], "verbose": 0}
    made.fit(digits[:100], **rows)
    assert len(answers) == 2
    np.testing.assert_allclose(answers[1], CALLS[call](made, x), rtol=1e-4, atol=1e-6)
    assert_as_before(made, digits[:90])


def assert_as_before(made, x):
    """That Keras's functions and steps are in their places again."""
    assert made._loops.replaced is None
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
    answers = lambda made: (  # noqa: E731
        made.predict(x, verbose=0),
        made.encode(x),
        made.evaluate(x, verbose=0),
        kerasae.anomaly.score(made, x).p_value,
    )
    answers(first)
    wanted = answers(second)
    second.save_weights(tmp_path / "second.weights.h5")
    first.load_weights(tmp_path / "second.weights.h5")
    for got, expected in zip(answers(first), wanted, strict=True):
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
    with pytest.raises(ValueError, match="learning rate"):
        made.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.0)))


def test_quantized_layers_answer(digits):
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
    made.fit(digits[:100], verbose=0)


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict", "encode"])
def test_a_batch_size_may_be_of_numpy(digits, call):
    (size,) = np.array([32])
    quiet = {} if call == "encode" else {"verbose": 0}
    getattr(model(), call)(digits[:100], batch_size=size, **quiet)


def orders_of(monkeypatch, run):
    orders, draw = [], resident.ResidentRows._draw

    def spy(self):
        order = draw(self)
        orders.append(tuple(order.tolist()))
        return order

    with monkeypatch.context() as patch:
        patch.setattr(resident.ResidentRows, "_draw", spy)
        run()
    return orders


def test_orders_differ_while_gradients_accumulate(digits, monkeypatch):
    made = model(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=64))
    orders = orders_of(monkeypatch, lambda: made.fit(digits[:64], epochs=5, verbose=0))
    assert len(set(orders)) == len(orders) == 5


def test_a_backup_goes_on_in_the_order_it_had(digits, tmp_path):
    def run(callbacks, stop=None):
        made = model()
        random.seed(1 if stop is None else stop)
        made.fit(digits[:100], epochs=4, verbose=0, callbacks=callbacks)
        return made.get_weights()

    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = run([])
    with pytest.raises(KeyboardInterrupt):
        run([AtomicBackup(tmp_path / "run"), Kill()])
    resumed = run([AtomicBackup(tmp_path / "run")], stop=99)
    for got, wanted in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.tensorflow
def test_what_xla_cannot_compile_is_trained_without_it(digits, monkeypatch):
    import tensorflow as tf

    @keras.saving.register_keras_serializable("tests")
    class Python(keras.layers.Layer):
        def call(self, x):
            y = tf.py_function(lambda v: v, [x], x.dtype)
            y.set_shape(x.shape)
            return y

    monkeypatch.setattr(loops, "XLA_STEPS", 1)
    encoder = keras.Sequential([keras.Input((64,)), Python(), keras.layers.Dense(10)])
    decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(64)])
    made = kerasae.Autoencoder(encoder, decoder)
    made.compile()
    history = made.fit(digits[:100], epochs=3, verbose=0).history["loss"]
    assert made._loops.xla_failed
    assert history[2] < history[0]
    assert int(made.optimizer.iterations) == 12


def test_a_model_is_freed_after_its_fits(digits):
    made = model()
    made.fit(digits[:100], validation_data=digits[:50], verbose=0)
    made.predict(digits[:10], verbose=0)
    left = weakref.ref(made)
    del made
    gc.collect()
    assert left() is None


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


@pytest.mark.parametrize("name", GAINS)
def test_long_fits_take_xla_where_it_pays(name, monkeypatch):
    monkeypatch.setattr(loops, "XLA_STEPS", 4)
    build, gains = GAINS[name]
    made, jits = build(), []
    made.compile()
    real = loops._on_tensorflow
    monkeypatch.setattr(loops, "_on_tensorflow", lambda *a: jits.append(a[-1]) or real(*a))
    monkeypatch.setattr(loops, "_on_jax", lambda *a: pytest.skip("of TensorFlow"))
    monkeypatch.setattr(loops, "_on_jax_by_steps", lambda *a: pytest.skip("of TensorFlow"))
    x = np.random.default_rng(0).uniform(size=(20, *made.row_shape)).astype("float32")
    made.fit(x, batch_size=10, verbose=0)  # 2 steps
    made.fit(x, batch_size=10, epochs=2, verbose=0)  # 4
    assert jits == [False, True] if gains else [False]


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


@pytest.mark.parametrize(("frequency", "steps"), [("epoch", 50), ("batch", 1), (10, 1)])
def test_a_tensorboard_of_batches_sees_every_batch(frequency, steps, tmp_path):
    board = keras.callbacks.TensorBoard(tmp_path, update_freq=frequency)
    assert model()._loops.steps(100, 2, [board]) == steps


@pytest.mark.parametrize("call", ["fit", "evaluate"])
def test_a_model_that_is_not_compiled_is_told_so(digits, call, tmp_path):
    made = model()
    made.save(tmp_path / "model.keras")
    made = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    with pytest.raises(ValueError, match="compile"):
        getattr(made, call)(digits[:10], verbose=0)
