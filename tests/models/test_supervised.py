import keras
import numpy as np
import pytest

import kerasae
from kerasae import SupervisedModel, supervised_from


@pytest.fixture(scope="module")
def data():
    return kerasae.datasets.load("digits")


@pytest.fixture(scope="module")
def model(data):
    keras.utils.set_random_seed(0)
    scaler = kerasae.RangeScaling()
    varying = data.x_train + np.eye(64)[np.arange(len(data.x_train)) % 64]
    scaler.adapt(varying)
    model = kerasae.denoising_autoencoder((64,), (48, 24), scaler=scaler)
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(data.x_train, epochs=30, batch_size=32, verbose=0)
    return model


def softmax():
    return keras.layers.Dense(10, activation="softmax")


def compiled(network, rate=0.003):
    loss = "sparse_categorical_crossentropy"
    network.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return network


def copies(model):
    return [np.array(weight) for weight in model.get_weights()]


def same(one, other):
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_it_starts_from_the_codings_of_raw_rows(model, data):
    network = supervised_from(model, keras.layers.Identity())
    outputs = network.predict(data.x_test, verbose=0)
    np.testing.assert_allclose(outputs, model.encode(data.x_test), rtol=1e-5, atol=1e-6)


def test_a_frozen_encoder_stays_and_its_features_are_worth_labels(model, data):
    few, labels = data.x_train[:200], data.y_train[:200]
    keras.utils.set_random_seed(0)
    network = compiled(supervised_from(model, softmax(), freeze=True), 0.02)
    before = copies(network.encoder)
    network.fit(few, labels, epochs=40, verbose=0)
    assert all(same(before, network.encoder.get_weights()))
    assert len(network.trainable_variables) == 2
    keras.utils.set_random_seed(0)
    untrained = kerasae.stacked_autoencoder((64,), (48, 24), scaler=model.scaler)
    scratch = compiled(supervised_from(untrained, softmax(), freeze=True), 0.02)
    scratch.fit(few, labels, epochs=40, verbose=0)
    accuracy, of_scratch = (
        one.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)["accuracy"]
        for one in (network, scratch)
    )
    assert accuracy > 0.75
    assert accuracy > of_scratch + 0.1


def test_fine_tuning_matches_training_from_scratch_with_few_labels(model, data):
    few, labels = data.x_train[:200], data.y_train[:200]
    untrained = kerasae.stacked_autoencoder((64,), (48, 24), scaler=model.scaler)
    accuracies = []
    for start in (model, untrained):
        keras.utils.set_random_seed(0)
        network = compiled(supervised_from(start, softmax()))
        network.fit(few, labels, epochs=30, verbose=0)
        measured = network.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
        accuracies.append(measured["accuracy"])
    tuned, scratch = accuracies
    assert tuned > scratch - 0.01


def test_fine_tuning_leaves_the_autoencoder_as_it_is(model, data):
    before = copies(model)
    network = compiled(supervised_from(model, softmax()))
    started = copies(network.encoder)
    network.fit(data.x_train[:64], data.y_train[:64], verbose=0)
    assert all(same(before, model.get_weights()))
    assert not any(same(started, network.encoder.get_weights()))
    network.scaler.adapt(np.arange(128.0).reshape(2, 64))
    np.testing.assert_allclose(
        model.encode(data.x_test[:5]),
        supervised_from(model, keras.layers.Identity()).predict(data.x_test[:5], verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )


STARTS = {
    "denoising": lambda: kerasae.denoising_autoencoder((64,), (16, 4)),
    "sparse": lambda: kerasae.sparse_autoencoder((64,), (16, 4), beta=5.0),
    "variational": lambda: kerasae.variational_autoencoder((64,), (16, 4)),
    "adversarial": lambda: kerasae.adversarial_autoencoder((64,), (16, 4)),
    "k-sparse": lambda: kerasae.k_sparse_autoencoder((64,), (16, 4), k=2),
    "tied": lambda: kerasae.stacked_autoencoder((64,), (16, 4), tied=True),
}


@pytest.mark.parametrize("start", STARTS)
def test_the_encoder_acts_as_at_inference(start, digits, gradient):
    model = STARTS[start]()
    network = supervised_from(model, [keras.layers.Dense(3)])
    assert len(network.trainable_variables) == 6
    outputs = [np.asarray(network(digits[:9], training=mode)) for mode in (True, True, False)]
    assert all(np.array_equal(outputs[0], other) for other in outputs[1:])
    assert not network.losses
    np.testing.assert_allclose(
        np.asarray(network.encoder(digits[:9])), model.encode(digits[:9]), rtol=1e-5, atol=1e-6
    )
    network.compile("sgd", "mse")
    before = copies(network)
    network.fit(digits[:64], np.ones((64, 3)), verbose=0)
    changed = [not equal for equal in same(before, network.get_weights())]
    assert all(changed)


def test_penalties_of_the_user_s_layers_do_not_come_along(digits):
    dense = keras.layers.Dense
    encoder = keras.Sequential([keras.Input((64,)), dense(8, activity_regularizer="l2")])
    decoder = keras.Sequential([keras.Input((8,)), dense(64)])
    network = supervised_from(kerasae.Autoencoder(encoder, decoder), softmax())
    network(digits[:3], training=True)
    assert not network.losses


@pytest.mark.fast(every=3)
@pytest.mark.parametrize("scaler", [kerasae.RangeScaling, keras.layers.Normalization, None])
@pytest.mark.parametrize("freeze", [False, True])
def test_saved_and_loaded_it_outputs_the_same(digits, tmp_path, scaler, freeze):
    x = digits[:200] * 5 + np.random.default_rng(0).uniform(size=(200, 64))
    if scaler is not None:
        scaler = scaler()
        scaler.adapt(x)
    model = kerasae.variational_autoencoder((64,), (16, 4), scaler=scaler, likelihood="gaussian")
    head = [keras.layers.Dropout(0.2), softmax()]
    network = compiled(supervised_from(model, head, freeze=freeze))
    network.fit(x, np.arange(200) % 10, verbose=0)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), network.predict(x, verbose=0))
    assert len(loaded.trainable_variables) == len(network.trainable_variables)
    assert [layer.name for layer in loaded.head.layers] == [
        layer.name for layer in network.head.layers
    ]
    loaded.fit(x, np.arange(200) % 10, verbose=0)


