"""Datasets and generators whose batches are checked as they come, as rows in memory are at once."""

import contextlib
import itertools
import math
import re
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kerasae.models.sources import CheckedSource, RowSource
from kerasae.validation import FLOAT32_MAX, as_numbers, bounded_rows, column, is_array, names_of

# How a message of a check reads within an error of TensorFlow or in its traceback.
OWN_MESSAGE = re.compile(
    r"(?:(ValueError|TypeError): |assertion failed: \[)(.+? must .+?)\]?(?:\n|$)"
)


class RowCheck:
    """What one part of a batch must be: rows, or targets that are rows.

    It holds NumPy arrays alone, so that a `PyDataset` can take it to other processes.

    Args:
        where: What messages call the part.
        row_shape: Shape of a row.
        limits: The lowest and the highest value of each cell, arrays of that shape.
        wanted: What the limits are for, as a message says it.
        columns: Names of the columns, or None for those of the first table.
        exact: Which columns have to come in float64, of which Keras makes float32, or None.
        learns: Function that takes the names of the columns of a first table, or None.
        keeps: Whether columns that have to come in float64 stay so, as they do in memory.
    """

    def __init__(
        self,
        where: str,
        row_shape: Sequence[int],
        limits: tuple[np.ndarray, np.ndarray],
        *,
        wanted: str,
        columns: Sequence[str] | None = None,
        exact: np.ndarray | None = None,
        learns: Callable[[tuple[str, ...]], None] | None = None,
        keeps: bool = False,
    ) -> None:
        self.where, self.row_shape, self.limits = where, tuple(row_shape), limits
        self.wanted, self.columns, self.exact, self.learns = wanted, columns, exact, learns
        self.keeps, self._bound = keeps, min(float(limits[1].min()), -float(limits[0].max()))

    def __getstate__(self) -> dict[str, Any]:
        """Without the model that `learns` belongs to."""
        return {**vars(self), "learns": None}

    def array(self, batch: Any, rows: int | None = None) -> np.ndarray:
        """A batch that was checked, as an array."""
        first = names_of(batch) if self.columns is None else None
        self.columns = self.columns if first is None else tuple(first)
        x, bound = bounded_rows(batch, self.row_shape, self.columns, self.where, wide=True)
        if bound > self._bound:
            outside = ((x < self.limits[0]) | (x > self.limits[1])).any(axis=0)
            if outside.any():
                index = np.argwhere(outside)[0]
                found = f"values outside in {column(index, self.columns)}"
                raise ValueError(f"{self._requirement()} {found}")
        if rows not in (None, len(x)):
            raise ValueError(
                f"{self.where} must have one row for each of x. Received: {len(x)} for {rows} rows"
            )
        if self.exact is not None and x.dtype.itemsize > 4 and not self.keeps:
            raise ValueError(lost_digits(self.exact, self.columns, self.where))
        if first is not None and self.learns is not None:
            self.learns(tuple(self.columns or ()))
        if self.keeps and names_of(batch) is not None:
            # All pieces have one type, whatever those of their columns are.
            return x.astype("float64" if self.exact is not None else "float32", copy=False)
        narrow = x.dtype == "float64" and self.exact is None
        return x.astype("float32", copy=False) if narrow else x

    def spec(self, spec: Any) -> None:
        """Refuses what can be seen of a dataset before it is read."""
        if (shape := checked_spec(spec, self.where)) is None:
            return
        given = shape[1:]
        wanted = shape_of_rank(self.row_shape, len(given))
        if wanted is None or any(
            one not in (None, other) for one, other in zip(given, wanted, strict=True)
        ):
            batched = given == list(self.row_shape)[1:] and shape[:1] == list(self.row_shape)[:1]
            hint = ". Try dataset.batch(32)" * batched
            raise ValueError(
                f"{self.where} must be batches of rows of shape {self.row_shape}. "
                f"Received: elements of shape {tuple(shape)}{hint}"
            )

    def tensor(self, tensor: Any) -> Any:
        """A tensor of a dataset, with the check in its pipeline."""
        message = f"{self._requirement()} NaN, infinite or other values outside in a batch"
        return _checked_tensor(tensor, self.row_shape, self.limits, message)

    def _requirement(self):
        return f"{self.where} must hold finite numbers, {self.wanted}. Received:"


