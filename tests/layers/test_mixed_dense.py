"""Output layers that multiply in half precision and are float32 in all else."""

import keras
import numpy as np
import pytest

import kerasae
from kerasae.layers import MixedDense


def rounded(x, dtype):
    return keras.ops.convert_to_numpy(keras.ops.cast(keras.ops.cast(x, dtype), "float32"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_only_the_product_is_rounded(dtype):
    x = np.random.default_rng(0).standard_normal((50, 20), "float32")
    layer = MixedDense(
        7, dtype, activation="sigmoid", bias_initializer=keras.initializers.Constant(0.3)
    )
    output = keras.ops.convert_to_numpy(layer(x))
    product = rounded(x, dtype) @ rounded(layer.kernel, dtype)
    wanted = 1 / (1 + np.exp(-(rounded(product, dtype) + np.float32(0.3))))
    assert output.dtype == "float32"
    np.testing.assert_allclose(output, wanted, atol=1e-3)
    assert MixedDense.from_config(layer.get_config()).product_dtype == dtype


@pytest.mark.parametrize("tied", [False, True])
def test_the_last_layer_of_a_mixed_stack_multiplies_in_half_precision(tied, digits, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = kerasae.stacked_autoencoder((64,), (16, 8), tied=tied)
    finally:
        keras.config.set_dtype_policy("float32")
    last = model.decoder.layers[-1]
    assert (last.product_dtype, last.bias.dtype) == ("bfloat16", "float32")
    model.fit(digits, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(digits[:9]), model.predict(digits[:9]))


@pytest.mark.parametrize("tied", [False, True])
def test_float32_stacks_multiply_in_float32(tied):
    last = kerasae.stacked_autoencoder((6,), (3,), tied=tied).decoder.layers[-1]
    assert getattr(last, "product_dtype", None) is None
