"""The one protocol between an autoencoder and the layers in its encoder and decoder."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import keras

if TYPE_CHECKING:
    from kerasae.layers.priors import Prior


class LayerOptions(TypedDict, total=False):
    """What every layer takes besides its own arguments: those of `keras.layers.Layer`."""

    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any
    autocast: bool


class AutoencoderLayer(keras.layers.Layer):
    r"""A layer that an `Autoencoder` asks for more than its output.

    A model looks for such layers in its encoder and in its decoder. Every hook has a default that
    does nothing, so that a layer says only what is special about it. A term of the loss that needs
    the layer's own input alone is added by `add_loss` in `call`, as in any Keras layer.

    | hook | asked | for |
    |---|---|---|
    | `report()` | after each batch of training | updating the layer's metrics |
    | `penalty(x, codings, reconstruction)` | in each batch of training | a term of the loss |
    | `tie(encoder, decoder)` | when the model is made or loaded | reaching other layers |
    | `prior` | by `generate` and exports | the distribution of the codings |
    | `identity_at_inference` | by `supervised_from`, `pretrain` | leaving the layer out |
    | `stops_identity` | by builders | not warning of codings that are as many as the columns |
    | `at_inference()` | by `supervised_from` | the layer that does the same at inference |
    | `normals_per_row`, `sorts` | by `fit` | leaving XLA out, which is slow in these |

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Shapes: those of the layer. `PassThrough` is for layers whose output has the shape of the input.

    Reference: Chollet (2021), Deep Learning with Python, chapter 7, for layers that add losses.

    Example:
        >>> import numpy as np, kerasae
        >>> class Spread(PassThrough):
        ...     '''Rewards codings that differ between rows.'''
        ...     def call(self, inputs):
        ...         return inputs
        ...     def penalty(self, x, codings, reconstruction):
        ...         return -0.01 * keras.ops.mean(keras.ops.std(codings, axis=0))
        >>> model = kerasae.stacked_autoencoder((8,), 3, bottleneck=Spread())
        >>> history = model.fit(np.eye(8), verbose=0)
        >>> history.history["loss"][0] < history.history["mse"][0]
        True
    """

    identity_at_inference: bool = False
    normals_per_row: float = 0
    sorts: bool = False
    prior: "Prior | None" = None

    @property
    def stops_identity(self) -> bool:
        """Whether the layer, as it is set, keeps a model of many codings from the identity."""
        return True

    def report(self) -> None:
        """Updates the layer's metrics from the last batch of training.

        The values have to be kept in variables by `call`: on JAX a metric can only be updated here.
        """

    def penalty(self, x: Any, codings: Any, reconstruction: Any) -> Any:
        """A term of the loss of one batch of training.

        Args:
            x: The batch, scaled, shape (batch, *row_shape).
            codings: What the encoder made of it, shape (batch, ...).
            reconstruction: What the decoder made of the codings, scaled, shape (batch, *row_shape).

        Returns:
            A scalar tensor, or None for no term.
        """
        return None

    def tie(self, encoder: keras.Model, decoder: keras.Model) -> None:
        """Lets the layer find others, whose weights it shares or whose outputs it needs.

        A layer must keep them out of Keras's sight, within a function for example: their weights
        are saved with the models that own them.

        Args:
            encoder: The model's encoder, built.
            decoder: The model's decoder, built.
        """

    def at_inference(self) -> keras.layers.Layer | None:
        """A new layer, with weights of its own, that does what this one does at inference.

        Returns:
            The layer, or None where a copy of this one will do.
        """
        return keras.layers.Identity(name=self.name) if self.identity_at_inference else None


class PassThrough(AutoencoderLayer):
    """An `AutoencoderLayer` whose output has the shape, dtype and mask of its input.

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)


def batch_variable(
    layer: keras.layers.Layer, name: str, shape: tuple[int, ...] = ()
) -> keras.Variable:
    """A variable that `call` writes what it saw of a batch into, to be reported or remembered.

    Under `tf.distribute` each device writes its own, read as their mean. To write one for all, the
    devices would wait for each other within `call`, where Keras forgets the losses of the first.

    Args:
        layer: Layer whose variable it becomes.
        name: Its name.
        shape: Its shape.

    Returns:
        A float32 variable that is not trained, 0 at first, saved with the layer once it is one of
        its attributes.
    """
    with keras.name_scope(layer.name, caller=layer):
        return keras.Variable(
            "zeros",
            shape,
            "float32",
            trainable=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )


# Keras's own layers that act in training alone, or add to the loss alone.
_KERAS_IDENTITIES = (
    keras.layers.InputLayer,
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def is_identity_at_inference(layer: keras.layers.Layer) -> bool:
    """Whether a layer of Keras or kerasae passes its input through at inference."""
    return isinstance(layer, _KERAS_IDENTITIES) or (
        isinstance(layer, AutoencoderLayer) and layer.identity_at_inference
    )


def stops_identity(layer: keras.layers.Layer | None) -> bool:
    """Whether a layer, as it is set, keeps a model of as many codings as columns from the identity.

    Args:
        layer: Layer of a built stack, or None.

    Returns:
        Whether there is noise, a penalty or a competition in it. Layers of others than Keras and
        kerasae are taken to have some.

    Example:
        >>> stops_identity(keras.layers.Dropout(0.2)), stops_identity(keras.layers.Dropout(0))
        (True, False)
    """
    if layer is None:
        return False
    if isinstance(layer, AutoencoderLayer):
        return layer.stops_identity
    if not type(layer).__module__.startswith("keras."):
        return True
    if inner := getattr(layer, "layers", ()):
        return any(map(stops_identity, inner))
    of_noise = isinstance(layer, _KERAS_IDENTITIES)
    amounts = [getattr(layer, name, 0) for name in ("rate", "stddev")]
    penalty = layer.activity_regularizer
    weights = [vars(penalty)[name] for name in ("l1", "l2") if name in vars(penalty or object)]
    return bool((of_noise and any(amounts)) or any(weights) or (penalty and not weights))


def walk(*layers: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Layers and all that they hold, in order."""
    for layer in layers:
        yield layer
        yield from walk(*getattr(layer, "layers", ()))


def autoencoder_layers(*layers: keras.layers.Layer) -> list[AutoencoderLayer]:
    """Every `AutoencoderLayer` in layers or models, in order.

    Args:
        *layers: Layers and models.

    Returns:
        Those among them, and among the layers within them, that are an `AutoencoderLayer`.

    Example:
        >>> import kerasae
        >>> model = kerasae.sparse_autoencoder(64, (10,), rho=0.1, beta=1.0)
        >>> [type(layer).__name__ for layer in autoencoder_layers(model)]
        ['KLSparsityRegularizer']
    """
    return [layer for layer in walk(*layers) if isinstance(layer, AutoencoderLayer)]
