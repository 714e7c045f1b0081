"""A dense layer whose product alone is in half precision."""

from typing import Any

import keras
from keras import ops


def mixed_product(inputs: Any, kernel: Any, dtype: str) -> Any:
    """The float32 product of two tensors that are rounded to a type before.

    Args:
        inputs: Tensor of shape (batch, n).
        kernel: Tensor of shape (n, units).
        dtype: Name of the type, such as "bfloat16".

    Returns:
        Tensor of shape (batch, units).
    """
    return ops.cast(ops.matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype)), "float32")


@keras.saving.register_keras_serializable("kerasae")
class MixedDense(keras.layers.Dense):
    """A float32 dense layer that multiplies in another type: the last one under a mixed policy.

    The product takes nearly all of the time. Weights, bias and activation stay in float32, so that
    a reconstruction is rounded once, relative to its distance from the bias.

    Args:
        units: Width of the output.
        product_dtype: Name of the type of the product, "bfloat16" or "float16".
        **kwargs: Other arguments of `keras.layers.Dense`.

    Shapes: (batch, n) to (batch, units).

    Reference: Micikevicius et al. (2018), Mixed precision training.

    Example:
        >>> layer = MixedDense(3, product_dtype="bfloat16")
        >>> layer(keras.ops.ones((2, 4))).dtype
        tf.float32
    """

    def __init__(self, units: int, product_dtype: str = "bfloat16", **kwargs: Any) -> None:
        super().__init__(units, **{**kwargs, "dtype": "float32"})
        self.product_dtype = product_dtype

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The outputs of a batch, shape (batch, units), float32."""
        outputs = mixed_product(inputs, self.kernel, self.product_dtype)
        outputs = outputs if self.bias is None else outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the type of the product."""
        return {**super().get_config(), "product_dtype": self.product_dtype}