class CodesCheck:
    """What a batch of a table must be: the table, or its codes, in which NaN is a missing cell.

    Args:
        where: What messages call the part.
        scaler: The `TableEncoder` of the model.
    """

    def __init__(self, where: str, scaler: Any) -> None:
        self.where, self.scaler, self.columns = where, scaler, scaler.columns

    def array(self, batch: Any, rows: int | None = None) -> np.ndarray:
        """A batch that was checked, as an array of codes."""
        codes = self.scaler.codes(batch, self.where)
        if rows not in (None, len(codes)):
            raise ValueError(
                f"{self.where} must have one row for each of x. Received: {len(codes)} for {rows} "
                "rows"
            )
        return codes

    def spec(self, spec: Any) -> None:
        """Refuses what can be seen of a dataset before it is read."""
        shape = checked_spec(spec, self.where)
        if shape is not None and shape[1:] != list(self.scaler.row_shape):
            raise ValueError(
                f"{self.where} must be batches of codes of shape {self.scaler.row_shape}. "
                f"Received: elements of shape {tuple(shape)}. Try model.schema.codes(table)"
            )

    def tensor(self, tensor: Any) -> Any:
        """A tensor of a dataset as it is: NaN is allowed."""
        return tensor


class NumberCheck:
    """What labels or sample weights of a batch must be.

    Args:
        where: What messages call the part.
        what: What they call one number of it.
        check: Function of an array that refuses others, or None.
        least: The lowest value.
    """

    def __init__(
        self,
        where: str,
        what: str,
        *,
        check: Callable[[np.ndarray], None] | None = None,
        least: float = -math.inf,
    ) -> None:
        self.where, self.what, self.check, self.least = where, what, check, least

    def array(self, batch: Any, rows: int | None = None) -> np.ndarray:
        """A batch that was checked, as an array."""
        numbers = as_numbers(batch, rows, self.where, what=self.what, least=self.least)
        if self.check is not None:
            self.check(numbers)
        return numbers

    def spec(self, spec: Any) -> None:
        """Refuses what can be seen of a dataset before it is read."""
        shape = checked_spec(spec, self.where)
        if self.check is not None and shape:
            self.check(np.broadcast_to(0.0, [size or 1 for size in shape]))

    def tensor(self, tensor: Any) -> Any:
        """A tensor of a dataset, with the check in its pipeline."""
        least = f" of at least {self.least:g}" if math.isfinite(self.least) else ""
        message = f"{self.where} must hold finite numbers{least}. Received: others in a batch"
        limits = max(self.least, -FLOAT32_MAX), FLOAT32_MAX
        return _checked_tensor(tensor, None, limits, message)


class BatchCheck:
    """The checks of rows, targets and sample weights; None for a part that may be anything.

    Args:
        parts: Up to three of the classes above, or None.
    """

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __call__(self, batch: Any) -> tuple[Any, ...]:
        """A batch of a generator or a `PyDataset`, checked."""
        given = _at_most_three(batch) if isinstance(batch, tuple | list) else (batch,)
        checked, rows = [], None
        for part, check in itertools.zip_longest(given, self.parts[: len(given)]):
            if getattr(check, "columns", ()) is None:
                check.columns = self.parts[0].columns
            checked.append(part if check is None or part is None else check.array(part, rows))
            rows = len(checked[0])
        return tuple(checked)  # Keras takes no bare rows from a generator

    def of_dataset(self, dataset: Any) -> Any:
        """A `tf.data.Dataset`, checked; one that is spread over devices already as it is."""
        if not hasattr(dataset, "map"):
            return dataset
        spec = dataset.element_spec
        several = isinstance(spec, tuple)
        used = self.parts[: len(_at_most_three(spec)) if several else 1]
        for part, check in zip(spec if several else (spec,), used, strict=False):
            if check is not None:
                check.spec(part)
        if int(dataset.cardinality()) == 0:
            raise ValueError("x must have at least one batch. Received: an empty dataset")

        def checked(*batch: Any) -> Any:
            pairs = zip(batch, used, strict=False)
            found = [part if check is None else check.tensor(part) for part, check in pairs]
            return (*found, *batch[len(found) :]) if several else found[0]

        return dataset.map(checked)


