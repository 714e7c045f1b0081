import numpy as np
import pytest
from keras import ops

from kerasae import RangeScaling, average_activation, deep_features, stacked_autoencoder


@pytest.fixture
def model(digits):
    scaler = RangeScaling()
    scaler.adapt(digits)
    return stacked_autoencoder((64,), (20, 7), scaler=scaler)


def by_hand(model, x, name):
    """The layers one after the other, until the one that is named."""
    values = model.scaler(x)
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        values = layer(values)
        if layer.name == name:
            return ops.convert_to_numpy(values)


@pytest.mark.parametrize(
    ("layer", "width"), [("hidden_1", 20), ("codings", 7), ("hidden_3", 20), ("output", 64)]
)
def test_any_layer_by_its_name(model, digits, layer, width):
    got = deep_features(model, digits, layer)
    assert got.shape == (1797, width)
    np.testing.assert_allclose(got, by_hand(model, digits, layer), atol=1e-5)


def test_codings_are_what_encode_gives(model, digits):
    np.testing.assert_array_equal(deep_features(model, digits), model.encode(digits))


def test_average_activation_is_the_mean_of_the_codings(model, digits):
    got = average_activation(model, digits)
    codings = by_hand(model, digits, "codings")
    np.testing.assert_allclose(got.per_coding, codings.mean(axis=0), atol=1e-5)
    assert got.overall == pytest.approx(codings.mean(), abs=1e-5)


def test_the_size_of_the_batch_does_not_matter(model, digits):
    whole = deep_features(model, digits[:100], "hidden_1", batch_size=100)
    for size in (1, 33):
        got = deep_features(model, digits[:100], "hidden_1", batch_size=size)
        np.testing.assert_allclose(got, whole, atol=1e-6)


def test_features_follow_the_weights(model, digits):
    before = deep_features(model, digits[:9], "hidden_1")
    model.fit(digits, verbose=0)
    after = deep_features(model, digits[:9], "hidden_1")
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, by_hand(model, digits[:9], "hidden_1"), atol=1e-5)


def test_unknown_layers_name_the_nearest(model, digits):
    with pytest.raises(ValueError, match=r"layer must be one of .*'hiden_1'. Try hidden_1$"):
        deep_features(model, digits, "hiden_1")