def test_convolutional_encoders_take_flat_rows_too(digits):
    images = digits[:40].reshape(-1, 8, 8, 1)
    model = kerasae.convolutional_autoencoder((8, 8, 1), (4, 2), maps=True)
    network = compiled(supervised_from(model, [keras.layers.Flatten(), softmax()]))
    network.fit(digits[:40], np.arange(40) % 10, verbose=0, validation_split=0.2)
    np.testing.assert_array_equal(
        network.predict(digits[:40], verbose=0), network.predict(images, verbose=0)
    )
    # Not flattened: a dense layer works on the last axis of the maps.
    network = compiled(supervised_from(model, softmax()))
    with pytest.raises(ValueError, match=r"whose output is \(2, 2, 10\) a row.*Flatten\(\)"):
        network.fit(digits[:40], np.arange(40) % 10, verbose=0)
    with pytest.raises(ValueError, match=r"codings of shape \(2, 2, 2\).*Flatten\(\)"):
        supervised_from(model, [keras.layers.LSTM(3)])


def test_a_head_can_be_a_model(model, data):
    head = keras.Sequential([keras.Input((24,)), keras.layers.Dense(5, "relu"), softmax()])
    network = compiled(supervised_from(model, head))
    assert network.predict(data.x_test[:7], verbose=0).shape == (7, 10)
    wrong = keras.Sequential([keras.Input((3,)), softmax()])
    with pytest.raises(ValueError, match=r"head must take codings of shape \(24,\)"):
        supervised_from(model, wrong)
    for no_head in (None, [], "dense", [softmax(), 3]):
        with pytest.raises(TypeError, match="head must be a layer"):
            supervised_from(model, no_head)


def test_rows_and_labels_are_checked(model, data):
    network = compiled(supervised_from(model, softmax()))
    x, y = data.x_train[:20].astype("float32"), data.y_train[:20]
    bad = x.copy()
    bad[2, 7] = np.nan
    for call in (
        lambda: network.fit(bad, y),
        lambda: network.fit(x, y, validation_data=(bad, y)),
        lambda: network.evaluate(bad, y),
        lambda: network.predict(bad),
    ):
        with pytest.raises(ValueError, match="first in row 2, column 7"):
            call()
    with pytest.raises(ValueError, match=r"rows of shape \(63,\)"):
        network.predict(x[:, :63])
    with pytest.raises(ValueError, match="one label a row. Received: 19 for 20 rows"):
        network.fit(x, y[:19])
    with pytest.raises(ValueError, match="20 NaN or infinite labels"):
        network.fit(x, np.full(20, np.nan))
    with pytest.raises(ValueError, match="inputs must be rows of shape"):
        network(x[:, :3])


def test_columns_are_matched_by_name(digits):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(digits[:50, 20:26], columns=list("abcdef"))
    model = kerasae.stacked_autoencoder((6,), (3,))
    model.fit(frame, verbose=0)
    network = supervised_from(model, keras.layers.Identity())
    assert isinstance(network, SupervisedModel)
    np.testing.assert_array_equal(
        network.predict(frame[list("fabcde")], verbose=0), network.predict(frame, verbose=0)
    )


@pytest.mark.tensorflow
def test_it_exports(model, data, tmp_path):
    import tensorflow as tf

    network = compiled(supervised_from(model, softmax()))
    network.export(tmp_path / "exported", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "exported"))
    rows = data.x_test[:30].astype("float32")
    np.testing.assert_allclose(
        loaded.serve(rows), network.predict(rows, verbose=0), rtol=1e-4, atol=1e-6
    )
