"""The layers that autoencoders are composed of: one concept a file."""

from kerasae.layers.adversarial import AdversarialPrior
from kerasae.layers.base import AutoencoderLayer, PassThrough, autoencoder_layers
from kerasae.layers.cell_corruption import MissingCorruption, SwapCorruption, WrongCorruption
from kerasae.layers.contraction import ContractivePenalty
from kerasae.layers.corruption import Corruption, GaussianCorruption, SaltPepperDropout
from kerasae.layers.gaussian_codings import GaussianCodings, gaussian_kl
from kerasae.layers.mixed_dense import MixedDense
from kerasae.layers.noise_levels import NoiseLevelFeatures, ResidualDenoising
from kerasae.layers.priors import GaussianPrior, MixturePrior, Prior, SwissRollPrior
from kerasae.layers.scaling import RangeScaling
from kerasae.layers.sparsity import KLSparsityRegularizer, bernoulli_kl
from kerasae.layers.tied import TiedDense
from kerasae.layers.winner_take_all import KSparse, SpatialWinnerTakeAll, WinnerTakeAll

__all__ = [
    "AdversarialPrior",
    "AutoencoderLayer",
    "ContractivePenalty",
    "Corruption",
    "GaussianCodings",
    "GaussianCorruption",
    "GaussianPrior",
    "KLSparsityRegularizer",
    "KSparse",
    "MissingCorruption",
    "MixedDense",
    "MixturePrior",
    "NoiseLevelFeatures",
    "PassThrough",
    "Prior",
    "RangeScaling",
    "ResidualDenoising",
    "SaltPepperDropout",
    "SpatialWinnerTakeAll",
    "SwapCorruption",
    "SwissRollPrior",
    "TiedDense",
    "WinnerTakeAll",
    "WrongCorruption",
    "autoencoder_layers",
    "bernoulli_kl",
    "gaussian_kl",
]
