"""A model begins at the error of the mean, so that only one that diverges ends above it.

Case 50 of faults.md.
"""

import keras
import numpy as np
import pytest

from kerasae.callbacks.stability_guard import check_learnt, mean_error
from kerasae.layers import RangeScaling
from kerasae.models import ZOO, recipes

RNG = np.random.default_rng(0)
X = (1e3 * (RNG.normal(size=(60, 6)) * range(1, 7) + RNG.normal(size=(60, 1)))).astype("float32")
DENSE = sorted(set(ZOO) - {"convolutional"})


def mse(model, x):
    return model.evaluate(x, verbose=0, return_dict=True)["mse"]


@pytest.mark.parametrize("scaler", ["range", "standard", "none"])
@pytest.mark.parametrize("family", DENSE)
@pytest.mark.fast(every=4)
def test_every_family_begins_about_at_the_mean(family, scaler):
    fitted = recipes.make_scaler(scaler, X)
    filled = recipes.fill_in(family, {}, X, fitted)
    model = ZOO[family]((6,), (6, 2), scaler=fitted, **filled)
    recipes.start_at_mean(model, X)
    assert mse(model, X) < 1.02 * mean_error(fitted, X)


def test_images_and_pixels_begin_at_their_mean(digits):
    scaler = keras.layers.Rescaling(1.0)
    model = ZOO["variational"]((64,), (8,), scaler=scaler, likelihood="bernoulli")
    recipes.start_at_mean(model, digits)
    assert mse(model, digits) < 1.02 * mean_error(scaler, digits)
    images = digits.reshape(-1, 8, 8, 1)
    model = ZOO["convolutional"]((8, 8, 1), (4, 8))
    before = mse(model, images)
    recipes.start_at_mean(model, images)
    # Its bias is one number a channel: the mean of all pixels.
    assert mse(model, images) == pytest.approx(images.var(), rel=0.02)
    assert mse(model, images) < before


def test_an_output_of_another_form_stays_as_it_is():
    for activation in ("tanh", "relu"):
        model = ZOO["stacked"]((6,), (2,), output_activation=activation)
        before = model.get_weights()
        recipes.start_at_mean(model, X)
        for weight, wanted in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(weight, wanted)


def test_a_tied_kernel_stays_with_its_partner():
    scaler = RangeScaling()
    scaler.adapt(X)
    model = ZOO["stacked"]((6,), (2,), scaler=scaler, tied=True)
    kernel = np.array(model.encoder.layers[0].kernel)
    recipes.start_at_mean(model, X)
    np.testing.assert_array_equal(np.array(model.encoder.layers[0].kernel), kernel)


def test_what_is_short_and_worse_than_the_mean_passes_where_it_may():
    numbers = {"before": 3.0, "baseline": 1.0, "remedies": "a lower rate", "steps": 20}
    check_learnt(1.09, **numbers, allow_short=False)
    check_learnt(2.0, **numbers)
    check_learnt(1e-9, **{**numbers, "baseline": 0.0}, allow_short=False)  # constant rows
    with pytest.raises(
        ValueError, match=r"Try more epochs \(--epochs\), allow_short .*, or a lower"
    ):
        check_learnt(2.0, **numbers, allow_short=False)
    for allow in (True, False):
        with pytest.raises(
            ValueError, match="Received: a mean squared error of 4, .*Try a lower rate"
        ):
            check_learnt(4.0, **numbers, allow_short=allow)
        with pytest.raises(ValueError, match="Try a lower rate"):
            check_learnt(2.0, **{**numbers, "steps": 1000}, allow_short=allow)
