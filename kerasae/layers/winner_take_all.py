"""Sparsity by competition: only the largest activations are passed on."""

import math
from typing import Any, Unpack

import keras
from keras import ops

from kerasae.layers.base import LayerOptions, PassThrough, batch_variable


@keras.saving.register_keras_serializable("kerasae")
class KSparse(PassThrough):
    r"""Keeps the k largest codings of each row and sets the others to 0.

    $$y_i = h_i \text{ if } h_i \ge h_{(k)}, \text{ else } 0$$

    with $h_{(k)}$ the k-th largest; ties with it are kept too. Gradients reach the kept codings
    only. At inference, alpha k are kept.

    Args:
        k: How many codings a row keeps, at least 1.
        alpha: By how much more at inference, at least 1.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `k` is no whole number of at least 1, or `alpha` is below 1.

    Shapes: (batch, codings); the output has the shape of the input. Where there are no more than k
    codings it is the input.

    Reference: Makhzani and Frey (2013), k-Sparse autoencoders.

    Example:
        >>> import numpy as np
        >>> np.asarray(KSparse(2)(np.array([[3.0, 1.0, 2.0]]))).tolist()
        [[3.0, 0.0, 2.0]]
    """

    sorts = True

    def __init__(self, k: int, alpha: float = 1.0, **kwargs: Unpack[LayerOptions]) -> None:
        if not (k >= 1 and k % 1 == 0):
            raise ValueError(f"k must be a whole number of at least 1. Received: k={k}")
        if not 1 <= alpha < float("inf"):
            raise ValueError(f"alpha must be at least 1. Received: alpha={alpha}")
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.k = int(k)
        self.alpha = alpha
        self.built = True

    @property
    def stops_identity(self) -> bool:
        """Whether any coding loses."""
        return self.k < self.input.shape[-1]

    def call(self, inputs, training=False):
        kept = min(inputs.shape[-1], self.k if training else round(self.alpha * self.k))
        threshold = ops.stop_gradient(ops.top_k(inputs, kept)[0][..., -1:])
        return ops.where(inputs >= threshold, inputs, ops.zeros_like(inputs))


class _Competition(PassThrough):
    """Lets a share of the rows win for each unit, by a threshold that is remembered."""

    def __init__(self, winners: float, **kwargs: Unpack[LayerOptions]) -> None:
        if not 0 < winners <= 1:
            raise ValueError(f"winners must lie in (0, 1]. Received: winners={winners}")
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.winners = winners

    def build(self, input_shape):
        self.total = batch_variable(self, "total", (input_shape[-1],))
        self.seen = batch_variable(self, "seen")

    @property
    def stops_identity(self) -> bool:
        """Whether any row loses."""
        return self.winners < 1

    @property
    def threshold(self) -> Any:
        """The remembered threshold of each unit, (units,); 0 before any training."""
        # Over what was seen, which begins at 0: the first batches count in full.
        return self.total / ops.maximum(self.seen, 1e-6)

    def thresholds(self, activations: Any, training: bool) -> Any:
        """The least activation that wins, for each unit; activations are (batch, units)."""
        if self.winners == 1:
            return ops.full(self.total.shape, -float("inf"))
        if not training:
            return self.threshold
        activations = ops.stop_gradient(ops.cast(activations, "float32"))
        rows = ops.shape(activations)[0]
        kept = ops.cast(ops.round(self.winners * ops.cast(rows, "float32")), "int32")
        least = _nth_largest(activations, ops.clip(kept, 1, rows))
        self.total.assign(0.9 * self.total + 0.1 * least)
        self.seen.assign(0.9 * self.seen + 0.1)
        return least


def _nth_largest(values, n):
    """The n-th largest of each column, of a float32 tensor of shape (rows, columns)."""

    # By taking the largest away n times: the winners are few, and XLA sorts slowly on a CPU.
    def take_away(_, state):
        rest, nth, taken = state
        largest = ops.max(rest, axis=0)
        equal = rest >= largest
        open_ = taken < n
        nth = ops.where(open_, largest, nth)
        count = ops.sum(ops.cast(equal, "int32"), axis=0)
        taken = ops.where(open_, taken + count, taken)
        return ops.where(equal, -float("inf"), rest), nth, taken

    nothing = ops.zeros_like(values[0])
    state = (values, nothing, ops.cast(nothing, "int32"))
    return ops.fori_loop(0, n, take_away, state)[1]


@keras.saving.register_keras_serializable("kerasae")
class WinnerTakeAll(_Competition):
    r"""Lifetime sparsity: each unit passes on its largest activations over the batch only.

    $$y_{ij} = h_{ij} \text{ if } h_{ij} \ge \theta_j, \text{ else } 0$$

    In training $\theta_j$ is the activation that a share `winners` of the rows of the batch reach
    in unit j; ties with it are kept too, and gradients reach the kept activations only. At
    inference it is the moving average of the batches', so that each row is treated alone. It stands
    at the start of a decoder: the codings before it are the paper's features, which are not
    thresholded, and what the decoder gets is as sparse at inference as in training.

    Args:
        winners: Share of the rows that win, in (0, 1].
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `winners` does not lie in (0, 1].

    Shapes: (batch, units); the output has the shape of the input.

    Reference: Makhzani and Frey (2015), Winner-take-all autoencoders, section 2.

    Example:
        >>> import numpy as np
        >>> layer = WinnerTakeAll(0.5)
        >>> won = layer(np.array([[3.0], [1.0], [2.0], [0.5]]), training=True)
        >>> np.asarray(won).ravel().tolist()
        [3.0, 0.0, 2.0, 0.0]
    """

    def call(self, inputs, training=False):
        threshold = ops.cast(self.thresholds(inputs, training), inputs.dtype)
        return ops.where(inputs >= threshold, inputs, ops.zeros_like(inputs))


@keras.saving.register_keras_serializable("kerasae")
class SpatialWinnerTakeAll(_Competition):
    r"""Spatial and lifetime sparsity of feature maps: one place a map, in a share of the rows.

    Each map of a row passes on its largest activation only; of these, each map keeps those that
    a share `winners` of the rows reach, by a threshold as in `WinnerTakeAll`. With `winners=1`
    there is spatial sparsity alone. Ties of places are all kept, unless they are 0.

    Args:
        winners: Share of the rows that win, in (0, 1].
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `winners` does not lie in (0, 1].

    Shapes: (batch, height, width, maps), or (batch, steps, maps) of a series; the output has the
    shape of the input. Codings without places, (batch, units), compete as in `WinnerTakeAll`.

    Reference: Makhzani and Frey (2015), Winner-take-all autoencoders, section 3.

    Example:
        >>> import numpy as np
        >>> maps = np.arange(8.0).reshape(1, 2, 2, 2)
        >>> int(np.count_nonzero(SpatialWinnerTakeAll(1.0)(maps)))
        2
    """

    @property
    def stops_identity(self) -> bool:
        """Whether any place or row loses."""
        return self.winners < 1 or math.prod(self.input.shape[1:-1]) > 1

    def call(self, inputs, training=False):
        places = tuple(range(1, len(inputs.shape) - 1))
        highest = ops.max(inputs, axis=places, keepdims=True) if places else inputs
        highest = ops.stop_gradient(highest)
        threshold = self.thresholds(highest[(slice(None), *(0 for _ in places))], training)
        wins = (inputs >= highest) & (inputs >= ops.cast(threshold, inputs.dtype))
        return ops.where(wins, inputs, ops.zeros_like(inputs))
