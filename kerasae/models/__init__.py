"""Autoencoders: the base model and the zoo of builders."""

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo import (
    ZOO,
    denoising_autoencoder,
    sparse_autoencoder,
    stacked_autoencoder,
)

__all__ = [
    "ZOO",
    "Autoencoder",
    "denoising_autoencoder",
    "sparse_autoencoder",
    "stacked_autoencoder",
]
