"""A supervised start: a network for labels that begins as the encoder of an autoencoder."""

import functools
from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.layers.base import AutoencoderLayer, is_identity_at_inference
from kerasae.layers.scaling import check_scaler, row_shape_of, scale
from kerasae.models.autoencoder import Autoencoder, ModelOptions
from kerasae.models.row_model import CompileOptions, RowModel
from kerasae.models.streams import NumberCheck
from kerasae.validation import as_numbers


def supervised_from(
    model: Autoencoder,
    head: keras.layers.Layer | Sequence[keras.layers.Layer],
    *,
    freeze: bool = False,
    name: str = "supervised_model",
) -> "SupervisedModel":
    """Makes a network that predicts from raw rows, with a trained encoder as its first layers.

    Rows without labels teach the autoencoder what rows look like, so that fewer labels are enough.
    Scaler and encoder are copies: training the network leaves the autoencoder as it is. The encoder
    acts as it does at inference: without corruption and penalties, and with the mean where codings
    are drawn, so that every weight gets a gradient from the labels.

    Args:
        model: A trained `Autoencoder`.
        head: From codings to predictions: a layer, a model, or a list of layers. Feature maps are
            not flattened by themselves: begin the list with `keras.layers.Flatten()`.
        freeze: Whether the encoder's weights stay, so that only the head is trained. It can be
            ended by `network.encoder.trainable = True` and another `compile`.
        name: Name of the network.

    Returns:
        A `SupervisedModel`, to be compiled and trained: `fit(x, y)`.

    Raises:
        ValueError: The head does not take the codings, or weights of the model are not finite.
        TypeError: The head is no layer and no list of layers.

    Reference: Erhan et al. (2010), Why does unsupervised pre-training help deep learning?; H2O's
    `pretrained_autoencoder` does the same.

    Example:
        >>> import kerasae
        >>> model = kerasae.denoising_autoencoder((64,), (32, 8))
        >>> network = supervised_from(model, keras.layers.Dense(10, activation="softmax"))
        >>> network.predict(np.zeros((5, 64)), verbose=0).shape, len(network.trainable_variables)
        ((5, 10), 6)
    """
    model._check_weights()
    scaler, encoder = _copy_of_scaler(model.scaler), _copy_of_encoder(model.encoder)
    return SupervisedModel(scaler, encoder, head, columns=model.columns, freeze=freeze, name=name)


