"""Batches that come one by one are checked as rows in memory are: cases 41, 42 and 43."""

import itertools
import math

import keras
import numpy as np
import pytest

import kerasae
from kerasae import anomaly, methods

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 6)).astype("float32")
LABELS = np.arange(96) % 3


class Batches(keras.utils.PyDataset):
    """A PyDataset of parts in memory, of which any may be missing."""

    def __init__(self, *parts, **options):
        super().__init__(**options)
        self.parts, self.begun = parts, 0

    def __len__(self):
        return math.ceil(len(self.parts[0]) / 32)

    def __getitem__(self, i):
        cut = tuple(part[32 * i : 32 * i + 32] for part in self.parts)
        return cut if len(cut) > 1 else cut[0]

    def on_epoch_begin(self):
        self.begun += 1


def generator(*parts):
    for i in range(0, len(parts[0]), 32):
        cut = tuple(part[i : i + 32] for part in parts)
        yield cut if len(cut) > 1 else cut[0]


def dataset(*parts):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0]).batch(32)


def of_unknown_shape(*parts):
    import tensorflow as tf

    # Of labels and weights Keras has to know that they are one number a row.
    specs = tuple(tf.TensorSpec(None if p.ndim > 1 else [None], "float32") for p in parts)
    return tf.data.Dataset.from_generator(
        lambda: generator(*parts), output_signature=specs if len(specs) > 1 else specs[0]
    )


def loader(*parts):
    torch = pytest.importorskip("torch")
    tensors = [torch.as_tensor(np.asarray(part)) for part in parts]
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*tensors), batch_size=32)


STREAMS = {
    "generator": generator,
    "PyDataset": Batches,
    "PyDataset of threads": lambda *parts: Batches(*parts, workers=2),
    "tf.data": dataset,
    "tf.data of unknown shape": of_unknown_shape,
    "DataLoader": loader,
}
CHECKED = [name for name in STREAMS if name != "DataLoader"]


def model(**options):
    keras.utils.set_random_seed(0)
    made = kerasae.stacked_autoencoder((6,), (4, 2), **options)
    made.compile(keras.optimizers.SGD(0.1))
    return made


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    "parts", [(X,), (X, X), (X, X, np.linspace(0, 2, 96, dtype="float32"))], ids=len
)
def test_sound_batches_train_as_rows_in_memory(stream, parts):
    expected, got = model(), model()
    if "threads" in stream and keras.backend.backend() == "jax":
        pytest.skip("Keras feeds batches of another epoch from its threads")
    names = ("x", "y", "sample_weight")
    expected.fit(**dict(zip(names, parts, strict=False)), shuffle=False, verbose=0)
    got.fit(STREAMS[stream](*parts), shuffle=False, verbose=0)
    np.testing.assert_allclose(got.encode(X), expected.encode(X), atol=1e-5)


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("stream", STREAMS)
def test_sound_batches_are_used_as_rows_in_memory(stream):
    made = model()
    run = STREAMS[stream]
    np.testing.assert_allclose(made.encode(run(X)), made.encode(X), atol=1e-6)
    # Labels of a dataset that is used, and not trained on, are left out.
    np.testing.assert_allclose(
        made.predict(run(X, LABELS), verbose=0), made.predict(X, verbose=0), atol=1e-6
    )
    got = made.evaluate(run(X, X), verbose=0)
    assert got == pytest.approx(made.evaluate(X, verbose=0), rel=1e-5)
    np.testing.assert_allclose(
        methods.average_activation(made, run(X)).per_coding,
        methods.average_activation(made, X).per_coding,
        atol=1e-6,
    )
    anomaly.calibrate(made, run(X), guard=1.0)
    threshold = made.anomaly.threshold
    assert threshold == pytest.approx(anomaly.calibrate(made, X, guard=1.0), rel=1e-4)
    np.testing.assert_allclose(
        anomaly.score(made, run(X)).p_value, anomaly.score(made, X).p_value, atol=0.02
    )