class CheckedDataset(keras.utils.PyDataset):
    """A `PyDataset` whose batches are checked, by as many workers as it has.

    Args:
        dataset: The `PyDataset`.
        check: A `BatchCheck`.
    """

    def __init__(self, dataset: keras.utils.PyDataset, check: BatchCheck) -> None:
        super().__init__(
            workers=dataset.workers,
            use_multiprocessing=dataset.use_multiprocessing,
            max_queue_size=dataset.max_queue_size,
        )
        self.dataset, self.check = dataset, check

    def __getitem__(self, index: int) -> Any:
        return self.check(self.dataset[index])

    @property
    def num_batches(self) -> int | None:
        """Those of the dataset."""
        return self.dataset.num_batches

    def __len__(self) -> int:
        return len(self.dataset)

    def on_epoch_begin(self) -> None:
        """Passed on to the dataset."""
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Passed on to the dataset."""
        self.dataset.on_epoch_end()


class FiniteLoss(keras.callbacks.Callback):
    """Ends a `fit` on batches that nothing looked at before, where they made the loss NaN."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", 0)):
            raise ValueError(
                f"x must hold finite numbers. Received: a loss of {(logs or {})['loss']} (epoch "
                f"{epoch + 1}), and weights that are NaN. Try looking for NaN in the batches, or a "
                "lower learning rate"
            )


def is_checked(x: Any) -> bool:
    """Whether `checked_stream` looks at each batch of a stream before it is used."""
    own = isinstance(x, keras.utils.PyDataset | types.GeneratorType | RowSource)
    return is_array(x) or own or (hasattr(x, "element_spec") and hasattr(x, "map"))


def checked_stream(x: Any, check: BatchCheck) -> Any:
    """A stream whose batches are checked as they come, of the same kind and length.

    Args:
        x: A `tf.data.Dataset`, a `PyDataset`, a generator or a `RowSource`; others pass.
        check: A `BatchCheck`.

    Returns:
        The stream.

    Raises:
        ValueError: Shapes that can be seen to be wrong before it is read.
        TypeError: Elements that are not real numbers, or ragged, sparse or named tensors.
    """
    if hasattr(x, "element_spec"):
        return check.of_dataset(x)
    if isinstance(x, keras.utils.PyDataset):
        return CheckedDataset(x, check)
    if isinstance(x, types.GeneratorType):
        return (check(batch) for batch in x)
    return CheckedSource(x, check) if isinstance(x, RowSource) else x


@contextlib.contextmanager
def plain_errors(model: keras.Model) -> Iterator[None]:
    """Raises what a check says instead of the error that TensorFlow wraps it in.

    Args:
        model: The model whose method of Keras runs within: on JAX, Keras takes its weights away
            while it runs, and would not bring them back.
    """
    before = _values(model) if hasattr(model, "jax_state_sync") else []
    try:
        yield
    except BaseException as error:
        if before:
            model.jax_state_sync()
            _bring_back(before)
        if type(error).__module__.startswith("tensorflow"):
            if "is not compatible with expected shape" in str(error):
                shapes = re.search(
                    r"Shape of tensor .*?(\[.*?\]).*? expected shape (\[.*?\])", str(error)
                )
                got, wanted = shapes.groups() if shapes else ("others", "")
                raise ValueError(
                    f"x must be batches of rows of shape {wanted}. Received: shape {got}"
                ) from None
            if found := OWN_MESSAGE.search(str(error)):
                kind = TypeError if found[1] == "TypeError" else ValueError
                raise kind(found[2].strip()) from None
        raise


