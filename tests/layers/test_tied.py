import keras
import numpy as np
import pytest
from keras import ops

from kerasae import (
    Autoencoder,
    TiedDense,
    anomaly,
    deep_features,
    denoising_autoencoder,
    sparse_autoencoder,
    stacked_autoencoder,
    variational_autoencoder,
)
from kerasae.models import conv_stack


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def kernels(model):
    """The kernels of the encoder and, transposed, of the decoder's mirrored layers."""
    there = [numpy(layer.kernel) for layer in model.encoder.layers]
    back = [numpy(layer.kernel).T for layer in reversed(model.decoder.layers)]
    return list(zip(there, back, strict=True))


def check_tied(model):
    for there, back in kernels(model):
        np.testing.assert_array_equal(there, back)


@pytest.mark.parametrize("hidden_units", [5, (12, 5), (12, 9, 5)])
def test_kernels_are_transposed_and_weights_are_half(hidden_units):
    tied = stacked_autoencoder(20, hidden_units, tied=True)
    plain = stacked_autoencoder(20, hidden_units)
    check_tied(tied)
    assert all(isinstance(layer, TiedDense) for layer in tied.decoder.layers)
    assert [layer.name for layer in tied.decoder.layers] == [
        layer.name for layer in plain.decoder.layers
    ]
    own = sum(layer.kernel.shape[0] * layer.kernel.shape[1] for layer in tied.encoder.layers)
    assert plain.count_params() - tied.count_params() == own
    assert tied.decoder.count_params() == sum(layer.units for layer in tied.decoder.layers)


def test_the_output_is_that_of_the_transposed_kernels():
    x = np.random.default_rng(0).normal(size=(4, 20)).astype("float32")
    model = stacked_autoencoder(20, (12, 5), tied=True)
    h = x
    first, second = (numpy(layer.kernel) for layer in model.encoder.layers)
    h = np.tanh(np.tanh(x @ first) @ second)
    np.testing.assert_allclose(model.encode(x), h, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(x), np.tanh(h @ second.T) @ first.T, atol=1e-5)


def test_the_gradient_sums_both_uses(digits):
    x = digits[:50]
    tied = stacked_autoencoder(64, 6, tied=True)
    plain = stacked_autoencoder(64, 6)
    kernel = numpy(tied.encoder.layers[0].kernel)
    plain.encoder.layers[0].kernel.assign(kernel)
    plain.decoder.layers[0].kernel.assign(kernel.T)
    steps = []
    for model in (tied, plain):
        model.compile(keras.optimizers.SGD(1.0))
        model.fit(x, batch_size=50, epochs=1, verbose=0)
        steps.append([np.subtract(part, kernel) for part in kernels(model)[0]])
    (of_both, again), (of_encoder, of_decoder) = steps
    np.testing.assert_array_equal(of_both, again)
    np.testing.assert_allclose(of_both, of_encoder + of_decoder, atol=1e-6)


def test_a_saved_model_is_the_same_and_stays_tied(digits, tmp_path):
    x = digits[:200]
    model = stacked_autoencoder(64, (20, 6), tied=True)
    model.fit(x, epochs=1, shuffle=False, verbose=0)
    model.save(tmp_path / "tied.keras")
    loaded = keras.saving.load_model(tmp_path / "tied.keras")
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))
    before = numpy(loaded.encoder.layers[0].kernel)
    for one in (model, loaded):
        one.fit(x, epochs=1, shuffle=False, verbose=0)
        check_tied(one)
    assert (numpy(loaded.encoder.layers[0].kernel) != before).any()
    np.testing.assert_array_equal(loaded.reconstruct(x), model.reconstruct(x))


def test_weights_alone_are_loaded_into_both(digits, tmp_path):
    models = [stacked_autoencoder(64, (20, 6), tied=True) for _ in range(2)]
    models[0].save_weights(tmp_path / "tied.weights.h5")
    models[1].load_weights(tmp_path / "tied.weights.h5")
    check_tied(models[1])
    np.testing.assert_array_equal(*(model.reconstruct(digits[:9]) for model in models))


def test_a_fresh_copy_is_tied_to_its_own_encoder(digits):
    model = stacked_autoencoder(64, (20, 6), tied=True)
    fresh = anomaly.trim_and_refit(model, digits[:200], epochs=1, verbose=0).model
    check_tied(fresh)
    check_tied(model)
    assert (kernels(fresh)[0][0] != kernels(model)[0][0]).any()
    assert fresh.count_params() == model.count_params()
    assert all(isinstance(layer, TiedDense) for layer in fresh.decoder.layers)


