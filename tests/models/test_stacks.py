import functools
import math

import keras
import numpy as np
import pytest

from kerasae import (
    ZOO,
    GaussianCodings,
    SaltPepperDropout,
    convolutional_autoencoder,
    deep_features,
    stacked_autoencoder,
    variational_autoencoder,
)
from kerasae.models import conv_stack, denoising_stack, dense_stack


def names(model):
    return [layer.name for layer in (*model.encoder.layers, *model.decoder.layers)]


def images(rows, *shape):
    return np.random.default_rng(0).random((rows, *shape), "float32")


def test_convolutions_are_mirrored():
    encoder, decoder = conv_stack((16, 24, 3), (4, 6, 5))
    assert [layer.output.shape[1:] for layer in encoder.layers] == [
        (8, 12, 4),
        (4, 6, 6),
        (144,),
        (5,),
    ]
    assert [layer.output.shape[1:] for layer in decoder.layers] == [
        (144,),
        (4, 6, 6),
        (8, 12, 4),
        (16, 24, 3),
    ]
    assert encoder.input_shape == decoder.output_shape == (None, 16, 24, 3)


def test_maps_are_mirrored():
    encoder, decoder = conv_stack((16, 24, 3), (4, 6, 5), maps=True)
    shapes = [layer.output.shape[1:] for layer in encoder.layers]
    assert shapes == [(8, 12, 4), (4, 6, 6), (2, 3, 5)]
    back = [layer.output.shape[1:] for layer in decoder.layers]
    assert back == [(4, 6, 6), (8, 12, 4), (16, 24, 3)]


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@pytest.mark.parametrize("strides", [1, 2, 3])
def test_every_size_that_the_strides_divide_comes_back(strides, kernel_size, maps):
    for tall, wide in ((1, 2), (3, 1)):
        shape = (tall * strides**2, wide * strides**2, 2)
        units = (3, 4) if maps else (3, 4, 5)
        encoder, decoder = conv_stack(
            shape, units, kernel_size=kernel_size, strides=strides, maps=maps
        )
        assert encoder.output_shape[1:] == ((tall, wide, 4) if maps else (5,))
        assert decoder.output_shape[1:] == shape
    # A stack that is built is not yet one that runs.
    assert decoder(encoder(images(2, *shape))).shape == (2, *shape)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("shape", [(45, 37, 3), (1, 7, 1), (5, 9, 2)])
def test_sizes_that_the_strides_do_not_divide_come_back(shape, maps):
    for strides in (2, 3):
        encoder, decoder = conv_stack(shape, (3, 4, 5), strides=strides, maps=maps)
        small = [math.ceil(math.ceil(side / strides) / strides) for side in shape[:2]]
        if maps:
            small = [math.ceil(side / strides) for side in small]
        maps_of = encoder.layers[2 if maps else 1]
        assert maps_of.output.shape[1:3] == tuple(small)
        assert decoder(encoder(images(2, *shape))).shape == (2, *shape)


@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
def test_a_cropped_transposed_convolution_is_the_transpose(kernel_size, strides):
    """<conv(x), y> = <x, back(y)> with the same kernel, whatever the size."""
    for shape in ((4, 7, 2), (5, 6, 2)):
        x = images(1, *shape) - 0.5
        options = {"kernel_size": kernel_size, "strides": strides, "maps": True}
        encoder, decoder = conv_stack(shape, (3,), activation="linear", **options)
        y = images(1, *encoder.output_shape[1:]) - 0.5
        decoder.get_layer("output").kernel.assign(encoder.get_layer("codings").kernel)
        there, back = (keras.ops.convert_to_numpy(part) for part in (encoder(x), decoder(y)))
        np.testing.assert_allclose((there * y).sum(), (x * back).sum(), rtol=1e-4, atol=1e-5)


def test_a_single_convolution_leads_back():
    stack = {"maps": True, "single_kernel_size": 11}
    encoder, decoder = conv_stack((9, 7, 3), (4, 5), kernel_size=5, strides=1, **stack)
    assert encoder.output_shape[1:] == (9, 7, 5)
    (output,) = decoder.layers
    assert output.kernel.shape == (11, 11, 3, 5)
    # Two strides of 2 are spanned by one of 4.
    encoder, decoder = conv_stack((9, 7, 3), (4, 5), **stack)
    assert encoder.output_shape[1:] == (3, 2, 5)
    assert decoder(encoder(images(2, 9, 7, 3))).shape == (2, 9, 7, 3)
    with pytest.raises(ValueError, match="maps must be True .* Received: single_kernel_size=3"):
        conv_stack((9, 7, 3), (4, 5), single_kernel_size=3)


