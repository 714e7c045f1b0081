"""A folder of image files as a stream of batches, for more images than memory holds."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from kerasae.datasets.files.images import decoded, image_files, shape_of
from kerasae.validation import check_count


class ImageFolder(keras.utils.PyDataset):
    """Batches of the PNG and JPEG files in a folder, decoded when they are asked for.

    `fit`, `reconstruct`, `kerasae.anomaly.score` and all that takes a dataset takes one. Images are
    turned upright as a camera noted in them, laid on white where they are transparent, and brought
    from 16 to 8 bits. They are grey, with one channel, where all of them are.

    Args:
        folder: Path of the folder; folders in it are read, too, hidden files are not.
        image_shape: (height, width) to shrink or enlarge the images to, whatever their own ratio,
            or (height, width, channels) with 1 channel or 3; None where all have the same size.
        batch_size: Images a batch, at least 1.
        shuffle: Whether each pass has an order of its own.
        seed: The same seed gives the same orders.
        files: Paths to take instead of all files in the folder, or None.

    Attributes:
        files: The paths, in the order of the rows without `shuffle`.
        row_shape: (height, width, channels).

    Raises:
        ValueError: There are no images, damaged ones, or of different sizes with no `image_shape`.
        ModuleNotFoundError: Pillow is missing.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> for i in range(3):
        ...     Image.new("RGB", (40, 30)).save(f"{folder}/{i}.png")
        >>> stream = ImageFolder(folder, (15, 20), batch_size=2)
        >>> [batch.shape for batch in stream]
        [(2, 15, 20, 3), (1, 15, 20, 3)]
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        image_shape: Sequence[int | None] | None = None,
        batch_size: int = 32,
        *,
        shuffle: bool = False,
        seed: int = 0,
        files: Sequence[Path] | None = None,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        self.files = image_files(Path(folder)) if files is None else list(files)
        self.row_shape = shape_of(self.files, image_shape)
        self.batch_size, self.shuffle, self.seed = batch_size, shuffle, seed
        self._passes = 0
        self._order = self._next_order()

    def __len__(self) -> int:
        return math.ceil(len(self.files) / self.batch_size)

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        few = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        return decoded([self.files[i] for i in few], self.row_shape)

    def on_epoch_end(self) -> None:
        """Draws the order of the next pass."""
        self.go_to(self._passes + 1)

    def go_to(self, number: int) -> None:
        """Takes the order of a pass, as a training that goes on needs it.

        Args:
            number: Number of the pass, 0 for the first.
        """
        if number != self._passes:
            self._passes = number
            self._order = self._next_order()

    def _next_order(self):
        count = len(self.files)
        if not self.shuffle:
            return np.arange(count)
        return np.random.default_rng([self.seed, self._passes]).permutation(count)
