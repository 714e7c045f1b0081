"""Autoencoders: the base model and the zoo of builders."""

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo import ZOO, stacked_autoencoder

__all__ = ["ZOO", "Autoencoder", "stacked_autoencoder"]
