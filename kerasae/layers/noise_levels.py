"""A denoiser that knows how noisy its rows are: what goes into it, and what comes out."""

from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import AutoencoderLayer, LayerOptions


@keras.saving.register_keras_serializable("kerasae")
class NoiseLevelFeatures(keras.layers.Layer):
    r"""Scales rows and the level of their noise for the layers of a denoiser.

    $$(x, s) \mapsto \left[\frac{x}{\sqrt{1 + s^2}}, \log s, \sin(2 \log s), \cos(2 \log s)\right]$$

    Standardised rows with noise of any level have variance 1 then.

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: rows whose last column is the level s > 0, (batch, columns + 1); the output is (batch,
    columns + 3).

    Reference: Karras et al. (2022), Elucidating the design space of diffusion-based generative
    models, section 5.

    Example:
        >>> import numpy as np
        >>> print(np.asarray(NoiseLevelFeatures()(np.ones((1, 3), "float32"))).round(2))
        [[0.71 0.71 0.   0.   1.  ]]
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})

    def call(self, inputs):
        x, level = inputs[..., :-1], inputs[..., -1:]
        log = ops.log(level)
        scaled = x / ops.sqrt(1 + ops.square(level))
        return ops.concatenate([scaled, log, ops.sin(2 * log), ops.cos(2 * log)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Two columns more."""
        return (*input_shape[:-1], input_shape[-1] + 2)


@keras.saving.register_keras_serializable("kerasae")
class ResidualDenoising(AutoencoderLayer):
    r"""Takes off the noise that a network sees in a row, at the level of the noise.

    $$D(x, s) = \frac{x}{1 + s^2} + \frac{s}{\sqrt{1 + s^2}} (W h + b)$$

    Without W it is the best linear denoiser of independent standardised columns; the network has
    only to learn what is beyond it. The squared error of a level is worth its inverse variance: to
    the mean squared error that a model is trained with, it adds

    $$\frac{1}{d} \lVert D(x + s \epsilon, s) - x \rVert^2 / s^2$$

    so that all levels count alike: $(1 + s^2) / s^2 = 1 + 1 / s^2$.

    Args:
        columns: Number of columns d, at least 1.
        activation: Name of a Keras activation, or a callable, of W h + b.
        kernel_scale: Factor of the usual first weights, above 0.
        seed: Integer, or None for a random one, of the first weights.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: deep features h, then the noisy row, then the level s > 0: (batch, units + columns + 1);
    the output is (batch, columns).

    Reference: Karras et al. (2022), Elucidating the design space of diffusion-based generative
    models, section 5.

    Example:
        >>> import numpy as np
        >>> layer = ResidualDenoising(2)
        >>> np.asarray(layer(np.array([[0.0, 3.0, 4.0, 1.0]], "float32"))).tolist()
        [[1.5, 2.0]]
    """

    def __init__(
        self,
        columns: int,
        activation: Any = "linear",
        kernel_scale: float = 0.1,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        self.columns = columns
        self.activation = keras.activations.get(activation)
        self.kernel_scale = kernel_scale
        self.seed = seed

    def build(self, input_shape):
        units = input_shape[-1] - self.columns - 1
        # Glorot's uniform weights, of which the variance is scaled.
        first = keras.initializers.VarianceScaling(
            self.kernel_scale**2, "fan_avg", "uniform", self.seed
        )
        self.kernel = self.add_weight((units, self.columns), first, name="kernel")
        self.bias = self.add_weight((self.columns,), "zeros", name="bias")

    def call(self, inputs):
        hidden, x, level = self._parts(ops.cast(inputs, "float32"))
        noise = self.activation(ops.matmul(hidden, self.kernel) + self.bias)
        variance = 1 + ops.square(level)
        return x / variance + noise * level / ops.sqrt(variance)

    def _parts(self, inputs):
        units = inputs.shape[-1] - self.columns - 1
        return inputs[..., :units], inputs[..., units:-1], inputs[..., -1:]

    def penalty(self, x: Any, codings: Any, reconstruction: Any) -> Any:
        """What the levels below 1 count more than in the mean squared error."""
        return ops.mean(ops.square((ops.cast(reconstruction, "float32") - x) / codings[..., -1:]))

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the row."""
        return (*input_shape[:-1], self.columns)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {"columns": self.columns, "kernel_scale": self.kernel_scale, "seed": self.seed}
        activation = keras.activations.serialize(self.activation)
        return {**super().get_config(), **own, "activation": activation}
