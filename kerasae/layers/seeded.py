"""Randomness whose state is saved."""

from typing import Unpack

import keras
from keras import ops

from kerasae.layers.base import AutoencoderLayer, LayerOptions


class SeededLayer(AutoencoderLayer):
    """A layer with a seed state that is saved with its weights.

    Keras leaves the state of a `SeedGenerator` out of saved weights, so that a resumed run would
    repeat the noise it has already seen. Here it is written with them.

    Args:
        seed: Integer, or None for a random one.
        **kwargs: Name and other arguments of `keras.layers.Layer`.
    """

    def __init__(self, seed: int | None, **kwargs: Unpack[LayerOptions]) -> None:
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store["seed_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed_state"])
        weights = {str(i): store[str(i)] for i in range(len(store.keys()) - 1)}
        super().load_own_variables(weights)
