"""A Keras model of rows: it checks what comes in, and trains by compiled programs."""

import functools
import math
from collections.abc import Callable
from typing import Any, TypedDict

import keras
import numpy as np
from keras import ops

from kerasae.datasets.reading import by_piece
from kerasae.layers.base import autoencoder_layers, walk
from kerasae.layers.rolling import Rolling
from kerasae.models.adam import FusedAdam
from kerasae.models.checks import CheckedModel
from kerasae.models.chunks import Rows, SourceRows
from kerasae.models.inference import Streams
from kerasae.models.jax_programs import JaxPrograms
from kerasae.models.programs import ONE_AT_A_TIME, Programs, runs_programs, traced
from kerasae.models.scaled_outputs import gives_scaled, scaled_outputs
from kerasae.models.sources import RowSource
from kerasae.models.streams import FiniteLoss, is_checked, plain_errors
from kerasae.models.tensorflow_programs import TensorFlowPrograms
from kerasae.models.training import Logs, Position, evaluate_rows, fit_rows, following
from kerasae.validation import check_count, is_array

PROGRAMS = {"tensorflow": TensorFlowPrograms, "jax": JaxPrograms}
# What Keras's own `fit` and `evaluate` are needed for.
ONLY_KERAS = ("class_weight", "steps_per_epoch", "validation_steps", "steps")


class CompileOptions(TypedDict, total=False):
    """Arguments of `RowModel.compile` that subclasses pass on."""

    loss_weights: Any
    metrics: Any
    run_eagerly: bool
    steps_per_execution: int | None
    jit_compile: bool | str
    auto_scale_loss: bool


