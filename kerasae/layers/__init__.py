"""The layers that autoencoders are composed of: one concept a file."""

from kerasae.layers.calibration import AnomalyCalibration
from kerasae.layers.corruption import GaussianCorruption, SaltPepperDropout
from kerasae.layers.scaling import RangeScaling
from kerasae.layers.sparsity import KLSparsityRegularizer, bernoulli_kl

__all__ = [
    "AnomalyCalibration",
    "GaussianCorruption",
    "KLSparsityRegularizer",
    "RangeScaling",
    "SaltPepperDropout",
    "bernoulli_kl",
]
