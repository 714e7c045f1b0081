"""Smoothing and resampling of maps, as one matrix along each axis."""

from typing import Any

import numpy as np
from keras import ops


def default_stddev(height: int, width: int) -> float:
    """Standard deviation in pixels: 4 in images of 256, in others in proportion."""
    return min(height, width) / 64


def smoothing(length: int, to: int, stddev: float) -> np.ndarray:
    """The matrix that smoothes values along an axis and interpolates them.

    Args:
        length: How many values there are.
        to: How many there are to be, at the same place: linearly interpolated if they are more.
        stddev: Of the Gaussian that smoothes, in the unit of the axis; 0 for none. Near the ends it
            weighs what there is, so that constants stay as they are.

    Returns:
        float32 array of shape (to, length), whose rows have the sum 1.

    Example:
        >>> smoothing(2, 4, 0.0).tolist()
        [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    at = np.arange(length)
    kernel = np.eye(length)
    if stddev > 0:
        kernel = np.exp(-0.5 * ((at[:, None] - at) / stddev) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
    if to == length:
        return kernel.astype("float32")
    # Centres of the new pixels, in the unit of the old ones; the outermost are not extrapolated.
    wanted = np.clip((np.arange(to) + 0.5) * length / to - 0.5, 0, length - 1)
    between = np.maximum(0, 1 - np.abs(wanted[:, None] - at))
    return (between @ kernel).astype("float32")


def smoothed_maps(errors: Any, down: Any, across: Any) -> Any:
    """Maps of errors: the mean over the channels, smoothed along both axes.

    Args:
        errors: Tensor of squared errors, shape (batch, height, width, channels).
        down: Matrix of `smoothing` along the height.
        across: The same along the width.

    Returns:
        Tensor of shape (batch, new height, new width).
    """
    maps = ops.matmul(ops.mean(errors, axis=3), ops.transpose(ops.convert_to_tensor(across)))
    return ops.matmul(ops.convert_to_tensor(down), maps)


def anomaly_map(errors: Any) -> Any:
    """The anomaly map of each image, of its own size: what an export has under this name."""
    _, height, width, _ = errors.shape
    stddev = default_stddev(height, width)
    sides = (smoothing(side, side, stddev) for side in (height, width))
    return smoothed_maps(errors, *sides)
