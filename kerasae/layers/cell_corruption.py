"""What denoising adds to the cells of tables: others of the same column, or none."""

from collections.abc import Sequence
from typing import Any, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.layers.base import LayerOptions
from kerasae.layers.corruption import Corruption


class CellCorruption(Corruption):
    """A corruption that replaces cells, each of which may be several values of a row.

    Args:
        rate: Fraction of the cells that are replaced, in [0, 1].
        columns: For each value of a row the number of the column that it belongs to; by default
            each is a column.
        seed: Integer, or None for a random one.
        **kwargs: Name and other arguments of `keras.layers.Layer`.
    """

    def __init__(
        self,
        rate: float,
        columns: Sequence[int] | None,
        seed: int | None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must lie in [0, 1]. Received: rate={rate}")
        super().__init__(seed, **kwargs)
        self.rate = rate
        self.columns = None if columns is None else [int(column) for column in columns]

    @property
    def stops_identity(self) -> bool:
        """Whether any cell is replaced."""
        return self.rate > 0

    def corrupt(self, x: Any) -> Any:
        """Draws one corruption of `x`, whatever the mode."""
        x = ops.convert_to_tensor(x)
        if self.columns is not None and len(self.columns) != x.shape[-1]:
            raise ValueError(
                f"columns must name the column of each of the {x.shape[-1]} values of a row. "
                f"Received: {len(self.columns)} numbers"
            )
        column_of = np.arange(x.shape[-1]) if self.columns is None else np.array(self.columns)
        _, index = np.unique(column_of, return_inverse=True)
        return self.replace(x, index.astype("int32"))

    def replace(self, x: Any, column_of: np.ndarray) -> Any:
        """The rows with some cells replaced.

        Args:
            x: Rows, (batch, values).
            column_of: int array of shape (values,), the column of each value, from 0 on.

        Returns:
            Tensor of the shape of `x`.
        """
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The arguments, with what was filled in since."""
        own = {"rate": self.rate, "columns": self.columns, "seed": self.seed}
        return {**super().get_config(), **own}

    def _uniform(self, x, column_of):
        """A number in [0, 1) for each cell, spread over the values of the cell."""
        shape = (ops.shape(x)[0], int(column_of.max()) + 1)
        drawn = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return ops.take(drawn, column_of, axis=1)


@keras.saving.register_keras_serializable("kerasae")
class SwapCorruption(CellCorruption):
    r"""Replaces cells by those of other rows in the same column, in training only.

    $$\tilde x_{ij} = \begin{cases} x_{kj}, \; k \sim \mathrm{Uniform}(\text{batch})
    & \text{with probability } \mathtt{rate} \\ x_{ij} & \text{otherwise} \end{cases}$$

    A corrupted cell is one that could be there, whatever the distribution of its column, so that it
    is the right noise for tables of mixed types.

    Args:
        rate: Fraction of the cells that are replaced, in [0, 1].
        columns: For each value of a row the number of the column that it belongs to, such as
            `TableEncoder.layout.column_of`; by default each value is a column. The builder
            `table_autoencoder` fills it in.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `rate` lies outside [0, 1], or `columns` does not fit the rows.

    Shapes: (batch, values); the output has the shape and dtype of the input.

    Reference: Vincent et al. (2008) for denoising; Jahrer (2017), Porto Seguro's safe driver
    prediction, first place, for swapping.

    Example:
        >>> layer = SwapCorruption(1.0, seed=0)
        >>> rows = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]], "float32")
        >>> mixed = np.asarray(layer(rows, training=True))
        >>> set(mixed[:, 1].tolist()) <= {10.0, 20.0, 30.0}
        True
    """

    def __init__(
        self,
        rate: float,
        columns: Sequence[int] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, columns, seed, **kwargs)

    def replace(self, x: Any, column_of: np.ndarray) -> Any:
        """The rows with some cells of other rows."""
        rows = ops.shape(x)[0]
        # One row for each cell, so that the values of a cell stay together.
        drawn = self._uniform(x, column_of) * ops.cast(rows, "float32")
        index = ops.minimum(ops.cast(ops.floor(drawn), "int32"), rows - 1)
        other = self.moved(ops.take_along_axis(x, index, axis=0), column_of)
        return ops.where(self._uniform(x, column_of) < self.rate, other, x)

    def moved(self, cells: Any, column_of: np.ndarray) -> Any:
        """What is put in: the cells of other rows as they are.

        Args:
            cells: One of another row for each value, (batch, values).
            column_of: int array of shape (values,), the column of each value, from 0 on.

        Returns:
            Tensor of the shape of `cells`.
        """
        return cells


# Of the wrong numbers, the share that is moved, and by how many standard deviations at most.
MOVED, FURTHEST = 0.5, 4.0
# Of what is handed on, the largest magnitude.
BOUND = 4.0


@keras.saving.register_keras_serializable("kerasae")
class WrongCorruption(SwapCorruption):
    r"""Replaces cells by wrong ones: those of other rows, half of the numbers moved.

    $$\tilde x_{ij} = x_{kj} + b \, u \, s_j, \quad k \sim \mathrm{Uniform}(\text{batch}), \;
    b \sim \mathrm{Bernoulli}(1/2), \; u \sim \mathrm{Uniform}(-4, 4)$$

    with probability `rate`, the standard deviation s_j of the batch, and b = 0 for levels. A
    swapped cell is always one that occurs; a typing error may be far from all that do, and a model
    that has never met such a cell follows it. What is handed on lies in [-4, 4], at inference too:
    a cell that is further out must not drown the others of its row.

    Args:
        rate: Fraction of the cells that are replaced, in [0, 1].
        columns: As in `SwapCorruption`.
        numbers: Which values of a row can be moved, such as the first of an encoded table; by
            default all. The builder `table_autoencoder` fills it in.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `rate` lies outside [0, 1], or `columns` does not fit the rows.

    Shapes: (batch, values); the output has the shape and dtype of the input.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
    autoencoders.

    Example:
        >>> layer = WrongCorruption(1.0, numbers=[0], seed=0)
        >>> rows = np.tile([[-1.0], [1.0]], (100, 2)).astype("float32")
        >>> wrong = np.asarray(layer(rows, training=True))
        >>> bool(abs(wrong[:, 0]).max() > 2), set(wrong[:, 1].tolist())
        (True, {1.0, -1.0})
        >>> np.asarray(layer(np.array([[-0.5, 99.0]]))).tolist()
        [[-0.5, 4.0]]
    """

    def __init__(
        self,
        rate: float,
        columns: Sequence[int] | None = None,
        numbers: Sequence[int] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, columns, seed, **kwargs)
        self.numbers = None if numbers is None else [int(i) for i in numbers]

    identity_at_inference = False

    def call(self, inputs, training=False):
        return ops.clip(super().call(inputs, training=training), -BOUND, BOUND)

    def get_config(self) -> dict[str, Any]:
        """The arguments, with what was filled in since."""
        return {**super().get_config(), "numbers": self.numbers}

    def moved(self, cells: Any, column_of: np.ndarray) -> Any:
        """The cells of other rows, half of the numbers moved."""
        number = np.ones(len(column_of)) if self.numbers is None else np.zeros(len(column_of))
        number[self.numbers or []] = 1
        furthest = FURTHEST * ops.std(cells, axis=0)
        by = furthest * ops.cast(2 * self._uniform(cells, column_of) - 1, cells.dtype)
        moves = ops.cast(self._uniform(cells, column_of) < MOVED, "float32")
        return cells + by * ops.cast(moves * number.astype("float32"), cells.dtype)


@keras.saving.register_keras_serializable("kerasae")
class MissingCorruption(CellCorruption):
    r"""Makes cells missing, in training only: the model learns to fill them.

    Args:
        rate: Fraction of the cells that become missing, in [0, 1].
        columns: As in `SwapCorruption`.
        fill: For each value of a row what it is in a missing cell, 0 by default. The builder
            `table_autoencoder` fills it in.
        seed: Integer, or None for a random one. The state that follows from it is saved with the
            model.
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Raises:
        ValueError: `rate` lies outside [0, 1], or `columns` does not fit the rows.

    Shapes: (batch, values); the output has the shape and dtype of the input.

    Reference: Vincent et al. (2008), Extracting and composing robust features with denoising
    autoencoders; Gondara and Wang (2018), MIDA: multiple imputation using denoising autoencoders.

    Example:
        >>> np.asarray(MissingCorruption(1.0)(np.ones((1, 2)), training=True)).tolist()
        [[0.0, 0.0]]
    """

    def __init__(
        self,
        rate: float,
        columns: Sequence[int] | None = None,
        fill: Sequence[float] | None = None,
        seed: int | None = None,
        **kwargs: Unpack[LayerOptions],
    ) -> None:
        super().__init__(rate, columns, seed, **kwargs)
        self.fill = None if fill is None else [float(value) for value in fill]

    def get_config(self) -> dict[str, Any]:
        """The arguments, with what was filled in since."""
        return {**super().get_config(), "fill": self.fill}

    def replace(self, x: Any, column_of: np.ndarray) -> Any:
        """The rows with some cells missing."""
        fill = np.zeros(len(column_of)) if self.fill is None else np.array(self.fill)
        missing = ops.broadcast_to(ops.cast(fill.astype("float32"), x.dtype), ops.shape(x))
        return ops.where(self._uniform(x, column_of) < self.rate, missing, x)
