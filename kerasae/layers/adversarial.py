"""A bottleneck whose codings a discriminator pushes towards a prior."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, PassThrough, batch_variable
from kerasae.layers.beta import add_beta
from kerasae.layers.priors import Prior
from kerasae.layers.seeded import SeededLayer


@keras.saving.register_keras_serializable("kerasae")
class AdversarialPrior(SeededLayer, PassThrough):
    r"""Passes the codings through and trains the encoder to make them look like draws of a prior.

    With a discriminator D inside, a stack of leaky rectified layers that ends in a logit, adds

    $$- \log D(p) - \log(1 - D(\bar h)) \quad \text{and} \quad - \beta \log \bar D(h)$$

    to the loss in training, means over the batch, with codings h, as many draws p of the prior, and
    a bar over what gets no gradient: the first term trains the discriminator alone, the second the
    encoder alone. Both are updated in the same step, by the one optimizer of the model and with one
    draw, where the paper alternates; `fit` is the stock one. Adam scales the steps of each weight
    by its own gradients, so that the discriminator's pace does not depend on beta. Works in float32
    under every dtype policy. Metrics in training: `discriminator_loss`, in nats, whose value for
    codings that look like draws of the prior is 2 log 2 = 1.386, and `discriminator_accuracy`, 0.5
    then.

    Args:
        prior: `GaussianPrior`, `MixturePrior`, `SwissRollPrior` or another `Prior`.
        discriminator_units: Widths of the discriminator's hidden layers.
        beta: Weight of the encoder's term, at least 0. It becomes the variable `beta`.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `beta` is negative or not finite; the codings are not as many as the prior's.

    Shapes: (batch, codings); the output is the input.

    Reference: Makhzani et al. (2015), Adversarial autoencoders; Goodfellow et al. (2014),
    Generative adversarial nets, for the encoder's term.

    Example:
        >>> import numpy as np
        >>> from kerasae.layers import GaussianPrior
        >>> layer = AdversarialPrior(GaussianPrior(2), discriminator_units=(8,), seed=0)
        >>> codings = layer(np.zeros((4, 2), "float32"), training=True)
        >>> len(layer.losses)
        2
    """

    identity_at_inference = True

    def __init__(
        self,
        prior: Prior,
        discriminator_units: Sequence[int] = (256, 256),
        beta: float = 1.0,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        kwargs["dtype"] = "float32"
        super().__init__(seed, **kwargs)
        self.prior = prior
        self.discriminator_units = tuple(discriminator_units)
        self._beta = beta
        self.discriminator = [
            keras.layers.Dense(units, dtype="float32", name=f"discriminator_{i}")
            for i, units in enumerate((*self.discriminator_units, 1), start=1)
        ]
        self.beta = add_beta(self, beta)
        self._batch = [batch_variable(self, name) for name in ("loss", "accuracy")]
        self.discriminator_loss = keras.metrics.Mean("discriminator_loss")
        self.discriminator_accuracy = keras.metrics.Mean("discriminator_accuracy")

    def build(self, input_shape):
        if tuple(input_shape[1:]) != (self.prior.codings,):
            raise ValueError(
                f"codings must be (batch, {self.prior.codings}), as many as the prior has. "
                f"Received: shape {tuple(input_shape)}"
            )
        widths = (self.prior.codings, *self.discriminator_units)
        for layer, width in zip(self.discriminator, widths, strict=True):
            layer.build((None, width))

    def logits(self, codings: Any, frozen: bool = False) -> Any:
        """The discriminator's logit that codings are draws of the prior, (batch,).

        Args:
            codings: Tensor of shape (batch, codings).
            frozen: Whether its weights get no gradient.

        Returns:
            A tensor of shape (batch,).
        """
        pass_on = ops.stop_gradient if frozen else (lambda weight: weight)
        for layer in self.discriminator:
            codings = ops.matmul(codings, pass_on(layer.kernel)) + pass_on(layer.bias)
            if layer is not self.discriminator[-1]:
                codings = ops.leaky_relu(codings, 0.2)
        return codings[:, 0]

    @property
    def stops_identity(self) -> bool:
        """Whether the penalty has any weight."""
        return float(ops.convert_to_numpy(self.beta)) > 0

    def call(self, inputs, training=False):
        if not training:
            return inputs
        codings = ops.cast(inputs, "float32")
        shape = (ops.shape(codings)[0], self.prior.uniforms)
        noise = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        drawn = self.logits(self.prior(noise))
        coded = self.logits(ops.stop_gradient(codings))
        # softplus(-l) is -log of the probability whose logit is l.
        loss = ops.mean(ops.softplus(-drawn)) + ops.mean(ops.softplus(coded))
        self.add_loss(loss)
        self.add_loss(self.beta * ops.mean(ops.softplus(-self.logits(codings, frozen=True))))
        right = ops.concatenate([drawn > 0, coded < 0])
        self._batch[0].assign(loss)
        self._batch[1].assign(ops.mean(ops.cast(right, "float32")))
        return inputs

    def report(self) -> None:
        """Updates the metrics from the last batch."""
        self.discriminator_loss.update_state(self._batch[0])
        self.discriminator_accuracy.update_state(self._batch[1])

    def get_config(self):
        """The arguments, with the prior as Keras writes it."""
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "discriminator_units": self.discriminator_units,
            "beta": self._beta,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Makes the layer that `get_config` described."""
        prior = keras.saving.deserialize_keras_object(config["prior"])
        return cls(**{**config, "prior": prior})
