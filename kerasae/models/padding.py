"""Series of different lengths as rows of one length: which steps are padding."""

from typing import Any

from keras import ops


def real_steps(x: Any, mask_value: float | None) -> Any:
    """Which steps of raw rows are not padding.

    Args:
        x: Tensor of shape (batch, steps, channels).
        mask_value: What all channels of a step hold where it is padding, or None for no padding.

    Returns:
        A boolean tensor of shape (batch, steps), or None.

    Example:
        >>> import numpy as np
        >>> np.asarray(real_steps(np.array([[[1.0, 0.0], [0.0, 0.0]]]), 0.0)).tolist()
        [[True, False]]
    """
    if mask_value is None:
        return None
    # Pixels of uint8 would turn a mask value of -1 into 255.
    return ops.any(ops.not_equal(ops.cast(x, "float32"), mask_value), axis=-1)


def fill_padding(x: Any, steps: Any, value: Any) -> Any:
    """A tensor with another value, or the values of another tensor, in the steps of padding."""
    if steps is None:
        return x
    return ops.where(ops.expand_dims(steps, -1), x, ops.cast(value, x.dtype))


def step_weights(steps: Any) -> Any:
    """Weights of the steps of each row by which a mean over all is the mean over the real ones.

    Args:
        steps: As `real_steps` gives it.

    Returns:
        A float32 tensor of shape (batch, steps), of mean 1, or 0 in a row of padding alone.
    """
    real = ops.cast(steps, "float32")
    return real / ops.maximum(ops.mean(real, axis=-1, keepdims=True), 1e-6)
