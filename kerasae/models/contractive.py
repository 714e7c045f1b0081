"""An autoencoder with a penalty on its encoder's Jacobian."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras

from kerasae.layers.contraction import ContractivePenalty
from kerasae.layers.scaling import scale
from kerasae.models.autoencoder import Autoencoder, ModelOptions
from kerasae.models.padding import fill_padding, real_steps


class _Mean(keras.losses.Loss):
    """Keras's own reduction: the mean over the batch, of which each device has its part."""

    def call(self, y_true, y_pred):
        return y_pred


@keras.saving.register_keras_serializable("kerasae")
class ContractiveAutoencoder(Autoencoder):
    """An `Autoencoder` whose loss contains the squared norm of the encoder's Jacobian.

    See `ContractivePenalty` for the equation.

    Args:
        encoder: As in `Autoencoder`, of dense, convolutional or recurrent layers.
        decoder: As in `Autoencoder`.
        scaler: As in `Autoencoder`.
        columns: As in `Autoencoder`.
        loss: As in `Autoencoder`.
        mask_value: As in `Autoencoder`.
        beta: Weight of the penalty, at least 0.
        seed: Integer, or None for a random one, of the estimator for convolutional and recurrent
            encoders.
        **kwargs: Name and other arguments of `keras.Model`.

    Raises:
        ValueError: `beta` is negative, or the Jacobian of a layer is not known.

    Reference: Rifai et al. (2011), Contractive auto-encoders: explicit invariance during feature
    extraction.

    Example:
        >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
        >>> float(ContractiveAutoencoder(encoder, decoder, beta=0.5).contraction.beta)
        0.5
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        scaler: keras.layers.Layer | None = None,
        columns: Sequence[str] | None = None,
        loss: str | keras.losses.Loss | None = None,
        *,
        mask_value: float | None = None,
        beta: float = 0.001,
        seed: int | None = None,
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        # Before the model is built, which ends the making of parts.
        self.contraction = ContractivePenalty(beta, seed, name="contraction")
        self.contraction.check(encoder.layers)
        super().__init__(encoder, decoder, scaler, columns, loss, mask_value=mask_value, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss of `Autoencoder` and the penalty, on the clean rows."""
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        scaled = fill_padding(scale(self.scaler, x), real_steps(x, self.mask_value), 0)
        norms = self.contraction.norms(self.encoder.layers, scaled)
        return loss + self.contraction.beta * _Mean("contraction", dtype="float32")(norms, norms)

    def get_config(self) -> dict[str, Any]:
        """The parts, the weight of the penalty and its seed."""
        penalty = self.contraction.get_config()
        return {**super().get_config(), "beta": penalty["beta"], "seed": penalty["seed"]}
