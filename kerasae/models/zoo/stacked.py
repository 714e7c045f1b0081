"""The symmetric stack that every other family adds one thing to."""

import math
import warnings
from collections.abc import Callable, Sequence

import keras

from kerasae.layers.base import stops_identity
from kerasae.layers.sparsity import KLSparsityRegularizer
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.series_stacks import conv1d_stack
from kerasae.models.stacks import conv_stack, dense_stack
from kerasae.models.zoo.arguments import Activation, Shape, as_tuple, check_activation, check_range

# By the number of axes of a row.
STACKS: dict[int, Callable[..., tuple[keras.Model, keras.Model]]]
STACKS = {2: conv1d_stack, 3: conv_stack}


def stacked_autoencoder(
    input_shape: Shape,
    hidden_units: Shape,
    *,
    activation: Activation = "tanh",
    codings_activation: Activation | None = None,
    output_activation: Activation = "linear",
    corruption: keras.layers.Layer | None = None,
    codings: keras.layers.Layer | None = None,
    bottleneck: keras.layers.Layer | None = None,
    gate: keras.layers.Layer | None = None,
    tied: bool = False,
    stack: Callable[..., tuple[keras.Model, keras.Model]] | None = None,
    scaler: keras.layers.Layer | None = None,
    columns: Sequence[str] | None = None,
    loss: str | keras.losses.Loss | None = None,
    mask_value: float | None = None,
    model_class: Callable[..., Autoencoder] = Autoencoder,
    name: str = "stacked_autoencoder",
) -> Autoencoder:
    """A symmetric stack of dense layers, or of convolutions for images and series, compiled.

    With one hidden layer and a linear output it finds at best the subspace of PCA (Bourlard and
    Kamp, 1988); more layers can do better than PCA at the same number of codings.

    Args:
        input_shape: Shape of one row: `(columns,)`, or the number of columns; `(height, width,
            channels)` makes a convolutional stack, see `conv_stack`, and `(steps, channels)` one
            over time, see `conv1d_stack`.
        hidden_units: Widths of the encoder's layers, the codings' last, mirrored by the decoder:
            `(300, 100)` makes 300-100-300. A single number stands for one layer.
        activation: Name of a Keras activation, or a callable, for the hidden layers.
        codings_activation: The same for the codings; by default that of the hidden layers.
        output_activation: The same for the reconstruction, on the scaled values.
        corruption: `GaussianCorruption`, `SaltPepperDropout` or another layer before the first
            hidden one, on the scaled values; or None.
        codings: `GaussianCodings` or another layer that gives the codings instead of a dense one;
            or None.
        bottleneck: `KLSparsityRegularizer` or another layer after the codings; or None.
        gate: `WinnerTakeAll` or another layer that the decoder begins with; or None.
        tied: Whether the decoder's kernels are the encoder's, transposed, which halves the weights;
            for dense stacks. See `TiedDense`.
        stack: Function like `dense_stack` that makes encoder and decoder, for example
            `recurrent_stack` or `functools.partial(conv_stack, kernel_size=5)`; by default the one
            for the shape of a row.
        scaler: An adapted `RangeScaling` or `keras.layers.Normalization`, a
            `keras.layers.Rescaling`, or None for rows that are scaled already.
        columns: Names of the columns, or None.
        loss: What `compile` takes where no loss is given; see `Autoencoder`.
        mask_value: What steps of padding hold, in series of different lengths; see `Autoencoder`.
        model_class: `Autoencoder` or a subclass that is made like it.
        name: Name of the model.

    Returns:
        An `Autoencoder` with Adam and mean squared error, or `loss`.

    Raises:
        ValueError: Widths that are not whole numbers of at least 1, an unknown activation, a
            sparsity whose range is not the activation's, or images with their channels first.

    Warns:
        UserWarning: The codings are at least as many as the columns, and nothing keeps the model
            from learning the identity.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> model = stacked_autoencoder((64,), (32, 8))
        >>> [layer.name for layer in model.encoder.layers + model.decoder.layers]
        ['hidden_1', 'codings', 'hidden_3', 'output']
    """
    input_shape = as_tuple("input_shape", input_shape)
    hidden_units = as_tuple("hidden_units", hidden_units)
    for argument in (activation, codings_activation, output_activation):
        check_activation(argument)
    if isinstance(bottleneck, KLSparsityRegularizer):
        check_range(codings_activation or activation, bottleneck)
    if len(input_shape) > 1 and tied:
        raise ValueError(
            f"input_shape must be (columns,) to be tied. Received: input_shape={input_shape}"
        )
    encoder, decoder = (stack or STACKS.get(len(input_shape), dense_stack))(
        input_shape,
        hidden_units,
        activation=activation,
        codings_activation=codings_activation,
        output_activation=output_activation,
        corruption=corruption,
        codings=codings,
        bottleneck=bottleneck,
        gate=gate,
        **({"tied": True} if tied else {}),
    )
    padding = {} if mask_value is None else {"mask_value": mask_value}
    model = model_class(encoder, decoder, scaler, columns, loss=loss, name=name, **padding)
    remedies = (corruption, codings, bottleneck, gate, getattr(model, "contraction", None))
    own = type(model) is not Autoencoder and remedies[-1] is None  # the user's to know
    count = math.prod(encoder.output_shape[1:])
    if not (own or any(map(stops_identity, remedies))) and count >= math.prod(input_shape):
        warnings.warn(
            f"{count} codings for {math.prod(input_shape)} columns: nothing keeps the model from "
            "learning the identity; add a corruption or a sparse bottleneck, or use fewer codings",
            UserWarning,
            stacklevel=2,
        )
    model.compile()
    return model
