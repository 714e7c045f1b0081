"""Autoencoders for Keras 3: layers that compose, a zoo of models, features and SavedModels."""

import sys
from pathlib import Path

from kerasae._version import __version__

# Importing Keras takes seconds: the command answers --help first. Everyone else gets every class
# registered by this import, so that keras.models.load_model finds them.
if Path(sys.argv[0]).stem != "kerasae":
    from kerasae import anomaly, callbacks, datasets, plots
    from kerasae.export import export_saved_model
    from kerasae.features import average_activation, deep_features
    from kerasae.generation import (
        evidence_lower_bound,
        interpolate,
        log_likelihood,
        parzen_log_likelihood,
    )
    from kerasae.layers import (
        AdversarialPrior,
        ContractivePenalty,
        GaussianCodings,
        GaussianCorruption,
        GaussianPrior,
        KLSparsityRegularizer,
        KSparse,
        MixturePrior,
        Prior,
        RangeScaling,
        SaltPepperDropout,
        SpatialWinnerTakeAll,
        SwissRollPrior,
        TiedDense,
        WinnerTakeAll,
        bernoulli_kl,
        gaussian_kl,
    )
    from kerasae.loading import load_model
    from kerasae.losses import (
        BernoulliLikelihood,
        GaussianLikelihood,
    )
    from kerasae.models import (
        ZOO,
        Autoencoder,
        ContractiveAutoencoder,
        adversarial_autoencoder,
        contractive_autoencoder,
        conv_stack,
        convolutional_autoencoder,
        denoising_autoencoder,
        dense_stack,
        k_sparse_autoencoder,
        sparse_autoencoder,
        stacked_autoencoder,
        variational_autoencoder,
        winner_take_all_autoencoder,
    )
    from kerasae.pretraining import pretrain
    from kerasae.publishing import verify
    from kerasae.robust import (
        RobustDecomposition,
        group_threshold,
        robust_decomposition,
        soft_threshold,
    )
    from kerasae.runtimes import export_litert, export_onnx
    from kerasae.supervised import SupervisedModel, supervised_from

__all__ = [
    "ZOO",
    "AdversarialPrior",
    "Autoencoder",
    "BernoulliLikelihood",
    "ContractiveAutoencoder",
    "ContractivePenalty",
    "GaussianCodings",
    "GaussianCorruption",
    "GaussianLikelihood",
    "GaussianPrior",
    "KLSparsityRegularizer",
    "KSparse",
    "MixturePrior",
    "Prior",
    "RangeScaling",
    "RobustDecomposition",
    "SaltPepperDropout",
    "SpatialWinnerTakeAll",
    "SupervisedModel",
    "SwissRollPrior",
    "TiedDense",
    "WinnerTakeAll",
    "__version__",
    "adversarial_autoencoder",
    "anomaly",
    "average_activation",
    "bernoulli_kl",
    "callbacks",
    "contractive_autoencoder",
    "conv_stack",
    "convolutional_autoencoder",
    "datasets",
    "deep_features",
    "denoising_autoencoder",
    "dense_stack",
    "evidence_lower_bound",
    "export_litert",
    "export_onnx",
    "export_saved_model",
    "gaussian_kl",
    "group_threshold",
    "interpolate",
    "k_sparse_autoencoder",
    "load_model",
    "log_likelihood",
    "parzen_log_likelihood",
    "plots",
    "pretrain",
    "robust_decomposition",
    "soft_threshold",
    "sparse_autoencoder",
    "stacked_autoencoder",
    "supervised_from",
    "variational_autoencoder",
    "verify",
    "winner_take_all_autoencoder",
]
