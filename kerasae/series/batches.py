"""Windows as batches, copied one at a time."""

import math
from typing import Any

import keras
import numpy as np

from kerasae.validation import check_count


class WindowBatches(keras.utils.PyDataset):
    """Batches of windows; see `Windows.batches`.

    Args:
        windows: The `Windows`.
        batch_size: Windows a batch.
        shuffle: Whether they come in another order in each epoch.
        seed: Integer, from which the orders follow.
    """

    def __init__(
        self, windows: Any, batch_size: int, *, shuffle: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        self.windows, self.batch_size, self.shuffle = windows, int(batch_size), shuffle
        self._rng = np.random.default_rng(seed)
        self._order = np.arange(len(windows))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._order) / self.batch_size)

    def __getitem__(self, index: int) -> np.ndarray:
        first = index * self.batch_size
        return self.windows[self._order[first : first + self.batch_size]]

    def on_epoch_end(self) -> None:
        """Draws the next order."""
        if self.shuffle:
            self._rng.shuffle(self._order)
