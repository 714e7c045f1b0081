"""A layer of a family that is not in the zoo: TopK codings whose dead units learn the residual."""

import keras
from keras import ops

from kerasae.layers import PassThrough


@keras.saving.register_keras_serializable("tests")
class TopK(PassThrough):
    """Keeps the k largest codings; units that are never among them learn what is left over.

    Reference: Gao et al. (2024), Scaling and evaluating sparse autoencoders.
    """

    def __init__(self, k, auxiliary=1 / 32, dead_after=20, **kwargs):
        super().__init__(**kwargs)
        self.k, self.auxiliary, self.dead_after = k, auxiliary, dead_after
        self._decoder = self._activations = None
        self.dead_share = keras.metrics.Mean("dead_share")

    def build(self, input_shape):
        # Steps since a unit was among the k largest of any row.
        self.silent = self.add_weight(
            (input_shape[-1],), name="silent", trainable=False, initializer="zeros"
        )

    def tie(self, encoder, decoder):
        self._decoder = lambda: decoder

    def call(self, inputs, training=False):
        codings = _largest(inputs, self.k)
        if training:
            fired = ops.any(codings > 0, axis=0)
            silent = ops.convert_to_tensor(self.silent)
            self.silent.assign(ops.where(fired, ops.zeros_like(silent), silent + 1))
            self._activations = inputs
        return codings

    def penalty(self, x, codings, reconstruction):
        activations, self._activations = self._activations, None
        silent = ops.convert_to_tensor(self.silent)
        dead = ops.cast(silent > self.dead_after, activations.dtype)
        revived = _largest(activations * dead, self.k)
        decoder = self._decoder()
        learned = decoder(revived) - decoder(ops.zeros_like(revived))
        residual = ops.stop_gradient(x - reconstruction)
        return self.auxiliary * ops.mean(ops.square(residual - learned))

    def report(self):
        dead = ops.cast(ops.convert_to_tensor(self.silent) > self.dead_after, "float32")
        self.dead_share.update_state(ops.mean(dead))


def _largest(values, k):
    values = ops.relu(values)
    threshold = ops.stop_gradient(ops.top_k(values, k)[0][..., -1:])
    return ops.where(values >= threshold, values, ops.zeros_like(values))
