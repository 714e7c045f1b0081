"""Weights that the decoder shares with the encoder."""

from collections.abc import Callable
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import AutoencoderLayer, LayerOptions
from kerasae.layers.mixed_dense import mixed_product


@keras.saving.register_keras_serializable("kerasae")
class TiedDense(AutoencoderLayer):
    r"""A dense layer whose kernel is the transpose of another's; the bias is its own.

    $$y = \phi(W^\top x + b)$$

    with the kernel W of the layer that `tied_to` names. An `Autoencoder` ties its decoder's layers
    to its encoder's by itself, when it is made and when it is loaded.

    Args:
        units: Width of the output: the number of inputs of the other layer.
        tied_to: Name of that layer in the encoder.
        activation: Name of a Keras activation, or a callable, or None.
        product_dtype: Name of the type of the product, where it is not that of the layer, which is
            float32 then: see `MixedDense`.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: It is called before it was tied, or tied to a layer of another shape or kind.

    Shapes: (batch, units of the other layer) to (batch, units).

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks; Vincent et al. (2010), Stacked denoising autoencoders.

    Example:
        >>> dense, tied = keras.layers.Dense(2), TiedDense(5, tied_to="dense")
        >>> codings = dense(keras.ops.ones((1, 5)))
        >>> tied.tie_to(dense)
        >>> tied(codings).shape, len(tied.weights)
        (TensorShape([1, 5]), 1)
    """

    def __init__(
        self,
        units: int,
        tied_to: str,
        activation: str | Callable[..., Any] | None = None,
        product_dtype: str | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.tied_to = tied_to
        self.product_dtype = product_dtype
        self.activation = keras.activations.get(activation)
        self._partner: Callable[[], keras.layers.Layer] | None = None

    def build(self, input_shape):
        self.width = input_shape[-1]
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def tie(self, encoder: keras.Model, decoder: keras.Model) -> None:
        """Takes the kernel of the encoder's layer that `tied_to` names."""
        self.tie_to(encoder.get_layer(self.tied_to))

    def tie_to(self, layer: keras.layers.Layer) -> None:
        """Takes the kernel of a built dense layer from here on."""
        if not isinstance(layer, keras.layers.Dense):
            raise ValueError(
                f"layer must be a dense layer to be tied to {self.name}. "
                f"Received: {layer.name}, a {type(layer).__name__}"
            )
        if layer.kernel.shape[0] != self.units:
            raise ValueError(
                f"{self.name} gives {self.units} values; the layer that it is tied to must take as "
                f"many. Received: {layer.name}, which takes {layer.kernel.shape[0]}"
            )
        if self.built and layer.kernel.shape[1] != self.width:
            raise ValueError(
                f"{self.name} takes {self.width} values; the layer that it is tied to must give as "
                f"many. Received: {layer.name}, which gives {layer.kernel.shape[1]}"
            )
        # Within a function, out of sight of Keras: the weights belong to the other layer alone.
        self._partner = lambda: layer

    @property
    def kernel(self) -> Any:
        """The other layer's kernel, transposed: (units of the other layer, units)."""
        if self._partner is None:
            raise ValueError(
                f"{self.name} must be tied before it is called. Received: tied_to={self.tied_to}, "
                "without a model. Try an Autoencoder, or tie_to(layer)"
            )
        return ops.transpose(self._partner().kernel)

    def call(self, inputs):
        if self.product_dtype:
            return self.activation(
                mixed_product(inputs, self.kernel, self.product_dtype) + self.bias
            )
        kernel = ops.cast(self.kernel, self.compute_dtype)
        return self.activation(ops.matmul(inputs, kernel) + self.bias)

    def compute_output_spec(self, inputs):
        return keras.KerasTensor((*inputs.shape[:-1], self.units), dtype=self.compute_dtype)

    def get_config(self):
        """The arguments, with the activation as Keras writes it."""
        return {
            **super().get_config(),
            "units": self.units,
            "tied_to": self.tied_to,
            "activation": keras.activations.serialize(self.activation),
            "product_dtype": self.product_dtype,
        }