@keras.saving.register_keras_serializable("kerasae")
class SupervisedModel(RowModel):
    r"""Predicts from raw rows by a scaler, an encoder and a head; see `supervised_from`.

    $$\hat y = \mathrm{head}(f(s(x)))$$

    `fit`, `evaluate` and `predict` check rows and labels and run as those of an `Autoencoder`.
    `fit` needs labels. The encoder always acts as at inference, the head
    follows the mode.

    Args:
        scaler: As in `Autoencoder`, or None.
        encoder: Model from scaled rows, shape (batch, *input_shape), to codings.
        head: Layer, model or list of layers from codings to predictions.
        columns: Names of the columns, by which those of a DataFrame are matched, or None.
        freeze: Whether the encoder's weights are not trained.
        **kwargs: Name and other arguments of `keras.Model`.

    Raises:
        ValueError: The head does not take the codings, or the scaler was not adapted.
        TypeError: The head is no layer, or the scaler has no inverse.

    Reference: Erhan et al. (2010), Why does unsupervised pre-training help deep learning?

    Example:
        >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> network = SupervisedModel(None, encoder, [keras.layers.Dense(1)])
        >>> network.compile("adam", "mse")
        >>> history = network.fit(np.eye(8), np.arange(8.0), verbose=0)
    """

    def __init__(
        self,
        scaler: keras.layers.Layer | None,
        encoder: keras.Model,
        head: keras.layers.Layer | Sequence[keras.layers.Layer],
        columns: Sequence[str] | None = None,
        freeze: bool = False,
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**kwargs)
        check_scaler(scaler, encoder.input_shape[1:])
        self.scaler = scaler
        self.encoder = encoder
        self.head = _built_head(head, encoder.output_shape[1:])
        columns = getattr(scaler, "columns", None) if columns is None else columns
        self.columns = None if columns is None else tuple(map(str, columns))
        self.encoder.trainable = not freeze
        self.build((None, *self.row_shape))
        # Keras exports only what was called once.
        self(keras.KerasTensor((None, *self.row_shape)))

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: Any = None,
        *,
        weighted_metrics: Any = None,
        **options: Unpack[CompileOptions],
    ) -> None:
        """Keras's `compile`; see `RowModel.compile` for the steps of an execution and XLA.

        Args:
            optimizer: Name or optimizer.
            loss: Loss between labels and predictions.
            weighted_metrics: Metrics with sample weights.
            **options: Other arguments of `RowModel.compile`.
        """
        super().compile(optimizer, loss, weighted_metrics=weighted_metrics, **options)

    @property
    def row_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of one row, without the batch; of a table, of its codes."""
        return row_shape_of(self.scaler, self.encoder.input_shape[1:])

    def build(self, input_shape):
        """Nothing is left to build: scaler, encoder and head come built."""

    def call(self, inputs, training=False):
        if tuple(inputs.shape[1:]) != self.row_shape:
            raise ValueError(
                f"inputs must be rows of shape {self.row_shape}. "
                f"Received: rows of shape {tuple(inputs.shape[1:])}"
            )
        codings = self.encoder(scale(self.scaler, inputs), training=False)
        return self.head(ops.cast(codings, "float32"), training=training)

    def compute_output_shape(self, input_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the predictions."""
        return (input_shape[0], *self.head.output_shape[1:])

    def _checked_targets(self, y: Any, rows: Any, where: str) -> Any:
        if y is None:
            return None
        labels = as_numbers(y, len(rows), where)
        _check_labels(tuple(self.head.output_shape[1:]), labels)
        return labels

    def _target_check(self, where: str) -> Any:
        output = tuple(self.head.output_shape[1:])
        return NumberCheck(where, "label", check=functools.partial(_check_labels, output))

    def get_config(self) -> dict[str, Any]:
        """The three parts, the column names and whether the encoder is frozen."""
        parts = {"scaler": self.scaler, "encoder": self.encoder, "head": self.head}
        config = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        columns = None if self.columns is None else list(self.columns)
        frozen = not self.encoder.trainable
        return {"name": self.name, "columns": columns, "freeze": frozen, **config}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "SupervisedModel":
        """Makes the model that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("scaler", "encoder", "head")
        }
        return cls(**{**config, **parts})


def _check_labels(output, y):
    """Refuses labels whose shape does not go with an output of that shape."""
    if not -1 <= y.ndim - 1 - len(output) <= 0:
        raise ValueError(
            f"y must go with the head, whose output is {output} a row. Received: labels of "
            f"shape {y.shape[1:]} a row. Try a head that begins with keras.layers.Flatten()"
        )


def _built_head(head, codings_shape):
    """The head as one model or layer, built for codings of that shape."""
    layers = list(head) if isinstance(head, list | tuple) else [head]
    if not layers or not all(isinstance(layer, keras.layers.Layer) for layer in layers):
        raise TypeError(f"head must be a layer, or a list of layers. Received: head={head!r}")
    if getattr(head, "name", None) == "head" and isinstance(head, keras.Sequential) and head.built:
        layers = head.layers
    try:
        model = keras.Sequential([keras.Input(codings_shape), *layers], name="head")
    except ValueError as error:
        hint = ". Try a head that begins with keras.layers.Flatten()" * (len(codings_shape) > 1)
        reason = " ".join(str(error).split())
        raise ValueError(
            f"head must take codings of shape {codings_shape}. Received: {reason}{hint}"
        ) from error
    return model


def _copy_of_scaler(scaler):
    if scaler is None:
        return None
    copy = type(scaler).from_config(scaler.get_config())
    if scaler.built:
        copy.build_from_config(scaler.get_build_config())
    state = {}
    scaler.save_own_variables(state)
    copy.load_own_variables({name: np.array(value) for name, value in state.items()})
    return copy


def _copy_of_encoder(encoder):
    """The encoder as it is at inference, with weights of its own and without penalties."""
    copy = keras.models.clone_model(encoder, clone_function=_at_inference)
    for layer, twin in zip(encoder.layers, copy.layers, strict=True):
        if type(twin) is type(layer):  # others came with their weights
            twin.set_weights(layer.get_weights())
    return copy


def _at_inference(layer):
    if isinstance(layer, keras.layers.InputLayer):
        return type(layer).from_config(layer.get_config())
    if isinstance(layer, AutoencoderLayer) and (other := layer.at_inference()) is not None:
        return other
    if is_identity_at_inference(layer):
        return keras.layers.Identity(name=layer.name)
    config = layer.get_config()
    if "activity_regularizer" in config:
        config["activity_regularizer"] = None
    return type(layer).from_config(config)
