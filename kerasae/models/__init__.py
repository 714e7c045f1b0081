"""Autoencoders: the base model and the zoo of builders."""

from kerasae.models.adam import FusedAdam
from kerasae.models.autoencoder import Autoencoder
from kerasae.models.contractive import ContractiveAutoencoder
from kerasae.models.denoising_stack import denoising_stack
from kerasae.models.losses import BernoulliLikelihood, GaussianLikelihood
from kerasae.models.series_stacks import conv1d_stack, recurrent_stack
from kerasae.models.sources import RowSource
from kerasae.models.stacks import conv_stack, dense_stack
from kerasae.models.supervised import SupervisedModel, supervised_from
from kerasae.models.zoo import (
    ZOO,
    adversarial_autoencoder,
    contractive_autoencoder,
    convolutional_autoencoder,
    denoising_autoencoder,
    k_sparse_autoencoder,
    residual_denoiser,
    sparse_autoencoder,
    stacked_autoencoder,
    variational_autoencoder,
    winner_take_all_autoencoder,
)

__all__ = [
    "ZOO",
    "Autoencoder",
    "BernoulliLikelihood",
    "ContractiveAutoencoder",
    "FusedAdam",
    "GaussianLikelihood",
    "RowSource",
    "SupervisedModel",
    "adversarial_autoencoder",
    "contractive_autoencoder",
    "conv1d_stack",
    "conv_stack",
    "convolutional_autoencoder",
    "denoising_autoencoder",
    "denoising_stack",
    "dense_stack",
    "k_sparse_autoencoder",
    "recurrent_stack",
    "residual_denoiser",
    "sparse_autoencoder",
    "stacked_autoencoder",
    "supervised_from",
    "variational_autoencoder",
    "winner_take_all_autoencoder",
]