class RowModel(CheckedModel):
    """Keras's `compile`, `fit`, `evaluate` and `predict` for rows that are checked first.

    Keras trains on NaN, infinite and empty data and takes `batch_size=0` in silence. Rows in memory
    are trained on by `fit_rows`; datasets, several devices, `run_eagerly`, `class_weight` and a
    given number of steps by Keras's own `fit`, to the same result. A subclass has `row_shape`,
    `scaler` and `columns`, and says what targets it takes by `_checked_targets`.

    Args:
        **kwargs: Name and other arguments of `keras.Model`.
    """

    _default_loss: Any = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._programs = PROGRAMS.get(keras.backend.backend(), Programs)(self)
        self._streams = Streams(self)
        self._order_generator = keras.random.SeedGenerator()
        self._rolling: Rolling | None = None
        self._given_steps: int | None = None
        self._given_jit: bool | str = "auto"
        self._metrics_built = self._steps_logged = False
        # Where the loop is in an epoch, and where a backup says that it is to go on.
        self._position: Position | None = None
        self._resumed: Position | None = None

    def compile(
        self,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        loss: Any = None,
        *,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = ("mse",),
        run_eagerly: bool = False,
        steps_per_execution: int | None = None,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Keras's `compile`, with defaults that are right for an autoencoder.

        Args:
            optimizer: Name or optimizer; "adam" is `kerasae.models.FusedAdam` on TensorFlow.
            loss: Loss between scaled rows; by default the model's own, for which it was built.
            loss_weights: As in `keras.Model.compile`.
            metrics: Metrics without sample weights.
            weighted_metrics: Metrics with sample weights; `mse` is reported by `evaluate` and is
                what to compare models by, as the loss may contain penalties.
            run_eagerly: As in `keras.Model.compile`.
            steps_per_execution: Steps between two calls of the callbacks for batches; by default as
                many as take half a second, and 1 where a callback is called for every batch.
            jit_compile: Whether XLA compiles the steps; by default, on TensorFlow and a processor,
                where `fit` takes many steps and no layer is slow in it.
            auto_scale_loss: As in `keras.Model.compile`: whether the loss is scaled where a layer
                computes in float16, so that small gradients do not vanish.

        Raises:
            ValueError: The learning rate is not a positive number; a schedule's may be 0.
        """
        if optimizer == "adam" and keras.backend.backend() == "tensorflow":
            optimizer = FusedAdam()
        optimizer = keras.optimizers.get(optimizer)
        rate = float(ops.convert_to_numpy(optimizer.learning_rate))
        if not (0 < rate < math.inf or (rate == 0 and _scheduled(optimizer))):
            raise ValueError(
                "learning_rate must be a positive, finite number. "
                f"Received: learning_rate={rate}. Try 0.001"
            )
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        # Keras looks at the policy of the model, which is float32.
        if auto_scale_loss and not scaled and any(_in_float16(layer) for layer in walk(self)):
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        super().compile(
            optimizer,
            self._default_loss if loss is None else loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=self._metrics_given(weighted_metrics or ()),
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution or 1,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        self._given_steps, self._given_jit = steps_per_execution, jit_compile
        self._metrics_built = False
        self._programs.forget()
        self._streams.forget()

    @property
    def _objective(self) -> str:
        """The name of the metric that models are compared by."""
        return "mse"

    def _metrics_given(self, metrics):
        """The metrics as Keras takes them."""
        return list(metrics)

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given; what it chose is chosen again."""
        config = super().get_compile_config()
        if config:
            config["steps_per_execution"] = self._given_steps
            config["jit_compile"] = self._given_jit
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Restores optimizer, loss and metrics of a saved model."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    # Keras leaves the state of a `SeedGenerator` out: a training that goes on would repeat the
    # orders of the rows that it has seen.

    def save_own_variables(self, store: Any) -> None:
        """Writes the state that the next order of the rows follows from, and rolling statistics."""
        store["order"] = ops.convert_to_numpy(self._order_generator.state)
        for name, value in zip(Rolling._fields, self._rolling or (), strict=False):
            store[f"rolling_{name}"] = np.asarray(value, "float64")

    def load_own_variables(self, store: Any) -> None:
        """Reads what `save_own_variables` wrote; older files have none."""
        if "order" in store.keys():  # noqa: SIM118
            self._order_generator.state.assign(store["order"])
        self._rolling = None
        if "rolling_rows" in store.keys():  # noqa: SIM118
            rows, *parts = (np.array(store[f"rolling_{name}"]) for name in Rolling._fields)
            self._rolling = Rolling(float(rows), *parts)

    # What was compiled has constants in it: the scaler's, and which weights are trained.

    def set_weights(self, weights: list[Any]) -> None:
        """Keras's `set_weights`, which clears a calibration and brings the scaler up to date.

        Args:
            weights: Arrays, as `get_weights` returns them.
        """
        super().set_weights(weights)
        # A `Normalization` works with tensors that were made of its weights.
        finalize = getattr(self.scaler, "finalize_state", None)
        if finalize is not None:
            finalize()
        self._use_calibration()
        self._follow_scaler()

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Keras's `load_weights`, after which functions are compiled with the loaded scaler."""
        super().load_weights(filepath, skip_mismatch, **kwargs)
        self._streams.forget()  # a calibration may have come, too
        self._follow_scaler()

    def quantize(self, mode: Any = None, **kwargs: Any) -> Any:
        """Keras's `quantize`, after which functions are compiled with the new layers."""
        quantized = super().quantize(mode, **kwargs)
        self._forget_functions()
        return quantized

    def make_train_function(self, force: bool = False) -> Any:
        """Keras's `make_train_function`; forced, it has the programs made anew, too."""
        if force:
            self._programs.forget()
        return self._made_function("train", force)

    def make_test_function(self, force: bool = False) -> Any:
        """Keras's `make_test_function`."""
        return self._made_function("test", force)

    def _made_function(self, kind, force):
        """Keras's function for a step, within which the loss is taken on scaled values."""
        name = f"{kind}_function"
        if force or getattr(self, name) is None:
            getattr(super(), f"make_{name}")(force)
            if gives_scaled(self):
                setattr(self, name, scaled_outputs(getattr(self, name)))
        return getattr(self, name)

    def _forget_functions(self) -> None:
        super()._forget_functions()
        self._streams.forget()
        self._programs.forget()

    # Training ------------------------------------------------------------------------------------

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool | str = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | list[int] = 1,
    ) -> keras.callbacks.History:
        """Trains the model: Keras's `fit`, with the rows checked first; `fit(x)` alone trains.

        Rows in memory are trained on by compiled programs of many steps. Callbacks for batches are
        called for every batch if one needs it, else after each program.

        Args:
            x: Rows in the user's units, an array or DataFrame of shape (rows, *row_shape), a
                dataset of batches, or a `RowSource` for rows that come in pieces.
            y: Targets; by default the rows themselves.
            batch_size: Rows a step, 32 by default.
            epochs: Passes over the rows, as in `keras.Model.fit`.
            verbose: 0 for silence, 1 for a progress bar, 2 for a line an epoch.
            callbacks: Callbacks of Keras or others.
            validation_split: Share of the last rows to validate on.
            validation_data: Rows, or (rows, targets[, weights]), or a dataset, to validate on.
            shuffle: Whether the rows come in another order in each epoch; "batch" for within each
                batch.
            class_weight: As in `keras.Model.fit`.
            sample_weight: Weight of each row.
            initial_epoch: As in `keras.Model.fit`.
            steps_per_epoch: As in `keras.Model.fit`.
            validation_steps: As in `keras.Model.fit`.
            validation_batch_size: As in `keras.Model.fit`.
            validation_freq: As in `keras.Model.fit`.

        Returns:
            The history of losses and metrics.

        Raises:
            ValueError: Rows or arguments that cannot be trained with.
            TypeError: Cells that are not real numbers.
        """
        given = {n: v for n, v in locals().items() if n not in ("self", "__class__")}
        given = self._checked_arguments(given, trains=True)
        # What normal rows scored under the weights of before says nothing from here on.
        self._use_calibration()
        if not self._in_programs(given):
            self._check_float32(given["x"], given["y"])
            if not is_checked(given["x"]):
                given["callbacks"] = _with_finite_loss(callbacks)
            with plain_errors(self):
                return super().fit(**given)
        size = given["batch_size"] or 32
        parts, validation = _split(given)
        return fit_rows(
            self,
            _chunks(*parts, batch_size=size, shuffle=shuffle),
            epochs=keras.config.max_epochs() or given["epochs"],
            initial_epoch=initial_epoch,
            verbose=1 if verbose == "auto" else verbose,
            callbacks=callbacks,
            validate=self._validation(validation, given["validation_batch_size"] or size),
            validation_freq=validation_freq,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Measures loss and metrics: Keras's `evaluate`, with the rows checked first.

        Args:
            x: Rows in the user's units, a dataset of batches, or a `RowSource`.
            y: Targets; by default the rows themselves.
            batch_size: Rows a step, 32 by default.
            verbose: As in `fit`.
            sample_weight: Weight of each row.
            steps: As in `keras.Model.evaluate`.
            callbacks: Callbacks of Keras or others.
            return_dict: Whether a dict by name is returned instead of a list.
            **kwargs: What Keras's own `fit` passes on.

        Returns:
            A list of the loss and the metrics, one number where there is only the loss, or a dict.
            What layers report of training is in neither.
        """
        given = {n: v for n, v in locals().items() if n not in ("self", "__class__", "kwargs")}
        if not kwargs:  # those of Keras's own `fit` were checked by it
            given = self._checked_arguments(given)
        if self._in_programs(given) and not kwargs:
            parts = given["x"], given["y"], given["sample_weight"]
            rows = _chunks(*parts, batch_size=given["batch_size"] or 32)
            verbose = 1 if verbose == "auto" else verbose
            logs = evaluate_rows(self, rows, verbose=verbose, callbacks=callbacks)
        else:
            self._check_float32(given["x"], given["y"])
            with plain_errors(self):
                logs = super().evaluate(**{**given, **kwargs, "return_dict": True})
        logs = self._of_evaluation(logs)
        return logs if return_dict else self._as_list(logs)

    @by_piece
    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Outputs for rows: Keras's `predict`, with the rows checked first.

        Args:
            x: Rows in the user's units, or a dataset of batches.
            batch_size: Rows a step, 256 by default for rows in memory.
            verbose: As in `fit`.
            steps: As in `keras.Model.predict`.
            callbacks: Callbacks of Keras or others.

        Returns:
            An array of the outputs.
        """
        check_count("batch_size", batch_size)
        rows = self._checked_rows(x, "x")
        own = type(self).predict_step is not keras.Model.predict_step
        if is_array(x) and not (steps or callbacks or own or self.run_eagerly):
            return self._streams.run(
                "predict", self.__call__, rows, batch_size=batch_size or 256, verbose=verbose
            )
        self._check_weights()
        self._check_float32(rows)
        size = None if batch_size is None else int(batch_size)
        with plain_errors(self):
            return super().predict(rows, size, verbose, steps, callbacks)

    def _in_programs(self, given):
        """Whether the loop of our own takes these arguments; Keras's takes all others."""
        parts = [given[name] for name in ("x", "y", "sample_weight") if given[name] is not None]
        methods = ("fit", "train", "test") if "epochs" in given else ("test",)
        own = any(
            getattr(type(self), f"make_{method}_function", None)
            not in (None, getattr(RowModel, f"make_{method}_function", None))
            for method in methods
        )
        of_source = len(parts) == 1 and isinstance(parts[0], RowSource)
        arrays = bool(parts) and all(isinstance(part, np.ndarray) for part in parts)
        takes = (
            self.compiled
            and (of_source or (arrays and len(set(map(len, parts))) == 1))
            and not any(given.get(name) for name in ONLY_KERAS)
            and not keras.config.max_steps_per_epoch()
            and not own
            and runs_programs(self)
        )
        if not takes and any(isinstance(part, RowSource) for part in parts):
            raise ValueError(
                "a RowSource must come without y, sample_weight, class_weight or numbers of steps, "
                "for a compiled model on TensorFlow or JAX and one device. Received: others. "
                "Try pieces of (rows, targets, weights)"
            )
        return takes

    def _validation(self, validation, batch_size) -> Callable[[Any], Logs] | None:
        """A function from the list of callbacks to the logs of a validation, or None."""
        if validation is None:
            return None
        parts = validation if isinstance(validation, tuple) else (validation,)
        names = dict(zip(("x", "y", "sample_weight"), (*parts, None, None), strict=False))
        if self._in_programs(names):
            rows = _chunks(**names, batch_size=batch_size)
            run = lambda callbacks: evaluate_rows(self, rows, verbose=0, callbacks=callbacks)  # noqa: E731
        else:
            options = {"batch_size": batch_size} if is_array(names["x"]) else {}
            self._check_float32(names["x"], names["y"])
            evaluate = functools.partial(super().evaluate, **names, **options, return_dict=True)
            run = plain_errors(self)(lambda callbacks: evaluate(callbacks=callbacks))
        return lambda callbacks: self._of_evaluation(run(callbacks))

    def _next_order_seed(self, known=None):
        """The next seed of an order: where it is known, the device is not asked."""
        with ONE_AT_A_TIME:
            state = self._order_generator.state
            seed = ops.convert_to_numpy(state) if known is None else known
            state.assign(following(seed))
            return seed.astype("int64")

    def reset_metrics(self) -> None:
        """Empties the metrics; Keras's own by arrays: each operation on a device takes its time."""
        for group in self.metrics:
            for metric in getattr(group, "metrics", None) or [group]:  # those of `compile`
                if type(metric).reset_state is not keras.metrics.Mean.reset_state:
                    metric.reset_state()
                    continue
                for variable in (metric.total, metric.count):
                    variable.assign(np.zeros((), variable.dtype))

    def _build_metrics(self, parts):
        """Makes the variables of the metrics, on one row: a program can only use what there is."""
        if self._metrics_built:
            return

        def build(*parts):
            x, y, weights = (None if part is None else part[:1] for part in parts)
            output = np.zeros(self.compute_output_shape((1, *parts[0].shape[1:])), "float32")
            target = x if y is None else y
            self.compute_metrics(x, target, ops.convert_to_tensor(output), weights)

        with keras.StatelessScope():  # what it does to the state is forgotten
            traced(build, *parts)
        self._metrics_built = True

    def _of_evaluation(self, logs):
        # What layers report is of training: elsewhere the metric is empty, and not 0.
        reported = {m.name for layer in autoencoder_layers(self) for m in layer.metrics}
        return {name: value for name, value in logs.items() if name not in reported}

    def _as_list(self, logs):
        """The metrics in Keras's order: the loss, then by name."""
        first = [metric.name for metric in self.metrics if metric.name in logs]
        values = [logs[name] for name in (*first, *sorted(set(logs) - set(first)))]
        return values[0] if len(values) == 1 else values


def _with_finite_loss(callbacks):
    """The callbacks of a fit on batches that nothing looks at before."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(FiniteLoss())
        return callbacks
    return [
        *(callbacks if isinstance(callbacks, list | tuple) else filter(None, [callbacks])),
        FiniteLoss(),
    ]


def _in_float16(layer):
    return getattr(layer, "compute_dtype", None) == "float16"


def _scheduled(optimizer):
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    return isinstance(inner.get_config().get("learning_rate"), dict)


def _chunks(x, y=None, sample_weight=None, **options):
    """Rows in memory or of a source, as the loop takes them."""
    if isinstance(x, RowSource):
        return SourceRows(x, **options)
    return Rows(x, y, sample_weight, **options)


def _split(given):
    """The parts to train on, and what to validate on, or None."""
    x, y, weights = parts = given["x"], given["y"], given["sample_weight"]
    share, validation = given["validation_split"], given["validation_data"]
    if validation is not None or not share:
        return parts, validation
    if isinstance(x, RowSource):
        raise ValueError(
            "validation_split must be 0 for a RowSource. "
            f"Received: validation_split={share}. Try validation_data with a source of its own"
        )
    first = math.floor(len(x) * (1 - share))
    if not 0 < first < len(x):
        raise ValueError(
            f"validation_split must leave rows for both. Received: validation_split={share} of "
            f"{len(x)} rows"
        )

    def part(rows):
        cut = [None if one is None else one[rows] for one in (x, None if y is x else y, weights)]
        return (cut[0], cut[0] if y is x else cut[1], cut[2])

    return part(slice(None, first)), part(slice(first, None))
