"""Autoencoders for Keras 3: layers that compose, a zoo of models, features and SavedModels.

Names are imported when they are first used, so that `import kerasae` takes no time. The stub
`__init__.pyi` lists them.
"""

import importlib
import warnings

import lazy_loader

from kerasae._registration import register_with_keras
from kerasae._version import __version__

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

# Public names of version 0.1 that now live one level down.
_MOVED = {
    **dict.fromkeys(("ContractiveAutoencoder", "conv_stack", "dense_stack"), "kerasae.models"),
    **dict.fromkeys(
        (
            *("ContractivePenalty", "GaussianPrior", "MixturePrior", "Prior", "SwissRollPrior"),
            *("bernoulli_kl", "gaussian_kl"),
        ),
        "kerasae.layers",
    ),
    **dict.fromkeys(
        ("RobustDecomposition", "group_threshold", "parzen_log_likelihood", "soft_threshold"),
        "kerasae.methods",
    ),
}


def __getattr__(name):
    if name in _MOVED:
        warnings.warn(
            f"kerasae.{name} has moved to {_MOVED[name]}.{name}", DeprecationWarning, stacklevel=2
        )
        return getattr(importlib.import_module(_MOVED[name]), name)
    found = _public(name)
    register_with_keras()
    return found


register_with_keras()