def test_two_models_of_one_config_do_not_share_weights(digits):
    model = stacked_autoencoder(64, 6, tied=True)
    copy = Autoencoder.from_config(model.get_config())
    before = copy.decode(np.ones((1, 6)))
    model.encoder.layers[0].kernel.assign(np.zeros((64, 6)))
    np.testing.assert_array_equal(copy.decode(np.ones((1, 6))), before)
    assert not model.decode(np.ones((1, 6))).any()


@pytest.mark.parametrize("make", [denoising_autoencoder, sparse_autoencoder])
def test_other_families_can_be_tied(make, digits):
    model = make(64, (20, 70), tied=True)
    model.fit(digits[:64], epochs=1, verbose=0)
    tied = model.decoder.get_layer("output")
    np.testing.assert_array_equal(
        numpy(tied.kernel), numpy(model.encoder.get_layer("hidden_1").kernel).T
    )


def test_deep_features_reach_tied_layers(digits):
    model = stacked_autoencoder(64, (20, 6), tied=True)
    assert deep_features(model, digits[:5], layer=model.decoder.layers[0].name).shape == (5, 20)
    np.testing.assert_allclose(
        deep_features(model, digits[:5], layer="output"), model.reconstruct(digits[:5]), atol=1e-6
    )


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_trains_in_mixed_precision(half, digits):
    keras.config.set_dtype_policy(f"mixed_{half}")
    try:
        model = stacked_autoencoder(64, (20, 6), tied=True)
        history = model.fit(digits[:256], epochs=4, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert history["loss"][-1] < history["loss"][0]
    assert model.reconstruct(digits[:3]).dtype == np.float32
    check_tied(model)


@pytest.mark.tensorflow
def test_the_export_answers_as_the_model(digits, tmp_path):
    import tensorflow as tf

    from kerasae import export_saved_model

    model = stacked_autoencoder(64, (20, 6), tied=True)
    model.fit(digits[:64], epochs=1, verbose=0)
    served = tf.saved_model.load(str(export_saved_model(model, tmp_path))).signatures
    got = served["reconstruct"](rows=tf.constant(digits[:9]))["reconstruction"]
    np.testing.assert_allclose(got, model.reconstruct(digits[:9]), atol=1e-6)


def test_convolutions_and_codings_layers_are_refused():
    with pytest.raises(ValueError, match="must be \\(columns,\\) to be tied"):
        stacked_autoencoder((8, 8, 1), (4, 5), tied=True)
    with pytest.raises(ValueError, match="codings must be dense to be tied.*tied=True"):
        variational_autoencoder(64, (20, 6), tied=True)
    with pytest.raises((TypeError, ValueError), match="tied"):
        stacked_autoencoder(64, (20, 6), tied=True, stack=conv_stack)


def dense(units, inputs):
    layer = keras.layers.Dense(units, name="codings")
    layer.build((None, inputs))
    return layer


def test_a_layer_of_another_shape_or_kind_is_refused():
    tied = TiedDense(20, tied_to="codings")
    with pytest.raises(ValueError, match="must be tied before it is called.*tied_to=codings"):
        tied(np.ones((1, 5), "float32"))
    with pytest.raises(ValueError, match="gives 20 values.*Received: codings, which takes 9"):
        tied.tie_to(dense(5, 9))
    tied = TiedDense(20, tied_to="codings")
    tied.build((None, 5))
    with pytest.raises(ValueError, match="takes 5 values.*Received: codings, which gives 6"):
        tied.tie_to(dense(6, 20))
    with pytest.raises(ValueError, match="dense layer.*Received: flat, a Flatten"):
        tied.tie_to(keras.layers.Flatten(name="flat"))
    tied.tie_to(dense(5, 20))
    assert tied(np.ones((1, 5), "float32")).shape == (1, 20)


def test_a_model_whose_tied_layers_do_not_fit_is_refused_when_it_is_made():
    encoder = keras.Sequential(
        [keras.Input((20,)), keras.layers.Dense(5, name="a"), keras.layers.Dense(4, name="b")]
    )
    decoder = keras.Sequential([keras.Input((4,)), TiedDense(20, tied_to="a")])
    with pytest.raises(ValueError, match="takes 4 values"):
        Autoencoder(encoder, decoder)


def test_a_custom_activation_survives_a_round_trip():
    tied = TiedDense(5, tied_to="codings", activation="tanh", name="output")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(tied))
    assert (again.units, again.tied_to, again.name) == (5, "codings", "output")
    assert again.activation is keras.activations.tanh