def test_channels_that_come_first_are_refused_with_what_to_do():
    for shape in ((3, 32, 40), (1, 28, 28)):
        with pytest.raises(ValueError, match="channels last.*Received.*moveaxis"):
            conv_stack(shape, (3, 5))
    model = convolutional_autoencoder((32, 40, 3), (3, 5))
    with pytest.raises(ValueError, match=r"x must have the channels last, \(32, 40, 3\).*moveaxis"):
        model.encode(images(2, 3, 32, 40))


def test_denoising_images_keep_their_size_and_any_other():
    small, large = (ZOO["denoising"](shape, (4, 5)) for shape in ((9, 9, 3), (20, 31, 3)))
    assert small.encoder.output_shape[1:] == (9, 9, 8)  # the maps and the image
    assert small.encoder.get_layer("hidden_1").activation is keras.activations.relu
    large.set_weights(small.get_weights())
    x = images(1, 20, 31, 3)
    # Three convolutions of 3x3 see three pixels to each side: less than the part from its middle.
    part = small.reconstruct(x[:, 6:15, 11:20])
    np.testing.assert_allclose(part[:, 4, 4], large.reconstruct(x)[:, 10, 15], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (((64,), (3, 5)), "must be .height, width, channels."),
        (((8, 8), (3, 5)), "must be .height, width, channels."),
        (((8, 8, 1), (5,)), "must hold the filters"),
    ],
)
def test_what_is_no_image_or_no_convolution_is_refused(arguments, words):
    with pytest.raises(ValueError, match=f"{words}.*Received"):
        conv_stack(*arguments)


def test_maps_have_no_place_for_a_codings_layer():
    with pytest.raises(ValueError, match="maps.*Received: codings=codings"):
        variational_autoencoder((8, 8, 1), (3, 4), stack=functools.partial(conv_stack, maps=True))


def test_an_untrained_denoiser_passes_images_on_but_for_its_maps():
    x = images(2, 9, 7, 3)
    encoder, decoder = denoising_stack((9, 7, 3), (4, 5))
    model = ZOO["denoising"]((9, 7, 3), (4, 5))
    for output in (
        decoder.get_layer("output"),
        type(model).from_config(model.get_config()).decoder.get_layer("output"),
    ):
        kernel = keras.ops.convert_to_numpy(output.kernel)
        assert np.abs(kernel[:, :, :5]).max() > 0
        np.testing.assert_array_equal(kernel[1, 1, 5:], np.eye(3))
        kernel[:, :, :5] = 0
        output.kernel.assign(kernel)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(decoder(encoder(x))), x, atol=1e-6)
    for wrong, words in (((9, 7), "height, width, channels"), ((3, 9, 7), "channels last")):
        with pytest.raises(ValueError, match=f"{words}.*Received"):
            denoising_stack(wrong, (4, 5))
    with pytest.raises(ValueError, match="codings must be None.*Received: codings=codings"):
        denoising_stack((9, 7, 3), (4,), codings=GaussianCodings(2, name="codings"))


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("filters", [(3,), (3, 4), (3, 4, 5)])
def test_names_of_convolutions_count_on_through_the_decoder(filters, maps):
    model = convolutional_autoencoder((16, 16, 1), (*filters, 2), maps=maps, strides=2)
    found = [name for name in names(model) if "flatten" not in name]
    n = len(filters)
    there = [f"hidden_{i}" for i in range(1, n + 1)]
    back = [f"hidden_{i}" for i in range(n + 2, 2 * n + 2)]
    assert found == [*there, "codings", *back, "output"]
    assert len(set(names(model))) == len(names(model))


@pytest.mark.parametrize("hidden_units", [(9,), (12, 9), (15, 12, 9)])
def test_names_of_dense_layers_count_on_through_the_decoder(hidden_units):
    n = len(hidden_units) - 1
    there = [f"hidden_{i}" for i in range(1, n + 1)]
    back = [f"hidden_{i}" for i in range(n + 2, 2 * n + 2)]
    for tied in (False, True):
        model = stacked_autoencoder(20, hidden_units, tied=tied)
        assert names(model) == [*there, "codings", *back, "output"]


