"""Encoder and decoder that correct an image instead of drawing it anew."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.validation import refuse_channels_first


@keras.saving.register_keras_serializable("kerasae")
class PassOn(keras.initializers.GlorotUniform):
    """Kernels of a convolution whose last channels of input come out as they are.

    The others are as in `keras.initializers.GlorotUniform`.

    Example:
        >>> kernel = PassOn(seed=0)((3, 3, 5, 2))
        >>> ops.convert_to_numpy(kernel)[1, 1, 3:].tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """The kernel, shape (height, width, channels in, channels out)."""
        height, width, _, channels = shape
        kernel = np.array(ops.convert_to_numpy(super().__call__(shape, dtype)))
        kernel[:, :, -channels:] = 0
        kernel[height // 2, width // 2, -channels:] = np.eye(channels)
        return ops.convert_to_tensor(kernel, dtype)


def denoising_stack(
    input_shape: Sequence[int],
    hidden_units: Sequence[int],
    *,
    activation: str | Callable[..., Any] = "relu",
    output_activation: str | Callable[..., Any] = "linear",
    codings_activation: str | Callable[..., Any] | None = None,
    corruption: keras.layers.Layer | None = None,
    codings: keras.layers.Layer | None = None,
    bottleneck: keras.layers.Layer | None = None,
    gate: keras.layers.Layer | None = None,
    kernel_size: int = 3,
) -> tuple[keras.Model, keras.Sequential]:
    r"""Convolutions that find what to correct, and one that applies it to the image.

    $$\hat x = W * f(\tilde x) + V * \tilde x$$

    with the corrupted image $\tilde x$, the feature maps f, and the kernels W and V of the output;
    V is the identity before training. What is not corrupted need not be learnt, so that colours and
    shapes that training has not shown pass, too. The codings are the feature maps, then the
    corrupted image, which the decoder needs. All keep height and width, and the weights fit images
    of any size.

    Args:
        input_shape: Shape of one row, `(height, width, channels)`.
        hidden_units: Filters of the convolutions, the codings' last.
        activation: Name of a Keras activation, or a callable, for every hidden layer.
        output_activation: The same for the last layer, which has the channels of the input.
        codings_activation: The same for the codings, or None for that of the hidden layers.
        corruption: Layer that stands before the first, or None.
        codings: Must be None: the codings are feature maps.
        bottleneck: Layer that stands after the feature maps, or None.
        gate: Layer that the decoder begins with, or None.
        kernel_size: Height and width of the kernels, at least 1.

    Returns:
        The encoder, with layers hidden_1, hidden_2, ..., codings, and the decoder, whose output is
        float32.

    Raises:
        ValueError: The rows are no images or have their channels first, or there is a `codings`
            layer.

    Reference: Zhang et al. (2017), Beyond a Gaussian denoiser: residual learning of deep CNN for
    image denoising.

    Example:
        >>> encoder, decoder = denoising_stack((45, 37, 3), (8, 16))
        >>> encoder.output_shape, decoder.output_shape
        ((None, 45, 37, 19), (None, 45, 37, 3))
    """
    if len(input_shape) != 3:
        raise ValueError(
            "input_shape must be (height, width, channels) for a denoising stack. "
            f"Received: input_shape={input_shape}"
        )
    refuse_channels_first("input_shape", input_shape)
    if codings is not None:
        raise ValueError(
            f"codings must be None where they are feature maps. Received: codings={codings.name}"
        )
    side: dict[str, Any] = {"kernel_size": kernel_size, "padding": "same"}
    side["data_format"] = "channels_last"  # whatever that of Keras is
    image = keras.Input(tuple(input_shape), name="input")
    noisy = maps = image if corruption is None else corruption(image)
    for i, filters in enumerate(hidden_units, start=1):
        last = i == len(hidden_units)
        maps = keras.layers.Conv2D(
            filters,
            **side,
            activation=(codings_activation if last else None) or activation,
            name="codings" if last else f"hidden_{i}",
        )(maps)
    if bottleneck is not None:
        maps = bottleneck(maps)
    # float32 under every dtype policy: the image is in it.
    both = keras.layers.Concatenate(dtype="float32", name="with_image")([maps, noisy])
    encoder = keras.Model(image, both, name="encoder")
    output = keras.layers.Conv2D(
        input_shape[2],
        **side,
        activation=output_activation,
        kernel_initializer=PassOn(),
        dtype="float32",
        name="output",
    )
    start = [keras.Input(encoder.output_shape[1:]), *([] if gate is None else [gate])]
    return encoder, keras.Sequential([*start, output], name="decoder")
