"""A model's signatures in operators that runtimes other than TensorFlow have."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae.export.manifest import manifest, write_manifest
from kerasae.export.saved_model import Signatures, signatures
from kerasae.models import Autoencoder


def portable_signatures(model: Autoencoder, runtime: str) -> tuple[Signatures, dict[str, str]]:
    """The signatures of a model in another runtime; see `kerasae.export_onnx`.

    Args:
        model: An `Autoencoder`.
        runtime: Name of the runtime, for the messages.

    Returns:
        Two dicts by name of the signature: a function of one tensor and a `keras.InputSpec` of it,
        as in `saved_model.signatures`; and of those that are left out, why.

    Raises:
        ValueError: Weights are not finite, or Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"the backend must be tensorflow for an {runtime} export. Received: "
            f"{keras.backend.backend()}. Try saving the model and KERAS_BACKEND=tensorflow"
        )
    model._check_weights()
    functions, left_out = signatures(model), {}
    # It is `encode`, under the name that TF Serving uses where a request names no signature.
    del functions["serving_default"]
    if functions.pop("generate", None):
        left_out["generate"] = (
            f"{runtime} has no operator for draws by seed; draw codings from the prior and decode"
        )
    if "anomaly_score" in functions:
        score, rows = functions["anomaly_score"]
        functions["anomaly_score"] = (lambda x: _with_p_value(model.anomaly, score(x))), rows
    written = {name: (_in_plain(model, one), spec) for name, (one, spec) in functions.items()}
    return written, left_out


def write_portable_manifest(
    model: Autoencoder,
    folder: Path,
    metrics: Mapping[str, float] | None,
    *,
    format: str,  # noqa: A002
    signatures: list[str],
    left_out: Mapping[str, str],
) -> None:
    """Writes the manifest of an export that may leave signatures out.

    Raises:
        ValueError: Nothing was written.
    """
    if not signatures:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ValueError(
            f"the model must have a signature that {format} can express. Received: {reasons}. "
            "Try the format saved_model"
        )
    own = {"format": format, "signatures": signatures, "left_out": dict(left_out)}
    write_manifest(folder, {**manifest(model, metrics), **own})


def first_line(error: Exception) -> str:
    """The first line of a converter's message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _with_p_value(calibration, outputs):
    below = count_below(calibration.scores, outputs["anomaly_score"])
    return {**outputs, "p_value": calibration.p_values(below)}


def count_below(values: np.ndarray, bounds: Any) -> Any:
    """How many sorted values are below each bound: a binary search of comparisons and look-ups.

    `searchsorted` itself is an operator of TensorFlow that neither ONNX nor LiteRT has.

    Args:
        values: Sorted array, shape (n,).
        bounds: Tensor of any shape.

    Returns:
        Tensor of the counts, in the shape of `bounds`.

    Example:
        >>> count_below([1.0, 2.0, 2.0], np.array([2.0, 9.0], "float32")).numpy().tolist()
        [1, 3]
    """
    import tensorflow as tf  # noqa: PLC0415

    steps = len(values).bit_length()
    filled = np.full(2**steps - 1, np.inf, "float32")
    filled[: len(values)] = values
    below = tf.zeros_like(bounds, "int32")
    for step in reversed(range(steps)):
        further = below + 2**step
        below = tf.where(tf.gather(filled, further - 1) < bounds, further, below)
    return below


def _in_plain(model, function):
    """The function without mixed precision and loops over steps.

    LiteRT does not multiply half types, and neither runtime has the lists that such a loop keeps
    its outputs in; unrolled, it is a chain of plain operators.
    """

    def traced(x):
        with contextlib.ExitStack() as restoring:
            for layer in model._flatten_layers():
                if layer.compute_dtype in ("float16", "bfloat16"):
                    restoring.callback(setattr, layer, "dtype_policy", layer.dtype_policy)
                    layer.dtype_policy = "float32"
                if isinstance(layer, keras.layers.RNN):
                    restoring.callback(setattr, layer, "unroll", layer.unroll)
                    layer.unroll = True
            return function(x)

    return traced