@pytest.mark.parametrize("family", ZOO)
def test_names_are_unique_in_every_family(family):
    for shape, units in (((16,), (6, 2)), ((8, 8, 1), (3, 2))):
        wanted = {"convolutional": 3, "residual-denoiser": 1}.get(family, len(shape))
        if len(shape) == wanted:
            model = ZOO[family](shape, units)
            assert len(set(names(model))) == len(names(model))
            assert {"codings", "output"} <= set(names(model))


@pytest.mark.parametrize(
    ("family", "shape"),
    [("k-sparse", (16,)), ("variational", (8, 8, 1)), ("winner-take-all", (8, 8, 1))],
)
def test_every_layer_has_deep_features(family, shape):
    model = ZOO[family](shape, (3, 2))
    x = images(3, *shape)
    for half in (model.encoder, model.decoder):
        for layer in half.layers:
            got = deep_features(model, x, layer=layer.name)
            assert got.shape[1:] == layer.output.shape[1:]
            assert np.isfinite(got).all()
    np.testing.assert_array_equal(deep_features(model, x), model.encode(x))


@pytest.mark.parametrize("shape", [(8, 8, 1), (4, 8, 3)])
def test_image_models_take_flat_rows_and_rows_without_channels(shape):
    model = convolutional_autoencoder(shape, (3, 5))
    x = images(6, *shape)
    expected = model.reconstruct(x)
    np.testing.assert_array_equal(model.reconstruct(x.reshape(6, -1)), expected)
    np.testing.assert_array_equal(model.encode(x.reshape(6, -1)), model.encode(x))
    if shape[2] == 1:
        np.testing.assert_array_equal(model.reconstruct(x[..., 0]), expected)
    history = model.fit(x.reshape(6, -1), epochs=1, verbose=0, validation_data=x.reshape(6, -1))
    assert np.isfinite(history.history["val_loss"]).all()


@pytest.mark.parametrize(
    "wrong", [(63,), (65,), (7, 8), (8, 8, 3), (4, 16), (16, 4), (4, 16, 1), (2, 4, 8), (1, 64)]
)
def test_rows_of_another_size_are_refused(wrong):
    model = convolutional_autoencoder((8, 8, 1), (3, 5))
    with pytest.raises(ValueError, match="8, 8, 1"):
        model.reconstruct(images(4, *wrong))
    with pytest.raises(ValueError, match="8, 8, 1"):
        model.fit(images(4, *wrong), verbose=0)


def test_dense_models_do_not_take_images():
    model = stacked_autoencoder(64, 5)
    with pytest.raises(ValueError, match="64"):
        model.reconstruct(images(4, 8, 8))


@pytest.mark.parametrize("stack", [dense_stack, conv_stack])
def test_parts_stand_where_they_belong(stack):
    shape = (20,) if stack is dense_stack else (8, 8, 1)
    parts = {
        "corruption": SaltPepperDropout(0.1, name="corruption"),
        "codings": GaussianCodings(2, name="codings"),
        "bottleneck": keras.layers.Dropout(0.1, name="bottleneck"),
        "gate": keras.layers.Dropout(0.1, name="gate"),
    }
    encoder, decoder = stack(shape, (3, 2), **parts)
    first, *_, codings, last = encoder.layers
    assert (first, codings, last) == (parts["corruption"], parts["codings"], parts["bottleneck"])
    assert decoder.layers[0] is parts["gate"]
    assert math.prod(encoder.output_shape[1:]) == 2


@pytest.mark.parametrize("stack", [dense_stack, conv_stack])
def test_activations_are_where_they_are_asked_for(stack):
    shape = (20,) if stack is dense_stack else (8, 8, 1)
    encoder, decoder = stack(
        shape,
        (4, 3, 2),
        activation="elu",
        codings_activation="linear",
        output_activation="sigmoid",
    )
    used = {
        layer.name: layer.activation.__name__
        for layer in (*encoder.layers, *decoder.layers)
        if hasattr(layer, "activation")
    }
    assert used.pop("codings") == "linear"
    assert used.pop("output") == "sigmoid"
    assert set(used.values()) == {"elu"}
    assert len(used) in (4, 5)


def test_the_output_is_float32_under_a_mixed_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for shape, stack in (((20,), dense_stack), ((8, 8, 1), conv_stack)):
            encoder, decoder = stack(shape, (3, 2))
            assert encoder.layers[0].compute_dtype == "bfloat16"
            assert decoder.get_layer("output").compute_dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_convolutional_model_learns(digits):
    model = convolutional_autoencoder((8, 8, 1), (8, 10))
    model.compile(keras.optimizers.Adam(0.005))
    history = model.fit(digits[:512], epochs=6, verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
