"""A penalty that comes in slowly."""

import keras

from kerasae.door import check_count


class PenaltyWarmup(keras.callbacks.Callback):
    r"""Raises the weight beta of every penalty from 0 to its value over the first epochs.

    In epoch e, counted from 0, the weight is

    $$\beta_e = \beta \min(1, e / \mathtt{epochs})$$

    for each layer that has a variable `beta`, with the value beta that the layer was made with:
    the model first learns to reconstruct, and is then bent towards sparsity or the prior. As the
    weight follows from the epoch alone, a run that is resumed goes on with the right one.

    Args:
        epochs: Epochs until the full weight, at least 1.

    Raises:
        ValueError: `epochs` is not a whole number of at least 1, or no layer has a `beta`.

    Reference: Bowman et al. (2016), Generating sentences from a continuous space, section 3.1.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.sparse_autoencoder((8,), 3, beta=0.4)
        >>> warmup = PenaltyWarmup(epochs=4)
        >>> history = model.fit(np.eye(8), epochs=2, callbacks=[warmup], verbose=0)
        >>> round(float(model.encoder.layers[-1].beta), 3)
        0.1
    """

    def __init__(self, epochs):
        super().__init__()
        check_count("epochs", epochs)
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the weights for this epoch."""
        layers = [one for one in self.model._flatten_layers() if hasattr(one, "beta")]
        if not layers:
            raise ValueError("no layer has a beta; expected a sparse or variational autoencoder")
        for layer in layers:
            layer.beta.assign(layer.get_config()["beta"] * min(1, epoch / self.epochs))