def _values(model):
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    return [(variable, variable.value) for variable in variables]


def _bring_back(before):
    """The values of variables that Keras took away before the first step."""
    for variable, value in before:
        try:
            variable.value  # noqa: B018
        except TypeError:  # it has none
            variable.assign(value)


def checked_spec(spec: Any, where: str) -> list[int | None] | None:
    """The shape that a dataset says it has, None where it does not, of a tensor of numbers."""
    kind = type(spec).__name__
    if isinstance(spec, dict) or kind in ("RaggedTensorSpec", "SparseTensorSpec"):
        named = {"RaggedTensorSpec": "ragged tensors", "SparseTensorSpec": "sparse tensors"}
        raise TypeError(
            f"{where} must be batches of dense rows. Received: {named.get(kind, 'a dict')}. "
            "Try dataset.map with a function that makes one tensor of them"
        )
    dtype = getattr(spec, "dtype", None)
    if dtype is not None and not (dtype.is_floating or dtype.is_integer or dtype.name == "bool"):
        raise TypeError(f"{where} must hold real numbers. Received: {dtype.name} values")
    shape = getattr(spec, "shape", None)
    return None if shape is None or shape.rank is None else shape.as_list()


def lost_digits(wide: np.ndarray, columns: Sequence[str] | None, where: str) -> str:
    """The message for float64 rows that would be rounded to float32 before they are scaled."""
    named = column(np.argwhere(wide)[0], columns)
    return (
        f"{where} must hold values that float32 can tell apart, as Keras or the method makes them "
        f"float32. Received: float64 or integers in {named}, which would lose digits. Try "
        "subtracting an offset from the column, or fit on rows in memory without further arguments"
    )


def _at_most_three(batch):
    if len(batch) > 3 or isinstance(batch, dict):
        raise ValueError(
            "a batch must be rows, or (rows, targets[, sample weights]). "
            f"Received: {len(batch)} parts"
        )
    return batch


def _checked_tensor(tensor, row_shape, limits, message):
    """A tensor of a `tf.data` pipeline, its values looked at before they are used."""
    import tensorflow as tf

    if row_shape is not None:
        given = tensor.shape.rank and shape_of_rank(row_shape, tensor.shape.rank - 1)
        tensor = tf.ensure_shape(tensor, (None, *(given or row_shape)))
        tensor = tf.reshape(tensor, (-1, *row_shape))
    if tensor.dtype == tf.bool:
        return tensor
    values = tensor if tensor.dtype == tf.float64 else tf.cast(tensor, tf.float32)
    low, high = (tf.constant(np.asarray(limit), values.dtype) for limit in limits)
    inside = tf.reduce_all((values >= low) & (values <= high))
    with tf.control_dependencies([tf.debugging.Assert(inside, [message])]):
        return tf.identity(tensor)


def shape_of_rank(row_shape: tuple[int, ...], rank: int) -> tuple[int, ...] | None:
    """The shape that rows of a rank may come in, or None where there is none.

    Args:
        row_shape: Shape of a row: one value a column, a window, or an image.
        rank: Number of axes without the batch's.

    Returns:
        `row_shape`, or it without a single channel, or flat.

    Example:
        >>> shape_of_rank((8, 8, 1), 2), shape_of_rank((8, 8, 3), 1), shape_of_rank((64,), 2)
        ((8, 8), (192,), None)
    """
    if rank == len(row_shape):
        return row_shape
    if len(row_shape) not in (2, 3) or rank > len(row_shape):
        return None
    if rank == len(row_shape) - 1 and row_shape[-1] == 1:
        return row_shape[:-1]
    return (math.prod(row_shape),) if rank == 1 else None
