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
    from kerasae.layers import (
        GaussianCorruption,
        KLSparsityRegularizer,
        RangeScaling,
        SaltPepperDropout,
        bernoulli_kl,
    )
    from kerasae.loading import load_model
    from kerasae.models import (
        ZOO,
        Autoencoder,
        denoising_autoencoder,
        sparse_autoencoder,
        stacked_autoencoder,
    )

__all__ = [
    "ZOO",
    "Autoencoder",
    "GaussianCorruption",
    "KLSparsityRegularizer",
    "RangeScaling",
    "SaltPepperDropout",
    "__version__",
    "anomaly",
    "average_activation",
    "bernoulli_kl",
    "callbacks",
    "datasets",
    "deep_features",
    "denoising_autoencoder",
    "export_saved_model",
    "load_model",
    "plots",
    "sparse_autoencoder",
    "stacked_autoencoder",
]
