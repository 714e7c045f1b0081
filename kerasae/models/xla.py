"""Where XLA saves time on a processor, and where it costs."""

import functools
from pathlib import Path

import keras

from kerasae.layers.base import autoencoder_layers, walk
from kerasae.models.chunks import on_processor

# Rules for TensorFlow on a processor, measured on a quiet AMD EPYC: the steps of a fit from which
# on XLA saves more time than it takes to compile (from 430 to 2,600, over four layouts and batches
# of 32, 128 and 512); and XLA draws normal numbers slowly.
XLA_STEPS = 1000
XLA_NORMALS = 50


def gains_by_xla(model: keras.Model, steps: float) -> bool:
    """Whether XLA saves a fit on TensorFlow and a processor more time than it takes to compile."""
    layers = list(walk(model))
    normals = sum(layer.normals_per_row for layer in autoencoder_layers(model))
    keras_noise = (keras.layers.GaussianNoise, keras.layers.GaussianDropout)
    return (
        steps >= XLA_STEPS
        and not (has_matrix_units() and any(map(_in_bfloat16, layers)))
        and all(layer.supports_jit for layer in layers)
        and not convolves(model)
        and not any(isinstance(layer, keras_noise) for layer in layers)
        and not any(layer.sorts for layer in autoencoder_layers(model))
        and normals <= XLA_NORMALS
    )


@functools.cache
def has_matrix_units() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in units for it, which XLA leaves."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def _in_bfloat16(layer):
    return getattr(layer, "compute_dtype", None) == "bfloat16"


def convolves(model: keras.Model) -> bool:
    """Whether there are convolutions, which XLA makes slow in a loop on a processor, on JAX too."""
    return on_processor() and any(len(weight.shape) > 2 for weight in model.weights)
