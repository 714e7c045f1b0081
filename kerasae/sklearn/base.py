"""What the estimators share: parameters, checks of rows, and training."""

import contextlib
import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from kerasae.callbacks import StabilityGuard
from kerasae.callbacks.stability_guard import mean_error, sample
from kerasae.layers.rolling import follow_rows
from kerasae.models import Autoencoder, recipes
from kerasae.sklearn.copies import as_weights
from kerasae.tables import Schema, table_autoencoder
from kerasae.validation import as_numbers, check_count, names_of

# Parameters that a family may have: arguments of its builder under the same name.
OF_FAMILY = (
    *("activation", "corruption", "tied", "rho", "beta", "k", "winners", "likelihood", "prior"),
)
_seeding = threading.Lock()


class AutoencoderEstimator(BaseEstimator):
    """Holds the parameters of both estimators untouched, and trains their autoencoder.

    The parameters are described in `AutoencoderTransformer`.
    """

    model_: Autoencoder
    history_: dict[str, list[float]]
    n_features_in_: int
    schema_: Schema | None

    def __init__(
        self,
        family: str | Callable[..., Autoencoder] = "stacked",
        hidden_units: int | Sequence[int] | None = None,
        *,
        activation: str | Callable[..., Any] | None = None,
        corruption: str | None = None,
        tied: bool | None = None,
        rho: float | None = None,
        beta: float | None = None,
        k: int | None = None,
        winners: float | None = None,
        likelihood: str | None = None,
        prior: str | None = None,
        scaler: str = "auto",
        image_shape: Sequence[int] | None = None,
        schema: Schema | None = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        learning_rate_init: float = 0.001,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float | None = 1e-4,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.family = family
        self.hidden_units = hidden_units
        self.activation = activation
        self.corruption = corruption
        self.tied = tied
        self.rho = rho
        self.beta = beta
        self.k = k
        self.winners = winners
        self.likelihood = likelihood
        self.prior = prior
        self.scaler = scaler
        self.image_shape = image_shape
        self.schema = schema
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose

    # Rows ----------------------------------------------------------------------------------------

    def _training_rows(self, X, sample_weight, first):  # noqa: N803
        """Rows as the model takes them, and their weights with mean 1, or None."""
        if first:
            self.schema_ = self._read_schema(X)
        x = self._checked(X, reset=first)
        if sample_weight is None:
            return x, None
        weight = as_numbers(sample_weight, len(x), "sample_weight", what="weight", least=0.0)
        if weight.ndim > 1:
            raise ValueError(
                "sample_weight must be one number a row. "
                f"Received: an array of shape {weight.shape}"
            )
        if not weight.any():
            raise ValueError(
                "sample_weight must be above zero for a row. Received: zero for all rows"
            )
        # A row without weight is not there, for the scaler neither.
        return x[weight > 0], weight[weight > 0] / weight[weight > 0].mean()

    def _read_schema(self, X):  # noqa: N803
        """The schema of a table of mixed columns; None for numbers, which are taken as an array."""
        if self.schema is not None or names_of(X) is None or not len(X):
            return self.schema
        schema = Schema.infer(X)
        numbers = all(one.kind == "number" and not one.missing for one in schema)
        return None if numbers and not schema.left_out else schema

    def _rows(self, X):  # noqa: N803
        check_is_fitted(self)
        return self._checked(X, reset=False)

    def _checked(self, X, reset):  # noqa: N803
        if self.schema_ is None:
            return self._shaped(validate_data(self, X, dtype=[np.float64, np.float32], reset=reset))
        if names_of(X) is None:
            raise TypeError(
                f"X must be a table with the columns {', '.join(self.schema_.names[:5])}. "
                f"Received: a {type(X).__name__}"
            )
        validate_data(self, X, skip_check_array=True, reset=reset)
        return self.schema_.codes(X, "X")

    def _shaped(self, x):
        if self.image_shape is None:
            return x
        shape = (*self.image_shape, 1)[:3]
        if math.prod(shape) != x.shape[1]:
            raise ValueError(
                f"image_shape must hold the {x.shape[1]} columns of X. "
                f"Received: image_shape={tuple(self.image_shape)}"
            )
        return x.reshape(len(x), *shape)

    # Training ------------------------------------------------------------------------------------

    def _fit(self, X, sample_weight):  # noqa: N803
        self._check_parameters()
        x, weight = self._training_rows(X, sample_weight, first=True)
        rng = check_random_state(self.random_state)
        train, held_out = self._split(x, weight, rng)
        seen = len(train[0])
        if not held_out and self._rows_a_step(seen) == seen:
            train = as_weights(*train)
        self._begin(*train, held_out and held_out[0], rng, seen)
        callbacks = [StabilityGuard()]
        if self.tol is not None or self.early_stopping:
            # In shares of the variance, so that `tol` means the same for every scaler.
            variance = mean_error(self.model_.scaler, sample(train[0]))
            plateau = keras.callbacks.EarlyStopping(
                "val_" * bool(held_out) + self.model_._objective,
                mode="min",
                min_delta=(self.tol or 0.0) * variance,
                patience=int(self.n_iter_no_change),
                restore_best_weights=bool(held_out),
            )
            callbacks.append(plateau)
        self._train(*train, self.max_iter, held_out, callbacks)
        return x, weight

    def _partial_fit(self, X, sample_weight):  # noqa: N803
        first = not hasattr(self, "model_")
        if first:
            self._check_parameters()
        x, weight = self._training_rows(X, sample_weight, first)
        if first:
            self._begin(x, weight, None, check_random_state(self.random_state), len(x))
        else:
            self._follow(x, weight)
        self._train(x, weight, 1, None, [StabilityGuard()])
        return x, weight

    def _follow(self, x, weight):
        """Takes rows into the scaler's statistics, in which all rows so far count alike."""
        model = self.model_
        model._rolling = follow_rows(
            model.scaler, x, model._rolling, memory=self.n_samples_seen_, weight=weight
        )
        self.n_samples_seen_ += len(x)

    def _split(self, x, weight, rng):
        """(rows, weights) to train on and to validate on, the latter None where nothing is."""
        if not self.early_stopping:
            return (x, weight), None
        count = max(1, round(self.validation_fraction * len(x)))
        if count >= len(x):
            raise ValueError(
                f"validation_fraction must leave rows to train on. Received: validation_fraction="
                f"{self.validation_fraction}, n_samples={len(x)}"
            )
        order = rng.permutation(len(x))
        held, rest = order[:count], order[count:]
        return tuple((x[rows], None if weight is None else weight[rows]) for rows in (rest, held))

    def _begin(self, x, weight, held_out, rng, seen):
        with _seeded(rng.randint(np.iinfo(np.int32).max)):
            self.model_ = self._build(x, weight, held_out)
        self.model_.compile(recipes.optimizer_of(self.model_, float(self.learning_rate_init)))
        self.history_, self.n_iter_, self.n_samples_seen_ = {}, 0, seen

    def _build(self, x, weight, held_out):
        given = {name: getattr(self, name) for name in OF_FAMILY}
        options = recipes.family_options(self.family, given, "family")
        if self.schema_ is not None:
            numbers = "standard" if self.scaler == "auto" else self.scaler
            return table_autoencoder(
                x,
                self.hidden_units,
                family=self.family,
                schema=self.schema_,
                numbers=numbers,
                **options,
            )
        shape, image_shape = x.shape[1:], x.shape[1:3] if x.ndim == 4 else None
        if self.family == "convolutional" and image_shape is None:
            raise ValueError(
                "image_shape must be given for family='convolutional'. "
                "Received: image_shape=None. Try (28, 28), or another family"
            )
        scaler = recipes.make_scaler(self.scaler, x, image_shape, weight)
        units = self.hidden_units
        return recipes.builder_of(self.family)(
            shape,
            recipes.default_units(self.family, shape) if units is None else units,
            scaler=scaler,
            columns=getattr(self, "feature_names_in_", None),
            **recipes.fill_in(self.family, options, x, scaler, held_out),
        )

    def _train(self, x, weight, epochs, held_out, callbacks):
        batch_size = self._rows_a_step(len(x))
        history = self.model_.fit(
            x,
            sample_weight=weight,
            validation_data=held_out and (held_out[0], held_out[0], held_out[1]),
            epochs=int(epochs or recipes.default_epochs(len(x), batch_size)),
            batch_size=batch_size,
            verbose=int(self.verbose),
            callbacks=callbacks,
        ).history
        for name, values in history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ += len(history["loss"])

    def _rows_a_step(self, rows):
        return min(self.batch_size or recipes.default_batch_size(rows), rows)

    def _check_parameters(self):
        if not callable(self.family):
            recipes.check_family(self.family, "family")
        for name in ("max_iter", "batch_size", "n_iter_no_change"):
            check_count(name, getattr(self, name))
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                "validation_fraction must lie in (0, 1). "
                f"Received: validation_fraction={self.validation_fraction}"
            )
        if self.tol is not None and not 0 <= self.tol < math.inf:
            raise ValueError(
                f"tol must be finite and at least 0, or None. Received: tol={self.tol}"
            )

    # Of both -------------------------------------------------------------------------------------

    @property
    def loss_curve_(self) -> list[float]:
        """The loss of each epoch, penalties included."""
        return self.history_["loss"]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Has Keras draw its seeds from a seed; Python's random numbers go on as if it had not."""
    with _seeding:  # other threads fit other estimators
        before = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)
