"""Rows that come in pieces train, validate and evaluate as the same rows in memory do."""

import tracemalloc

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae.models import RowSource, chunks
from kerasae.models.chunks import SourceRows


class Pieces(RowSource):
    """An array in pieces, as a file of row groups is."""

    def __init__(self, *parts, size=37, known=True, make=None):
        self.parts, self.size, self.make = parts, size, make
        self.rows = len(parts[0]) if known else None
        self.read = 0

    def pieces(self, rng=None):
        starts = np.arange(0, len(self.parts[0]), self.size)
        for start in starts if rng is None else rng.permutation(starts):
            self.read += 1
            cut = tuple(part[start : start + self.size] for part in self.parts)
            cut = cut if self.make is None else (self.make(cut[0]),)
            yield cut if len(cut) > 1 else cut[0]


def model():
    keras.utils.set_random_seed(3)
    made = kerasae.stacked_autoencoder((64,), (10,))
    made.compile(keras.optimizers.Adam(0.01))
    return made


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "SOURCE_BYTES", 64 * 4 * 70)  # two batches of 32


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("rows", [205, 192, 20])
@pytest.mark.fast(every=2)
def test_a_source_trains_as_rows_in_memory(digits, rows, known):
    def run(x):
        made = model()
        options = {"epochs": 3, "shuffle": False, "verbose": 0, "validation_data": x}
        history = made.fit(x, **options).history
        return history, made.get_weights(), made.evaluate(x, verbose=0)

    ours, theirs = run(Pieces(digits[:rows], known=known)), run(digits[:rows])
    assert ours[0].keys() == theirs[0].keys()
    for name, values in theirs[0].items():
        np.testing.assert_allclose(ours[0][name], values, rtol=1e-4, err_msg=name)
    for got, wanted in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-5)


def test_targets_and_weights_come_with_the_pieces(digits):
    x, weights = digits[:100], np.linspace(0, 2, 100)
    parts = x, x[::-1], weights
    one, other = model(), model()
    one.fit(Pieces(*parts), shuffle=False, verbose=0)
    other.fit(*parts[:2], sample_weight=weights, shuffle=False, verbose=0)
    for got, wanted in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


def rows_of(chunk):
    order = keras.ops.convert_to_numpy(chunk.order)[: chunk.rows]
    return keras.ops.convert_to_numpy(chunk.parts[0])[order, 0]


@pytest.mark.parametrize("shuffle", [True, "batch", False])
def test_every_row_comes_once_an_epoch_in_the_order_of_the_seed(shuffle):
    x = np.arange(205, dtype="float32")[:, None] * np.ones(64, "float32")
    rows = SourceRows(Pieces(x), batch_size=32, shuffle=shuffle)
    epochs = [np.concatenate([rows_of(chunk) for chunk in rows.chunks(seed)]) for seed in (1, 1, 2)]
    for order in epochs:
        np.testing.assert_array_equal(np.sort(order), x[:, 0])
    np.testing.assert_array_equal(epochs[0], epochs[1])
    assert (epochs[0].tolist() == epochs[2].tolist()) == (shuffle is False)
    if shuffle is True:  # rows of several pieces, whose order is mixed, meet in a batch
        assert len({row // 37 for row in epochs[0][96:128]}) > 1


def test_a_source_is_resumed_in_the_order_it_had(digits, tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def run(callbacks):
        made = model()
        made.fit(Pieces(digits[:205]), epochs=4, verbose=0, callbacks=callbacks)
        return made.get_weights()

    backup = lambda: kerasae.callbacks.AtomicBackup(tmp_path / "run")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run([backup(), Kill()])
    for got, wanted in zip(run([backup()]), run([]), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_all_chunks_have_one_shape_and_one_program(digits):
    for rows in (205, 192):
        made = list(SourceRows(Pieces(digits[:rows]), batch_size=32, shuffle=True).chunks(0))
        # The first have an eighth, a quarter and a half, of at least a batch.
        assert [chunk.rows for chunk in made] == [32] * 3 + [64, rows - 160]
        assert len({(chunk.parts[0].shape, chunk.order.shape, chunk.rest) for chunk in made}) == 1


def test_tables_are_matched_by_name(digits):
    names = [f"c{i}" for i in range(64)]
    table = lambda x: pd.DataFrame(x, columns=names)[names[::-1]]  # noqa: E731
    one, other = model(), model()
    other.fit(table(digits[:100]), shuffle=False, verbose=0)
    one.fit(table(digits[:2]), shuffle=False, verbose=0)
    assert one.columns == tuple(names[::-1])
    one.set_weights(model().get_weights())
    one.compile(keras.optimizers.Adam(0.01))
    mixed = Pieces(digits[:100], make=lambda x: pd.DataFrame(x, columns=names))
    one.fit(mixed, shuffle=False, verbose=0)
    for got, wanted in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-4)


def spoiled(x):
    x = x.copy()
    x[150, 3] = np.nan
    return x


MISTAKES = {
    "NaN": (lambda x: Pieces(spoiled(x)), ValueError, "x must hold finite numbers"),
    "columns": (lambda x: Pieces(x[:, :8]), ValueError, r"\(8,\)|64"),
    "no rows": (lambda x: Pieces(x[:0]), ValueError, "x must have at least one row"),
    "other types": (
        lambda x: Pieces(x, make=lambda p: p.astype("uint8") if p[0, 2] == x[0, 2] else p),
        TypeError,
        "pieces of a source must have one type. Received: float32 after uint8",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_a_piece_is_said(digits, name):
    make, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        model().fit(make(digits[:205]), shuffle=False, verbose=0)


@pytest.mark.parametrize(
    "arguments",
    [{"y": True}, {"steps_per_epoch": 2}, {"validation_split": 0.1}],
)
def test_what_a_source_cannot_come_with_is_refused(digits, arguments):
    x = digits[:100]
    arguments = {name: x if value is True else value for name, value in arguments.items()}
    with pytest.raises(ValueError, match="RowSource"):
        model().fit(Pieces(x), verbose=0, **arguments)


def test_a_reader_stops_with_the_fit(digits):
    source = Pieces(np.resize(digits, (20_000, 64)))
    stop = keras.callbacks.Callback()
    stop.on_train_batch_end = lambda batch, logs=None: setattr(made, "stop_training", True)
    made = model()
    made.fit(source, verbose=0, callbacks=[stop])
    assert source.read < 20


def test_memory_stays_that_of_a_few_chunks(monkeypatch):
    monkeypatch.setattr(chunks, "SOURCE_BYTES", 2**20)

    class Endless(RowSource):
        def __init__(self, pieces):
            self.count = pieces

        def pieces(self, rng=None):
            for _ in range(self.count):
                yield np.zeros((1000, 64), "float32")

    def peak(pieces):
        tracemalloc.start()
        rows = sum(chunk.rows for chunk in SourceRows(Endless(pieces), batch_size=100).chunks())
        assert rows == pieces * 1000
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(200) < 12 * 2**20  # of 49 MiB in all
