"""Tables whose columns have variance 1, categories too."""

import keras
import numpy as np
import pytest

from kerasae.tables import Schema, StandardTableEncoder

TABLE = {
    "size": [1.0, 2.0, None, 5.0, 4.0, 3.0],
    "colour": ["red", "blue", "red", None, "green", "red"],
    "one": ["x"] * 6,
    "flag": [True, False, True, True, False, None],
}


@pytest.fixture
def encoder():
    layer = StandardTableEncoder(Schema.infer(TABLE))
    layer.adapt(TABLE)
    return layer


def test_every_column_has_mean_0_and_variance_1(encoder):
    codes = encoder.codes(TABLE)
    z = keras.ops.convert_to_numpy(encoder(codes))
    own = z[:, : encoder.width - len(encoder.layout.indicators)]
    there = (~np.isnan(codes))[:, encoder.layout.column_of[: own.shape[1]]]
    np.testing.assert_allclose(own.sum(axis=0), 0, atol=1e-5)
    variance = (own**2).sum(axis=0) / there.sum(axis=0)
    total = np.bincount(encoder.layout.column_of[: own.shape[1]], variance)
    np.testing.assert_allclose(total, [1, 1, 0, 1], atol=1e-5)


def test_codes_come_back_and_errors_are_of_columns(encoder):
    codes = encoder.codes(TABLE)
    z = encoder(codes)
    back = keras.ops.convert_to_numpy(encoder.inverse(z))
    there = ~np.isnan(codes)
    np.testing.assert_allclose(back[there], codes[there], atol=1e-5)
    errors = keras.ops.convert_to_numpy(encoder.errors(codes, z + 1))
    levels = np.bincount(encoder.layout.column_of)
    assert errors.shape == codes.shape
    assert (errors[~there] <= 1).all()  # at most that of the indicator
    assert errors[0, 1] == pytest.approx(levels[1], rel=1e-5)


def test_it_is_saved_with_its_statistics(encoder):
    store = {}
    encoder.save_own_variables(store)
    other = StandardTableEncoder.from_config(encoder.get_config())
    other.build()
    other.load_own_variables(store)
    codes = encoder.codes(TABLE)
    np.testing.assert_array_equal(
        *(keras.ops.convert_to_numpy(one(codes)) for one in (encoder, other))
    )
