"""Rows in memory go through a model in batches of one shape, into arrays that are made once."""

import gc
import tracemalloc

import keras
import numpy as np
import pytest
from keras import ops

import kerasae


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    return kerasae.stacked_autoencoder((6,), (4, 2))


ROWS = np.random.default_rng(0).standard_normal((23, 6)).astype("float32")


@pytest.mark.parametrize("batch_size", [1, 4, 5, 22, 23, 24, 256])
def test_outputs_do_not_depend_on_the_batch_size(model, batch_size):
    expected = ops.convert_to_numpy(model(ROWS))
    codings = ops.convert_to_numpy(model.encoder(ROWS))
    errors = np.mean((expected - ROWS) ** 2, axis=1)
    near = {"rtol": 1e-5, "atol": 1e-6}
    for got in (model.predict(ROWS, batch_size, 0), model.reconstruct(ROWS, batch_size=batch_size)):
        np.testing.assert_allclose(got, expected, **near)
    np.testing.assert_allclose(model.encode(ROWS, batch_size=batch_size), codings, **near)
    got = model.reconstruction_error(ROWS, batch_size=batch_size)
    np.testing.assert_allclose(got, errors, **near)


def test_a_function_is_traced_once_though_the_last_batch_is_short(model):
    traced = []

    def function(x):
        traced.append(x.shape)
        return {"doubled": 2 * x}

    for _ in range(2):
        got = model._streams.run("doubled", function, ROWS, batch_size=5)
        np.testing.assert_array_equal(got["doubled"], 2 * ROWS)
    # Once for the backend, and perhaps once by Keras, which asks what shape comes out.
    assert len(traced) <= 2
    assert {shape[0] for shape in traced} <= {5, None}


def test_predict_is_traced_once_though_the_last_batch_is_short(model, monkeypatch):
    traced, call = [], model.call
    monkeypatch.setattr(model, "call", lambda x, **kw: traced.append(x.shape) or call(x, **kw))
    for _ in range(2):
        model.predict(ROWS, batch_size=5, verbose=0)
        model.reconstruct(ROWS, batch_size=5)
    assert 1 <= len(traced) <= 2


def test_memory_does_not_grow_with_the_rows(model):
    def peak(rows):
        x = np.zeros((rows, 6), "float32")
        model.predict(x, batch_size=640, verbose=0)
        gc.collect()
        tracemalloc.start()
        try:
            output = model.predict(x, batch_size=640, verbose=0)
            return tracemalloc.get_traced_memory()[1] - output.nbytes
        finally:
            tracemalloc.stop()

    # Rows, and reconstructions beside those that are returned, would each be 460 kB more.
    assert peak(25_600) < peak(6400) + 300_000


def test_progress_is_shown_where_it_is_asked_for(model, capsys):
    model.predict(ROWS, batch_size=5)
    assert "5/5" in capsys.readouterr().out
    model.encode(ROWS, batch_size=5, verbose=1)
    assert "5/5" in capsys.readouterr().out
    model.encode(ROWS)
    assert not capsys.readouterr().out


def test_callbacks_of_predict_are_called(model, ends_of):
    seen = ends_of("predict")
    model.predict(ROWS, batch_size=5, verbose=0, callbacks=[seen])
    assert seen.ends == [0, 1, 2, 3, 4]


def test_predict_asks_for_a_count(model):
    with pytest.raises(ValueError, match="at least 1. Received: batch_size=0"):
        model.predict(ROWS, batch_size=0)
