"""A model's signatures in operators that runtimes other than TensorFlow have."""

import contextlib

import keras
import numpy as np

from kerasae.export import signatures


def portable_signatures(model, runtime):
    """What a model answers in another runtime; see `kerasae.export_onnx`.

    Args:
        model: An `Autoencoder`.
        runtime: Name of the runtime, for the messages.

    Returns:
        Two dicts by name of the signature: a function of one tensor and a `keras.InputSpec` of it,
        as in `export.signatures`; and of those that are left out, why.

    Raises:
        ValueError: Weights are not finite, or Keras runs on another backend than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"backend {keras.backend.backend()} ({runtime} export); expected tensorflow; try "
            "saving the model and KERAS_BACKEND=tensorflow"
        )
    model.check_weights()
    functions, left_out = signatures(model), {}
    # It is `encode`, under the name that TF Serving asks for.
    del functions["serving_default"]
    if functions.pop("generate", None):
        left_out["generate"] = (
            f"{runtime} has no operator for draws by seed; draw codings from the prior and decode"
        )
    if "anomaly_score" in functions:
        score, rows = functions["anomaly_score"]
        functions["anomaly_score"] = (lambda x: _with_p_value(model.anomaly, score(x))), rows
    written = {name: (_in_float32(model, one), spec) for name, (one, spec) in functions.items()}
    return written, left_out


def _with_p_value(calibration, answers):
    scores = calibration.scores
    below = count_below(scores, answers["anomaly_score"], "float32")
    return {**answers, "p_value": (1 + len(scores) - below) / (len(scores) + 1)}


def count_below(values, bounds, dtype="int32"):
    """How many sorted values are below each bound: a binary search of comparisons and look-ups.

    `searchsorted` itself is an operator of TensorFlow that neither ONNX nor LiteRT has.

    Args:
        values: Sorted array, shape (n,).
        bounds: Tensor of any shape.
        dtype: Of the answer.

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
    return tf.cast(below, dtype)


def _in_float32(model, function):
    """The function as it is without mixed precision, whose half types LiteRT does not multiply."""

    def traced(x):
        with contextlib.ExitStack() as restoring:
            for layer in model._flatten_layers():
                if layer.compute_dtype in ("float16", "bfloat16"):
                    restoring.callback(setattr, layer, "dtype_policy", layer.dtype_policy)
                    layer.dtype_policy = "float32"
            return function(x)

    return traced
