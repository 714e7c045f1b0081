"""The layers that autoencoders are composed of: one concept a file."""

from kerasae.layers.adversarial import AdversarialPrior
from kerasae.layers.calibration import AnomalyCalibration
from kerasae.layers.contraction import ContractivePenalty
from kerasae.layers.corruption import GaussianCorruption, SaltPepperDropout
from kerasae.layers.gaussian_codings import GaussianCodings, gaussian_kl
from kerasae.layers.priors import GaussianPrior, MixturePrior, Prior, SwissRollPrior
from kerasae.layers.scaling import RangeScaling
from kerasae.layers.sparsity import KLSparsityRegularizer, bernoulli_kl
from kerasae.layers.tied import TiedDense
from kerasae.layers.winner_take_all import KSparse, SpatialWinnerTakeAll, WinnerTakeAll

__all__ = [
    "AdversarialPrior",
    "AnomalyCalibration",
    "ContractivePenalty",
    "GaussianCodings",
    "GaussianCorruption",
    "GaussianPrior",
    "KLSparsityRegularizer",
    "KSparse",
    "MixturePrior",
    "Prior",
    "RangeScaling",
    "SaltPepperDropout",
    "SpatialWinnerTakeAll",
    "SwissRollPrior",
    "TiedDense",
    "WinnerTakeAll",
    "bernoulli_kl",
    "gaussian_kl",
]