TARGETS = {
    "labels": LABELS.astype("float32"),
    "labels as a column": LABELS.astype("float32")[:, None],
    "a column of ones": np.ones((96, 1), "float32"),
    "too wide": np.zeros((96, 7), "float32"),
    "flat": X.ravel()[:96],
}
CALLS = {
    "fit": lambda m, s: m.fit(s, verbose=0),
    "evaluate": lambda m, s: m.evaluate(s, verbose=0),
    "validation_data": lambda m, s: m.fit(X, validation_data=s, verbose=0),
    "validation of a stream": lambda m, s: m.fit(generator(X), validation_data=s, verbose=0),
}


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("stream", STREAMS)
def test_labels_are_not_painted(stream, call):
    for target in ("labels", "labels as a column"):
        made = model()
        before = made.get_weights()
        with pytest.raises((ValueError, TypeError), match="must (be|hold|have).*Received"):
            CALLS[call](made, STREAMS[stream](X, TARGETS[target]))
        if not call.startswith("validation"):
            for one, other in zip(before, made.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.fast(every=4)
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stream", STREAMS)
def test_a_target_without_a_row_s_shape_is_refused(stream, target):
    with pytest.raises((ValueError, TypeError), match="must (be|hold|have).*Received"):
        model().fit(STREAMS[stream](X, TARGETS[target]), verbose=0)


def test_targets_of_one_batch_are_refused_too():
    for call in ("train_on_batch", "test_on_batch"):
        with pytest.raises((ValueError, TypeError), match="y must"):
            getattr(model(), call)(X, LABELS)
        with pytest.raises(ValueError, match="one row for each row of x. Received: 95 for 96 rows"):
            getattr(model(), call)(X, X[:-1])


@pytest.mark.tensorflow
def test_images_with_labels_are_refused():
    images = RNG.uniform(size=(64, 8, 8, 1)).astype("float32")
    made = kerasae.convolutional_autoencoder((8, 8, 1), (4, 8))
    for labels in (np.arange(64), np.eye(64)[:, :10]):
        with pytest.raises(ValueError, match=r"y must be batches of rows of shape \(8, 8, 1\)"):
            made.fit(dataset(images, labels), verbose=0)


@pytest.mark.fast(every=4)
@pytest.mark.parametrize(
    "flat", [lambda x: x.reshape(-1, 64), lambda x: x[..., 0]], ids=["flat", "bare"]
)
@pytest.mark.parametrize("stream", CHECKED[:-1])
def test_flat_images_get_their_shape_as_in_memory(stream, flat):
    images = RNG.uniform(size=(64, 8, 8, 1)).astype("float32")
    made = kerasae.convolutional_autoencoder((8, 8, 1), (4, 8))
    got = made.encode(STREAMS[stream](flat(images)))
    np.testing.assert_allclose(got, made.encode(images), atol=1e-6)
    made.fit(STREAMS[stream](flat(images), flat(images)), verbose=0)


def spoilt(value):
    x = X.copy()
    x[70, 2] = value
    return x


USES = {
    "fit": lambda m, s: m.fit(s, verbose=0),
    "evaluate": lambda m, s: m.evaluate(s, verbose=0),
    "predict": lambda m, s: m.predict(s, verbose=0),
    "encode": lambda m, s: m.encode(s),
    "reconstruction_error": lambda m, s: m.reconstruction_error(s),
    "deep_features": lambda m, s: methods.deep_features(m, s, "hidden_1"),
    "calibrate": anomaly.calibrate,
    "calibrate with a guard": lambda m, s: anomaly.calibrate(m, s, guard=1.0),
    "score": anomaly.score,
    "validation": lambda m, s: m.fit(X, validation_data=s, verbose=0),
}


@pytest.mark.fast(every=7)
@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("stream", CHECKED)
def test_a_missing_cell_is_refused_as_in_memory(stream, use):
    made = model()
    anomaly.calibrate(made, X)
    before = made.get_weights()
    with pytest.raises(ValueError, match="(x|validation_data) must hold finite.*Received"):
        USES[use](made, STREAMS[stream](spoilt(np.nan)))
    made._check_weights()
    if use not in ("fit", "validation"):
        for one, other in zip(before, made.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e20, -1e20])
@pytest.mark.parametrize("stream", CHECKED)
@pytest.mark.fast(every=4)
def test_cells_that_are_too_large_are_refused_as_in_memory(stream, value):
    for use in ("fit", "encode"):
        with pytest.raises(ValueError, match="x must hold (finite|magnitudes).*Received"):
            USES[use](model(), STREAMS[stream](spoilt(value)))


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("use", ["fit", "evaluate"])
@pytest.mark.parametrize("stream", CHECKED)
def test_targets_and_weights_are_looked_at_too(stream, use):
    ones = np.ones(96, "float32")
    for y, weights in ((spoilt(np.nan), ones), (X, spoilt(np.nan)[:, 2]), (X, -ones)):
        with pytest.raises(ValueError, match="(y|sample_weight) must (hold|be).*Received"):
            USES[use](model(), STREAMS[stream](X, y, weights))


def test_a_stream_that_nothing_looks_at_ends_with_its_loss():
    with pytest.raises(ValueError, match="a loss of nan .epoch 1.*Try looking for NaN"):
        model().fit(loader(spoilt(np.nan)), epochs=3, verbose=0)
    with pytest.raises(ValueError, match="output is NaN, the first row 70"):
        model().encode(loader(spoilt(np.nan)))


