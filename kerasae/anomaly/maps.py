"""Where images are anomalous: maps of the error, and the region that stands out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from kerasae.layers.maps import default_stddev, smoothed_maps, smoothing
from kerasae.validation import required

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


def anomaly_maps(
    model: "Autoencoder",
    x: Any,
    image_shape: Sequence[int] | None = None,
    *,
    size: Sequence[int] | None = None,
    stddev: float | None = None,
    batch_size: int = 256,
    verbose: int | str = 0,
) -> np.ndarray:
    r"""Squared error of each pixel, the mean of its channels, smoothed and brought to a size.

    $$m = U_h K_h \, \bar e \, K_w^\top U_w^\top$$

    with the Gaussian K along height and width, and the linear interpolation U to the size. An
    export of a model of images has the maps of their own size as the signature `anomaly_map`.

    Args:
        model: An `Autoencoder`; it need not be calibrated.
        x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches of rows.
        image_shape: (height, width) or (height, width, channels) of the image that a row holds; by
            default the shape of a row.
        size: (height, width) of the maps, that of the photographs for example that the images
            were shrunk from; by default that of the images.
        stddev: Of the smoothing, in pixels of the images, at least 0; by default a 64th of the
            shorter side.
        batch_size: Rows a step.
        verbose: 1, or "auto", for a progress bar.

    Returns:
        float32 array of shape (rows, height, width), at least 0.

    Raises:
        ValueError: Rows are no images, or `size` or `stddev` cannot be.

    Reference: Bergmann et al. (2019), MVTec AD: a comprehensive real-world dataset for unsupervised
    anomaly detection, for maps of the reconstruction error.

    Example:
        >>> import kerasae
        >>> model = kerasae.convolutional_autoencoder((9, 7, 3), (4, 5))
        >>> anomaly_maps(model, np.zeros((2, 9, 7, 3)), size=(90, 70)).shape
        (2, 90, 70)
    """
    shape = tuple(model.row_shape if image_shape is None else image_shape)
    if len(shape) not in (2, 3) or np.prod(shape) != np.prod(model.row_shape):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels) of a row. "
            f"Received: image_shape={shape}, rows of shape {model.row_shape}"
        )
    errors = model.reconstruction_error(x, per_feature=True, batch_size=batch_size, verbose=verbose)
    return error_maps(errors, shape, size=size, stddev=stddev, batch_size=batch_size)


def error_maps(
    errors: np.ndarray,
    image_shape: Sequence[int],
    *,
    size: Sequence[int] | None = None,
    stddev: float | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """The maps of `anomaly_maps`, of errors that are known: `feature_errors` of `Scores`.

    Args:
        errors: Squared errors, shape (rows, ...).
        image_shape: (height, width) or (height, width, channels) of the image that a row holds.
        size: As in `anomaly_maps`.
        stddev: As in `anomaly_maps`.
        batch_size: Rows a step.

    Returns:
        float32 array of shape (rows, height, width).

    Raises:
        ValueError: `size` or `stddev` cannot be.

    Example:
        >>> error_maps(np.ones((3, 64)), (8, 8)).shape
        (3, 8, 8)
    """
    height, width, channels = (*image_shape, 1)[:3]
    stddev = default_stddev(height, width) if stddev is None else stddev
    if not 0 <= stddev < float("inf"):
        raise ValueError(f"stddev must be finite and at least 0. Received: stddev={stddev}")
    size = tuple(size or (height, width))
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), at least 1. Received: size={size}")
    sides = [smoothing(side, to, stddev) for side, to in zip((height, width), size, strict=True)]
    maps = np.empty((len(errors), *size), "float32")
    for first in range(0, len(errors), batch_size):
        few = errors[first : first + batch_size].reshape(-1, height, width, channels)
        tensor = ops.convert_to_tensor(few, "float32")
        maps[first : first + batch_size] = ops.convert_to_numpy(smoothed_maps(tensor, *sides))
    return maps


def worst_region(anomaly_map: np.ndarray) -> str:
    """Names the part of an image around the peak of its anomaly map.

    Args:
        anomaly_map: Map of one image, shape (height, width).

    Returns:
        The rows and columns, first and last counted from 0, of the connected part around the peak
        where the map is at least half of it; empty where the map is 0 or not finite.

    Example:
        >>> worst_region(np.diag([0.0, 1.0, 4.0, 0.0]) + np.eye(4, k=1))
        'rows 2-2, columns 2-2'
    """
    found = region_of(anomaly_map)
    return "" if found is None else region_name(*found)


def region_name(rows: slice, columns: slice) -> str:
    """What `worst_region` calls these rows and columns."""
    return f"rows {rows.start}-{rows.stop - 1}, columns {columns.start}-{columns.stop - 1}"


def region_of(anomaly_map: np.ndarray) -> tuple[slice, slice] | None:
    """The rows and columns that `worst_region` names, or None where it names none."""
    required("scipy", "regions of images")
    from scipy.ndimage import label  # noqa: PLC0415

    if not np.isfinite(anomaly_map).all() or not anomaly_map.max() > 0:
        return None
    parts, _ = label(anomaly_map >= anomaly_map.max() / 2)
    peak = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
    rows, columns = np.nonzero(parts == parts[peak])
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
