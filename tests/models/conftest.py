"""What the tests of training share."""

import keras
import pytest

from kerasae.models.row_model import RowModel


@pytest.fixture
def keras_feeds(monkeypatch):
    """Calls a function with Keras feeding in its own way."""

    def run(function):
        with monkeypatch.context() as patch:
            patch.setattr(RowModel, "_in_programs", lambda *_: False)
            return function()

    return run


@pytest.fixture
def ends_of():
    """Makes a callback that keeps, as `ends`, the batches after which it is called."""

    def make(of):
        callback, ends = keras.callbacks.Callback(), []
        setattr(callback, f"on_{of}_batch_end", lambda batch, logs=None: ends.append(batch))
        callback.ends = ends
        return callback

    return make
