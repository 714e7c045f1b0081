"""The zoo: one builder function a family."""

from collections.abc import Callable

from kerasae.models.autoencoder import Autoencoder
from kerasae.models.zoo.adversarial import adversarial_autoencoder
from kerasae.models.zoo.contractive import contractive_autoencoder
from kerasae.models.zoo.convolutional import convolutional_autoencoder
from kerasae.models.zoo.denoising import denoising_autoencoder
from kerasae.models.zoo.residual_denoiser import residual_denoiser
from kerasae.models.zoo.sparse import sparse_autoencoder
from kerasae.models.zoo.stacked import stacked_autoencoder
from kerasae.models.zoo.variational import variational_autoencoder
from kerasae.models.zoo.winner_take_all import k_sparse_autoencoder, winner_take_all_autoencoder

ZOO: dict[str, Callable[..., Autoencoder]] = {
    "stacked": stacked_autoencoder,
    "convolutional": convolutional_autoencoder,
    "sparse": sparse_autoencoder,
    "k-sparse": k_sparse_autoencoder,
    "winner-take-all": winner_take_all_autoencoder,
    "denoising": denoising_autoencoder,
    "residual-denoiser": residual_denoiser,
    "contractive": contractive_autoencoder,
    "variational": variational_autoencoder,
    "adversarial": adversarial_autoencoder,
}

__all__ = [
    "ZOO",
    "adversarial_autoencoder",
    "contractive_autoencoder",
    "convolutional_autoencoder",
    "denoising_autoencoder",
    "k_sparse_autoencoder",
    "residual_denoiser",
    "sparse_autoencoder",
    "stacked_autoencoder",
    "variational_autoencoder",
    "winner_take_all_autoencoder",
]
