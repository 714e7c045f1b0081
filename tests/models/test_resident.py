"""`fit` on rows that lie on the device does what Keras's own feeding does."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.models import resident
from kerasae.models.resident import ResidentRows


def model(**compiled):
    keras.utils.set_random_seed(3)
    made = kerasae.sparse_autoencoder((64,), (10,), beta=0.1)
    made.compile(keras.optimizers.Adam(0.01), **compiled)
    return made


def fitted(x, compiled=None, **arguments):
    made = model(**(compiled or {}))
    history = made.fit(x, epochs=3, batch_size=32, shuffle=False, verbose=0, **arguments).history
    return history, made.get_weights()


@pytest.mark.parametrize("jit", ["auto", True])
@pytest.mark.parametrize("how", ["plain", "weights", "target", "split", "validation"])
def test_trains_as_when_keras_feeds(digits, keras_feeds, how, jit):
    x = digits[:205]
    arguments = {
        "plain": {},
        "weights": {"sample_weight": np.linspace(0, 2, 205)},
        "target": {"y": x[::-1]},
        "split": {"validation_split": 0.2},
        "validation": {"validation_data": (x[:50], x[:50], np.linspace(0, 2, 50))},
    }[how]
    ours = fitted(x, {"jit_compile": jit}, **arguments)
    theirs = keras_feeds(lambda: fitted(x, **arguments))
    assert ours[0].keys() == theirs[0].keys()
    for name, values in theirs[0].items():
        np.testing.assert_allclose(ours[0][name], values, rtol=1e-4, err_msg=name)
    for got, wanted in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


def test_evaluates_as_when_keras_feeds(digits, keras_feeds):
    made = model()
    arguments = {"sample_weight": np.linspace(0, 2, 205), "verbose": 0}
    ours = made.evaluate(digits[:205], **arguments, return_dict=True)
    theirs = keras_feeds(lambda: made.evaluate(digits[:205], **arguments, return_dict=True))
    assert ours == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize("shuffle", [True, "batch", False])
def test_every_row_comes_once_an_epoch(shuffle):
    rows = ResidentRows((np.zeros((103, 2)), None, None), 10, 4, shuffle)
    rows.on_epoch_begin()
    order = keras.ops.convert_to_numpy(rows.order)
    assert sorted(order) == list(range(103))
    assert (order.tolist() == list(range(103))) == (shuffle is False)
    if shuffle == "batch":
        assert sorted(order[:10]) == list(range(10))
    pieces = [list(rows.advance()) for _ in range(3)]
    assert pieces == [[(0, 4, 10)], [(40, 4, 10)], [(80, 2, 10), (100, 1, 3)]]


def test_each_epoch_has_an_order_of_its_own(digits):
    orders = []

    class Spy(ResidentRows):
        def _draw(self):
            order = super()._draw()
            orders.append(order.tolist())
            return order

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "ResidentRows", Spy)
        model().fit(digits[:100], epochs=3, verbose=0)
    assert len(set(map(tuple, orders))) == 3


def test_a_callback_of_ones_own_sees_every_batch(digits, ends_of):
    seen = ends_of("train")
    model().fit(digits[:205], batch_size=50, verbose=0, callbacks=[seen])
    assert seen.ends == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("callbacks", [None, [], [keras.callbacks.History()], "list"])
def test_other_fits_take_many_steps_an_execution(digits, monkeypatch, callbacks):
    kept, made = [], model()
    if callbacks == "list":
        callbacks = keras.callbacks.CallbackList(add_history=True, model=made)
    monkeypatch.setattr(resident, "ResidentRows", lambda *a: kept.append(a) or ResidentRows(*a))
    made.fit(digits[:205], batch_size=2, verbose=0, callbacks=callbacks)
    assert kept[0][2] == 50


def test_a_callback_in_a_list_of_callbacks_sees_every_batch(digits, ends_of):
    seen, made = ends_of("train"), model()
    callbacks = keras.callbacks.CallbackList([seen], add_history=True, model=made)
    made.fit(digits[:205], batch_size=50, verbose=0, callbacks=callbacks)
    assert seen.ends == [0, 1, 2, 3, 4]


def test_what_compile_is_given_wins(digits, ends_of):
    seen, made = ends_of("train"), model(steps_per_execution=2, jit_compile=False)
    made.fit(digits[:205], batch_size=50, verbose=0, callbacks=[seen])
    assert seen.ends == [1, 3, 5]
    assert made.steps_per_execution == 2


def test_what_was_chosen_is_chosen_again_after_loading(digits, tmp_path):
    made = model()
    made.fit(digits[:100], verbose=0)
    assert made.steps_per_execution == 1
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded._loops.automatic_steps
    assert loaded._loops.automatic_jit
    given = model(steps_per_execution=3, jit_compile=False)
    given.save(tmp_path / "given.keras")
    loaded = keras.saving.load_model(tmp_path / "given.keras")
    assert loaded.steps_per_execution == 3
    assert not loaded._loops.automatic_steps


def test_bytes_stay_bytes_on_the_device(digits, monkeypatch):
    kept = []
    monkeypatch.setattr(
        resident, "ResidentRows", lambda *a: kept.append(ResidentRows(*a)) or kept[-1]
    )
    made = kerasae.stacked_autoencoder((64,), (10,), scaler=keras.layers.Rescaling(1 / 16))
    made.fit((digits * 16).astype("uint8")[:100], verbose=0)
    assert keras.backend.standardize_dtype(kept[0].parts[0].dtype) == "uint8"
    assert kept[0].parts[1:] == (None, None)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int64", "bool"])
def test_rows_are_copied_to_the_device_as_they_are(dtype):
    x = np.arange(3 * 5 * 7).reshape(3, 5, 7).astype(dtype)
    given = x[:, ::2] if dtype == "float32" else x
    rows = ResidentRows((given, None, None), 2, 1).parts[0]
    wanted = given.copy()
    x[...] = 0  # what the user does with the array afterwards is no concern of the copy
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(rows), wanted)
