"""What the tests of training share."""

import pytest

from kerasae.models import resident


@pytest.fixture
def keras_feeds(monkeypatch):
    """Calls a function with Keras feeding in its own way."""

    def run(function):
        with monkeypatch.context() as patch:
            patch.setattr(resident, "_applies", lambda *_: False)
            return function()

    return run
