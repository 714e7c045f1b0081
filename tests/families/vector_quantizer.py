"""A layer of a family that is not in the zoo: codings from a codebook."""

import keras
from keras import ops

from kerasae.layers import PassThrough


@keras.saving.register_keras_serializable("tests")
class VectorQuantizer(PassThrough):
    """Replaces the codings of a row by the nearest vector of a codebook.

    Reference: van den Oord et al. (2017), Neural discrete representation learning.
    """

    def __init__(self, codes, commitment=0.25, **kwargs):
        super().__init__(**kwargs)
        self.codes, self.commitment = codes, commitment
        self.used = self.add_weight((), name="used", trainable=False, initializer="zeros")
        self.perplexity = keras.metrics.Mean("perplexity")

    def build(self, input_shape):
        self.codebook = self.add_weight(
            (self.codes, input_shape[-1]), initializer="random_normal", name="codebook"
        )

    def call(self, inputs, training=False):
        distances = (
            ops.sum(ops.square(inputs), axis=-1, keepdims=True)
            - 2 * ops.matmul(inputs, ops.transpose(self.codebook))
            + ops.sum(ops.square(self.codebook), axis=-1)
        )
        nearest = ops.argmin(distances, axis=-1)
        quantized = ops.take(self.codebook, nearest, axis=0)
        if training:
            self.add_loss(ops.mean(ops.square(ops.stop_gradient(inputs) - quantized)))
            away = ops.mean(ops.square(inputs - ops.stop_gradient(quantized)))
            self.add_loss(self.commitment * away)
            share = ops.mean(ops.one_hot(nearest, self.codes), axis=0)
            self.used.assign(ops.exp(-ops.sum(share * ops.log(share + 1e-10))))
        return inputs + ops.stop_gradient(quantized - inputs)

    def report(self):
        self.perplexity.update_state(self.used)
