"""What is done with a model: features, generation, layer-wise pretraining, decomposition."""

from kerasae.methods.features import AverageActivation, average_activation, deep_features
from kerasae.methods.generation import (
    evidence_lower_bound,
    interpolate,
    log_likelihood,
    parzen_log_likelihood,
)
from kerasae.methods.pretraining import PretrainedPair, pretrain
from kerasae.methods.robust import (
    RobustDecomposition,
    group_threshold,
    robust_decomposition,
    soft_threshold,
)

__all__ = [
    "AverageActivation",
    "PretrainedPair",
    "RobustDecomposition",
    "average_activation",
    "deep_features",
    "evidence_lower_bound",
    "group_threshold",
    "interpolate",
    "log_likelihood",
    "parzen_log_likelihood",
    "pretrain",
    "robust_decomposition",
    "soft_threshold",
]