@pytest.mark.parametrize("stream", STREAMS)
def test_other_widths_are_refused(stream):
    for use in ("fit", "encode", "evaluate"):
        with pytest.raises(ValueError, match="rows of shape .*Received|expected axis -1"):
            USES[use](model(), STREAMS[stream](X[:, :5]))


@pytest.mark.tensorflow
def test_elements_that_are_no_rows_are_refused_by_name():
    import tensorflow as tf

    made = model()
    named = tf.data.Dataset.from_tensor_slices(dict(zip("abcdef", X.T, strict=True))).batch(8)
    ragged = tf.data.Dataset.from_tensors(tf.ragged.constant([[1.0], [2.0, 3.0]]))
    sparse = tf.data.Dataset.from_tensors(tf.sparse.from_dense(X))
    texts = tf.data.Dataset.from_tensor_slices(X.astype(str)).batch(8)
    for stream, said in (
        (named, "Received: a dict"),
        (ragged, "Received: ragged tensors"),
        (sparse, "Received: sparse tensors"),
        (texts, "Received: string values"),
    ):
        for use in ("fit", "encode", "evaluate", "predict"):
            with pytest.raises(TypeError, match=said):
                USES[use](made, stream)
    with pytest.raises(ValueError, match=r"elements of shape \(6,\). Try dataset.batch"):
        made.fit(tf.data.Dataset.from_tensor_slices(X))
    with pytest.raises(ValueError, match="at least one batch"):
        made.fit(dataset(X).take(0))


@pytest.mark.tensorflow
def test_a_cross_entropy_wants_values_from_0_to_1_in_streams():
    made = kerasae.stacked_autoencoder((6,), (4,), output_activation="sigmoid", loss="bce")
    inside = RNG.uniform(size=(96, 6)).astype("float32")
    for stream in CHECKED:
        made.fit(STREAMS[stream](inside), verbose=0)
        with pytest.raises(ValueError, match=r"scaled to \[0, 1\] for the loss bce"):
            made.fit(STREAMS[stream](3 * inside), verbose=0)


def test_tables_of_a_generator_are_matched_by_name():
    import pandas as pd

    def tables():
        for i, order in zip(range(0, 96, 32), itertools.permutations("abcdef"), strict=False):
            yield pd.DataFrame(X[i : i + 32], columns=list("abcdef"))[list(order)]

    expected, got = model(), model()
    expected.fit(X, shuffle=False, verbose=0)
    got.fit(tables(), verbose=0)
    np.testing.assert_allclose(got.encode(X), expected.encode(X), atol=1e-5)
    assert got.columns == tuple("abcdef")
    np.testing.assert_allclose(got.encode(tables()), got.encode(X), atol=1e-6)


@pytest.mark.parametrize("stream", STREAMS)
def test_labels_of_a_supervised_model_are_checked_in_streams(stream):
    head = keras.layers.Dense(3, activation="softmax")
    network = kerasae.supervised_from(model(), head)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(STREAMS[stream](X, LABELS.astype("float32")), verbose=0)
    if stream in CHECKED:
        bad = LABELS.astype("float32")
        bad[70] = np.nan
        with pytest.raises(ValueError, match="y must (be finite|hold finite numbers)"):
            network.fit(STREAMS[stream](X, bad), verbose=0)
    if stream in CHECKED[:-1]:
        with pytest.raises(ValueError, match="y must go with the head"):
            network.fit(STREAMS[stream](X, X[:, :, None]), verbose=0)


def test_a_dataset_of_python_keeps_its_length_and_its_epochs():
    batches = Batches(X)
    history = model().fit(batches, epochs=3, verbose=0)
    assert history.params["steps"] == 3
    # Keras begins one more on JAX.
    assert batches.begun in (3, 4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("use", ["calibrate with a guard", "score"])
def test_a_shuffled_dataset_is_passed_over_once(use):
    """In a second pass its rows would come in another order."""
    import tensorflow as tf

    passes = []

    def rows():
        passes.append(1)
        yield from np.random.default_rng(len(passes)).permutation(X)

    spec = tf.TensorSpec((6,), "float32")
    made = model()
    anomaly.calibrate(made, X)
    USES[use](made, tf.data.Dataset.from_generator(rows, output_signature=spec).batch(32))
    assert len(passes) == 1


@pytest.mark.tensorflow
def test_a_backup_resumes_a_fit_on_a_dataset(tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        model().fit(dataset(X), epochs=4, verbose=0, callbacks=[backup(), Kill()])
    history = model().fit(dataset(X), epochs=4, verbose=0, callbacks=[backup()])
    assert history.epoch[-1] == 3
    assert len(history.epoch) < 4
