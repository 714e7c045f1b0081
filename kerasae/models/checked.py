"""A Keras model that looks at its rows before it trains on them."""

import functools
import inspect
import math

import keras
import numpy as np
from keras import ops

from kerasae import validation
from kerasae.layers.scaling import scale
from kerasae.models.loops import Loops
from kerasae.models.resident import in_callbacks, own_functions, resident_evaluate, resident_fit


def _scheduled(optimizer):
    inner = getattr(optimizer, "inner_optimizer", optimizer)  # of a LossScaleOptimizer
    return isinstance(inner.get_config().get("learning_rate"), dict)


class CheckedModel(keras.Model):
    """Keras's `compile`, `fit`, `evaluate` and `predict` behind a validation.

    Keras trains on NaN, infinite and empty data and takes `batch_size=0` without a word. A subclass
    has `row_shape`, `scaler`, `columns`, `streams`, `default_loss` and `use_calibration`. Datasets
    and generators pass unchecked.
    """

    _loops = None  # until compiled

    def compile(
        self,
        optimizer="adam",
        loss=None,
        *,
        metrics=None,
        weighted_metrics=("mse",),
        steps_per_execution=None,
        jit_compile="auto",
        **kwargs,
    ):
        """Keras's `compile`, with defaults that are right for an autoencoder.

        Args:
            optimizer: Name or optimizer.
            loss: Loss between scaled rows; by default the model's own, for which it was built.
            metrics: Metrics without sample weights.
            weighted_metrics: Metrics with sample weights; `mse` is reported by `evaluate` and is
                what to compare models by, as the loss may contain penalties.
            steps_per_execution: Steps between two calls of the callbacks for batches; by default
                a tenth of an epoch and no fewer than 50 for rows in memory, and 1 for others, and
                where a callback that is not of Keras or kerasae looks at the batches.
            jit_compile: Whether XLA compiles the steps; by default, on TensorFlow and a processor,
                where `fit` takes a thousand steps or more and no layer is slow in it.
            **kwargs: Other arguments of `keras.Model.compile`.

        Raises:
            ValueError: The learning rate is not a positive number; a schedule's may be 0.
        """
        optimizer = keras.optimizers.get(optimizer)
        rate = float(ops.convert_to_numpy(optimizer.learning_rate))
        if not (0 < rate < math.inf or (rate == 0 and _scheduled(optimizer))):
            raise ValueError(
                f"{rate} (learning rate); expected a positive, finite number; try 0.001"
            )
        with own_functions(self):
            super().compile(
                optimizer,
                self._default_loss if loss is None else loss,
                metrics=metrics,
                weighted_metrics=list(weighted_metrics or ()),
                steps_per_execution=steps_per_execution or 1,
                jit_compile=jit_compile,
                **kwargs,
            )
        self._loops = self._loops or Loops(self)
        self._loops.choose(steps_per_execution is None, jit_compile == "auto")
        self._streams.forget()

    def get_compile_config(self):
        """What `compile` was given; what it chose is chosen again."""
        config = super().get_compile_config()
        if config and self._loops.automatic_steps:
            config["steps_per_execution"] = None
        if config and self._loops.automatic_jit:
            config["jit_compile"] = "auto"
        return config

    def compile_from_config(self, config):
        """Restores optimizer, loss and metrics of a saved model."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    @functools.wraps(keras.Model.load_weights)
    def load_weights(self, *args, **kwargs):
        """Keras's `load_weights`, after which functions are compiled with the loaded scaler."""
        super().load_weights(*args, **kwargs)
        self._forget_functions()

    @functools.wraps(keras.Model.quantize)
    def quantize(self, *args, **kwargs):
        """Keras's `quantize`, after which functions are compiled with the new layers."""
        super().quantize(*args, **kwargs)
        self._forget_functions()

    def _forget_functions(self):
        self._streams.forget()
        if self.compiled:
            with own_functions(self):
                self.test_function = self.predict_function = None
            self.make_train_function(force=True)  # a `fit` may be about to call it

    @functools.wraps(keras.Model.fit)
    def fit(self, *args, **kwargs):
        """Keras's `fit`, with the rows checked first; `fit(x)` alone trains."""
        arguments = self._checked(keras.Model.fit, args, kwargs)
        # What normal rows scored under the weights of before says nothing from here on.
        self._use_calibration()
        with resident_fit(self, arguments) as fed:
            return super().fit(**fed)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args, **kwargs):
        """Keras's `evaluate`, with the rows checked first; `evaluate(x)` alone serves."""
        arguments = self._checked(keras.Model.evaluate, args, kwargs)
        with resident_evaluate(self, arguments) as fed:
            answer = super().evaluate(**fed)
        if not isinstance(answer, dict):
            return answer
        # What layers report is of training: elsewhere the metric is empty, and no 0.
        own = {metric.name for metric in self._get_own_metrics()}
        reported = {metric.name for metric in self.metrics} - own
        return {name: value for name, value in answer.items() if name not in reported}

    @functools.wraps(keras.Model.predict)
    def predict(self, *args, **kwargs):
        """Keras's `predict`, with the rows checked first; rows in memory take 256 a step."""
        arguments = self._checked(keras.Model.predict, args, kwargs)
        given = {name: value for name, value in arguments.items() if value is not None}
        if (
            validation.is_array(arguments["x"])
            and given.keys() <= {"x", "batch_size", "verbose"}
            and type(self).predict_step is keras.Model.predict_step
            and not self.run_eagerly
        ):
            return self._streams.run("predict", self.__call__, **{"verbose": "auto", **given})
        self._check_weights()
        with own_functions(self):
            return super().predict(**arguments)

    def make_train_function(self, force=False):
        """Keras's `make_train_function`; forced, it makes what stands in its place anew, too."""
        if force and self._loops:
            self._loops.forget()
        with own_functions(self):
            return super().make_train_function(force)

    train_on_batch = in_callbacks(keras.Model.train_on_batch)
    test_on_batch = in_callbacks(keras.Model.test_on_batch)
    predict_on_batch = in_callbacks(keras.Model.predict_on_batch)

    def _check_weights(self):
        """Refuses a broken model: nothing is scored by it or exported from it.

        Raises:
            ValueError: Weights are NaN or infinite.
        """
        for weight in self.weights:
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                raise ValueError(
                    f"NaN or infinite weights ({weight.path}); expected a sound model; try "
                    "training again with a lower learning rate"
                )

    def _checked(self, method, args, kwargs):
        bound = inspect.signature(method).bind(self, *args, **kwargs).arguments
        bound.pop("self")
        bound.update(bound.pop("kwargs", {}))
        for name in ("batch_size", "epochs", "validation_batch_size"):
            validation.check_count(name, bound.get(name))
            if bound.get(name) is not None:
                bound[name] = int(bound[name])
        columns = self.columns
        if method is keras.Model.fit and hasattr(bound.get("x"), "iloc") and columns is None:
            self.columns = tuple(map(str, bound["x"].columns))
        try:
            self._check_rows(bound)
        except Exception:
            self.columns = columns  # of rows that are refused, nothing stays
            raise
        if method is keras.Model.predict:
            del bound["y"]
        return bound

    def _check_rows(self, bound):
        x, y = bound.get("x"), bound.get("y")
        bound["x"] = self._checked_rows(x, "x")
        # Keras drops sample weights that come without targets.
        same = y is x or (y is None and bound.get("sample_weight") is not None)
        bound["y"] = bound["x"] if same else self._checked_rows(y, "y")
        validation = bound.get("validation_data")
        if isinstance(validation, tuple):
            x, y, *weights = (*validation, None)[: max(2, len(validation))]
            rows = self._checked_rows(x, "validation_data")
            y = rows if y is None or y is x else self._checked_rows(y, "validation_data")
            bound["validation_data"] = (rows, y, *weights)
        elif validation is not None:
            bound["validation_data"] = self._checked_rows(validation, "validation_data")

    def _scaled_magnitudes(self, rows):
        return np.abs(ops.convert_to_numpy(scale(self.scaler, rows))).max(axis=0)

    def _check_probabilities(self, x, where):
        low, high = ops.convert_to_numpy(scale(self.scaler, validation.extremes(x)))
        if low.min() < 0 or high.max() > 1:
            loss = getattr(self.loss, "name", self.loss)
            raise ValueError(
                f"scaled values from {low.min():.4g} to {high.max():.4g} ({where}); expected "
                f"[0, 1] for the loss {loss}; try a Rescaling scaler, or mse"
            )

    def _checked_rows(self, x, where):
        """Checked rows for an array, list or DataFrame; anything else as it came.

        Args:
            x: Rows in the user's units, or a dataset, or None.
            where: What the messages call `x`.

        Returns:
            An array of shape (rows, *row_shape), or `x` itself.

        Raises:
            ValueError: What `as_rows` refuses; values that overflow float32 when squared.
            TypeError: Cells that are not real numbers.
        """
        if x is None or not validation.is_array(x):
            return x
        x, bound = validation.bounded_rows(x, self.row_shape, self.columns, where)
        if self.compiled and "crossentropy" in str(getattr(self.loss, "name", self.loss)):
            self._check_probabilities(x, where)
        limit = math.sqrt(validation.FLOAT32_MAX)
        widest = np.stack([np.full(x.shape[1:], edge) for edge in (-bound, bound)])
        if not (self._scaled_magnitudes(widest) <= limit).all():
            scaled = self._scaled_magnitudes(validation.extremes(x))
            if np.isnan(scaled).any():
                raise ValueError("the scaler is not adapted; expected scaler.adapt(x_train) before")
            if (too_large := scaled > limit).any():
                raise ValueError(
                    validation.overflow(np.argwhere(too_large)[0], self.columns, where)
                )
        return x
