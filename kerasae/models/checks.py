"""What a model of rows looks at before it uses what it was given."""

import functools
import zlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.datasets.row_source import RowSource
from kerasae.layers.scaling import (
    check_digits,
    has_float64,
    scale,
    scaler_state,
    unscale,
    wide_columns,
)
from kerasae.models.streams import (
    BatchCheck,
    CodesCheck,
    NumberCheck,
    RowCheck,
    checked_stream,
    lost_digits,
)
from kerasae.validation import (
    FLOAT32_MAX,
    LARGEST,
    as_numbers,
    bounded_rows,
    check_count,
    extremes,
    is_array,
    names_of,
    overflow,
    warn_of_identifiers,
)

# The lowest and the highest scaled value, and how a message says it.
Limits = tuple[float, float, str]


class CheckedModel(keras.Model):
    """A Keras model that checks rows, targets and sample weights at every public method.

    Arrays and tables in memory are checked at once, datasets and generators batch by batch. A
    subclass has `row_shape`, `scaler` and `columns`, and says what targets it takes by
    `_checked_targets` and `_target_check`.

    Args:
        **kwargs: Name and other arguments of `keras.Model`.
    """

    row_shape: tuple[int, ...]
    scaler: keras.layers.Layer | None
    columns: tuple[str, ...] | None

    def __init__(self, **kwargs: Any) -> None:
        # float32 under every dtype policy, the layers inside follow the policy themselves; rows of
        # float64 reach the scaler as they are.
        super().__init__(**{**kwargs, "dtype": "float32", "autocast": False})
        self._scaler_seen: int | None = None
        self._limits_seen: tuple[Any, Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for a tensor or an array; a table is matched by the names of its columns."""
        # Keras would take the columns in their order, and what lies under a mask.
        given = args[0] if args else None
        if names_of(given) is not None or isinstance(given, np.ma.MaskedArray | list | dict):
            args = (self._checked_rows(given, "inputs"), *args[1:])
        return super().__call__(*args, **kwargs)

    @property
    def schema(self) -> Any:
        """The `Schema` of the tables that the model takes, or None for plain rows."""
        return getattr(self.scaler, "schema", None)

    # One batch ---------------------------------------------------------------------------------

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: dict[int, float] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Keras's `train_on_batch`, with the rows checked first.

        Args:
            x: Rows in the user's units.
            y: Targets; by default the rows themselves, where the model takes rows as targets.
            sample_weight: Weight of each row.
            class_weight: As in `keras.Model.train_on_batch`.
            return_dict: Whether a dict by name is returned instead of a list.

        Returns:
            The loss and the metrics.
        """
        batch = {"x": x, "y": y, "sample_weight": sample_weight, "class_weight": class_weight}
        batch = self._checked_arguments(batch, trains=True)
        self._use_calibration()
        return super().train_on_batch(**batch, return_dict=return_dict)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Keras's `test_on_batch`, with the rows checked first.

        Args:
            x: Rows in the user's units.
            y: Targets; by default the rows themselves, where the model takes rows as targets.
            sample_weight: Weight of each row.
            return_dict: Whether a dict by name is returned instead of a list.

        Returns:
            The loss and the metrics.
        """
        batch = self._checked_arguments({"x": x, "y": y, "sample_weight": sample_weight})
        return super().test_on_batch(**batch, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """Keras's `predict_on_batch`, with the rows checked first.

        Args:
            x: Rows in the user's units.

        Returns:
            An array of the outputs.
        """
        rows = self._checked_rows(x, "x")
        self._check_weights()
        return super().predict_on_batch(rows)

    # What belongs to weights and scaler --------------------------------------------------------

    def _check_weights(self) -> None:
        """Refuses a broken model: nothing is scored by it or exported from it.

        Raises:
            ValueError: Weights are NaN or infinite.
        """
        for weight in self.weights:
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                raise ValueError(
                    f"weights must be finite. Received: NaN or infinite weights in {weight.path}. "
                    "Try training again with a lower learning rate"
                )

    def _use_calibration(self, calibration: Any = None) -> None:
        """Nothing is known of normal rows, unless a subclass keeps it."""

    def _forget_functions(self) -> None:
        """Has compiled functions made anew: the numbers of the scaler are constants in them."""
        for kind in ("train", "test", "predict"):
            if getattr(self, f"{kind}_function") is not None:
                getattr(self, f"make_{kind}_function")(force=True)

    def _follow_scaler(self) -> None:
        """Notices that the scaler was adapted or loaded since functions were compiled with it."""
        seen = fingerprint(scaler_state(self.scaler))
        if self._scaler_seen not in (None, seen):
            self._forget_functions()
        self._scaler_seen = seen
        named = getattr(self.scaler, "columns", None)
        if named and self.columns is None:
            self.columns = tuple(named)
        if named and self.columns != tuple(named):
            raise ValueError(
                f"scaler must be adapted to the columns of the model, {_few(self.columns or ())}. "
                f"Received: {_few(named)}. Try adapting it to a table with these columns"
            )

    # Checks ------------------------------------------------------------------------------------

    def _checked_arguments(self, given: dict[str, Any], trains: bool = False) -> dict[str, Any]:
        given = dict(given)
        for name in ("batch_size", "epochs", "validation_batch_size"):
            check_count(name, given.get(name))
            if given.get(name) is not None:
                given[name] = int(given[name])
        columns = self.columns
        if trains and columns is None and is_array(given["x"]) and (names := names_of(given["x"])):
            self.columns = tuple(names)
        pair = functools.partial(self._checked_pair, trains=trains)
        try:
            given["x"], given["y"], given["sample_weight"] = pair(
                given["x"], given["y"], given["sample_weight"], ("x", "y", "sample_weight")
            )
            validation = given.get("validation_data")
            if isinstance(validation, tuple):
                x, y, weights = (*validation, None, None)[:3]
                where = ("validation_data", "validation_data", "weights in validation_data")
                given["validation_data"] = pair(x, y, weights, where)
            elif validation is not None:
                given["validation_data"] = self._checked_validation(validation)
        except Exception:
            self.columns = columns  # of rows that are refused, nothing stays
            raise
        if self.columns is not None and self.columns != columns:
            warn_of_identifiers(self.columns, given["x"])
        return given

    def _checked_validation(self, validation):
        where = "validation_data"
        if is_array(validation):
            return self._checked_rows(validation, where)
        return self._checked_stream(
            validation, (where, f"targets in {where}", f"weights in {where}")
        )

    def _checked_pair(self, x, y, sample_weight, where, trains=False):
        """Checked rows, targets and weights; targets that are the rows stay the same object."""
        if not is_array(x):
            return self._checked_stream(x, where, trains), y, sample_weight
        rows = self._checked_rows(x, where[0], trains)
        # Keras drops sample weights that come without targets.
        same = y is x or (y is None and sample_weight is not None)
        targets = rows if same else self._checked_targets(y, rows, where[1])
        if sample_weight is not None:
            sample_weight = as_numbers(sample_weight, len(rows), where[2], what="weight", least=0.0)
            if sample_weight.shape[1:] not in ((), (1,), rows.shape[1:-1]):
                raise ValueError(
                    f"{where[2]} must have one weight a row. "
                    f"Received: shape {sample_weight.shape} for {len(rows)} rows"
                )
        return rows, targets, sample_weight

    def _checked_targets(self, y: Any, rows: Any, where: str) -> Any:
        """Checked targets, None included."""
        raise NotImplementedError

    def _target_check(self, where: str) -> Any:
        """The check of the targets of one batch of a stream."""
        raise NotImplementedError

    def _checked_stream(self, x, where, trains=False):
        """A stream of rows, or of rows with targets and weights where those have names, too."""
        self._follow_scaler()
        learns = functools.partial(setattr, self, "columns") if trains else None
        keeps = isinstance(x, RowSource) and has_float64()
        parts = [self._row_check(where[0], learns, keeps)]
        if len(where) > 1:
            parts += [
                self._target_check(where[1]),
                NumberCheck(where[2], "weight", least=0.0),
            ]
        return checked_stream(x, BatchCheck(*parts))

    def _row_check(self, where: str, learns: Any = None, keeps: bool = False) -> Any:
        if self.schema is not None:
            return CodesCheck(where, self.scaler)
        low, high, wanted = self._scaled_limits()
        wide = np.broadcast_to(wide_columns(self.scaler), self.row_shape)
        return RowCheck(
            where,
            self.row_shape,
            self._raw_limits(low, high),
            wanted=wanted,
            columns=self.columns,
            exact=wide if wide.any() else None,
            learns=learns,
            keeps=keeps,
        )

    def _raw_limits(self, low, high):
        """The lowest and the highest value of each cell before it is scaled."""
        key = (self._scaler_seen, low, high)
        if self._limits_seen is None or self._limits_seen[0] != key:
            self._limits_seen = key, _raw_limits(self.scaler, self.row_shape, low, high)
        return self._limits_seen[1]

    def _scaled_limits(self) -> Limits:
        """What scaled values may be."""
        return -LARGEST, LARGEST, f"in magnitude under {LARGEST:.0e} once scaled"

    def _checked_rows(self, x: Any, where: str, trains: bool = False) -> Any:
        """Checked rows for an array, list or table; for a stream, one of checked batches.

        Args:
            x: Rows in the user's units, or a dataset.
            where: What the messages call `x`.
            trains: Whether the model is to be trained on them.

        Returns:
            An array of shape (rows, *row_shape), or a stream.

        Raises:
            ValueError: What `as_rows` refuses; values that overflow float32 when squared, or that
                it cannot tell apart.
            TypeError: Cells that are not real numbers.
        """
        if not is_array(x):
            return self._checked_stream(x, (where,))
        self._follow_scaler()
        if self.schema is not None:
            return self.scaler.codes(x, where)  # type: ignore[union-attr]
        x, bound = bounded_rows(x, self.row_shape, self.columns, where, wide=True)
        if x.dtype.itemsize > 4 or x.dtype.kind in "iu":
            x = self._narrowed(x, where, trains)
        self._check_limits(x, bound, where)
        return x

    def _narrowed(self, x, where, trains):
        """Rows of float64 in float32, unless the scaler needs their digits."""
        wide = wide_columns(self.scaler).any()
        if trains or (wide and not has_float64()):
            check_digits(self.scaler, x, self.columns, where)
        if wide and has_float64():
            return x
        return x.astype("float32") if x.dtype.kind == "f" else x

    def _check_limits(self, x, bound, where):
        low, high, wanted = self._scaled_limits()
        lowest, highest = self._raw_limits(low, high)
        if bound <= min(highest.min(), -lowest.max()):
            return
        scaled = ops.convert_to_numpy(scale(self.scaler, extremes(x)))
        if ((scaled >= low) & (scaled <= high)).all():
            return
        if (too_large := (np.abs(scaled) > LARGEST).any(axis=0)).any():
            raise ValueError(overflow(np.argwhere(too_large)[0], self.columns, where))
        raise ValueError(
            f"{where} must be {wanted}. Received: scaled values from {scaled.min():.4g} to "
            f"{scaled.max():.4g}. Try a Rescaling scaler, or mse"
        )

    def _check_float32(self, *parts: Any) -> None:
        """Refuses rows whose digits would be lost where they have to be float32."""
        wide = np.broadcast_to(wide_columns(self.scaler), self.row_shape)
        if wide.any() and any(getattr(part, "dtype", "") == "float64" for part in parts):
            raise ValueError(lost_digits(wide, self.columns, "x"))


def fingerprint(arrays: Iterable[Any]) -> int:
    """A number that changes with arrays, by which it is noticed that they did."""
    crc = 0
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(ops.convert_to_numpy(array)).tobytes(), crc)
    return crc


def _raw_limits(scaler, row_shape, low, high):
    edges = np.stack([np.full(row_shape, edge, "float32") for edge in (low, high)])
    raw = ops.convert_to_numpy(unscale(scaler, edges)).astype("float64")
    if np.isnan(raw).any():
        raise ValueError(
            "scaler must be adapted to finite rows. Received: NaN as scaled values. "
            "Try scaler.adapt(x_train)"
        )
    margin = 1e-6 * np.abs(raw).max(axis=0)  # of rounding
    limits = raw.min(axis=0) - margin, raw.max(axis=0) + margin
    return tuple(np.clip(limit, -FLOAT32_MAX, FLOAT32_MAX) for limit in limits)


def _few(names):
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
