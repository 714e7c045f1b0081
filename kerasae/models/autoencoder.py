"""The one base model: rows in, the same rows out, in the user's own units."""

from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import keras
import numpy as np
from keras import ops

from kerasae.anomaly.calibration import AnomalyCalibration, row_mean
from kerasae.datasets.reading import by_piece
from kerasae.layers.base import autoencoder_layers, walk
from kerasae.layers.corruption import noise_level
from kerasae.layers.maps import anomaly_map
from kerasae.layers.priors import Prior
from kerasae.layers.scaling import (
    check_scaler,
    default_loss,
    row_shape_of,
    scale,
    scaler_state,
    target_of,
    unscale,
)
from kerasae.models.checks import Limits, fingerprint
from kerasae.models.losses import Likelihood, needs_unit_interval
from kerasae.models.padding import fill_padding, real_steps, step_weights
from kerasae.models.row_model import RowModel
from kerasae.models.scaled_outputs import gives_scaled, outputs_are_scaled, scaled_outputs
from kerasae.series.calibration import StepCalibration
from kerasae.validation import as_rows, check_count, is_table, names_of, unknown


class ModelOptions(TypedDict, total=False):
    """What every model takes besides its own arguments: those of `keras.Model`."""

    name: str | None
    trainable: bool


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(RowModel):
    r"""Learns to reproduce its input through a bottleneck, with the scaler inside.

    $$\hat x = s^{-1}(g(f(s(x)))), \quad
    L = \frac{1}{d} \lVert s(x) - s(\hat x) \rVert^2 + \text{penalties}$$

    with encoder f, decoder g and scaler s. Rows go in and come out in the user's units; loss and
    metrics are taken on the scaled values. The target is the clean input unless another is given,
    so that `fit(x)` trains. Everything of `keras.Model` works as it does there: callbacks,
    `jit_compile`, `steps_per_execution`, saving before the first `fit`.

    Args:
        encoder: Model from scaled rows, shape (batch, *input_shape), to codings.
        decoder: Model from codings to scaled rows.
        scaler: `RangeScaling` or `keras.layers.Normalization`, adapted, or
            `keras.layers.Rescaling`; None where the rows are scaled already.
        columns: Names of the columns, or None. A DataFrame given to `fit` sets them; from then on
            a DataFrame's columns are matched by name.
        loss: What `compile` takes where no loss is given: a name or a `keras.losses.Loss`; None for
            the scaler's own, or else mean squared error.
        mask_value: For rows (steps, channels): a step whose channels all hold this raw value is
            padding. It is neither in the loss nor in the score, recurrent layers skip it, others
            see zeros, and it is reconstructed as padding. None for no padding.
        **kwargs: Name and other arguments of `keras.Model`.

    Raises:
        ValueError: The decoder does not give back the shape that the encoder takes, or the scaler
            was not adapted.
        TypeError: The scaler has no inverse.

    Reference: Hinton and Salakhutdinov (2006), Reducing the dimensionality of data with neural
    networks.

    Example:
        >>> import numpy as np
        >>> encoder = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> decoder = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
        >>> model = Autoencoder(encoder, decoder)
        >>> model.compile()
        >>> history = model.fit(np.eye(8), verbose=0)
        >>> model.encode(np.eye(8)).shape, model.reconstruct(np.eye(8)).shape
        ((8, 2), (8, 8))
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        scaler: keras.layers.Layer | None = None,
        columns: Sequence[str] | None = None,
        loss: str | keras.losses.Loss | None = None,
        *,
        mask_value: float | None = None,
        **kwargs: Unpack[ModelOptions],
    ) -> None:
        super().__init__(**kwargs)
        if mask_value is not None and len(encoder.input_shape) != 3:
            raise ValueError(
                "mask_value must go with rows (steps, channels). "
                f"Received: mask_value={mask_value}, rows of shape {encoder.input_shape[1:]}"
            )
        if encoder.input_shape[1:] != decoder.output_shape[1:]:
            raise ValueError(
                "decoder must give back the shape that the encoder takes. Received: "
                f"{encoder.input_shape[1:]} in, {decoder.output_shape[1:]} out"
            )
        check_scaler(scaler, encoder.input_shape[1:])
        self.encoder = encoder
        self.decoder = decoder
        self.scaler = scaler
        columns = getattr(scaler, "columns", None) if columns is None else columns
        self.columns = None if columns is None else tuple(map(str, columns))
        self._default_loss = default_loss(scaler) if loss is None else loss
        self.mask_value = None if mask_value is None else float(mask_value)
        # Recurrent layers skip padding, which ends with them: codings have no steps.
        recurrent = any(isinstance(one, keras.layers.RNN) for one in walk(encoder))
        self._takes_mask = mask_value is not None and recurrent
        if self._takes_mask:
            encoder.supports_masking, encoder.compute_mask = True, _no_mask
        for layer in autoencoder_layers(encoder, decoder):
            layer.tie(encoder, decoder)
        self.anomaly = AnomalyCalibration(name="anomaly")
        self.steps = StepCalibration(name="steps")
        self.build((None, *self.row_shape))

    @property
    def row_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of one row, without the batch; of a table, of its codes."""
        return row_shape_of(self.scaler, self.encoder.input_shape[1:])

    def build(self, input_shape):
        """Nothing is left to build: encoder, decoder and scaler come built."""

    def call(self, inputs, training=False):
        if tuple(inputs.shape[1:]) != self.row_shape:
            raise ValueError(
                f"inputs must be rows of shape {self.row_shape}. "
                f"Received: rows of shape {tuple(inputs.shape[1:])}"
            )
        steps = real_steps(inputs, self.mask_value)
        scaled = fill_padding(scale(self.scaler, inputs), steps, 0)
        codings = self._encoded(scaled, steps, training)
        reconstruction = self.decoder(codings, training=training)
        if training:
            for layer in autoencoder_layers(self.encoder, self.decoder):
                term = layer.penalty(scaled, codings, reconstruction)
                if term is not None:
                    self.add_loss(term)
        if outputs_are_scaled():
            return reconstruction
        return fill_padding(unscale(self.scaler, reconstruction), steps, self.mask_value)

    def _encoded(self, scaled, steps, training=False):
        mask = {"mask": steps} if self._takes_mask else {}
        return ops.cast(self.encoder(scaled, training=training, **mask), "float32")

    def compute_output_shape(self, input_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the input."""
        return tuple(input_shape)

    def _codings(self, x):
        steps = real_steps(x, self.mask_value)
        return self._encoded(fill_padding(scale(self.scaler, x), steps, 0), steps)

    @property
    def _objective(self) -> str:
        """The metric that models are compared by: "mse", or "table_error" for tables."""
        own = getattr(self.scaler, "metric", None)
        return "mse" if own is None else own().name

    def _metrics_given(self, metrics):
        own = getattr(self.scaler, "metric", None)  # a table has no mean squared error
        return [own() if own is not None and one == "mse" else one for one in metrics]

    # Training ------------------------------------------------------------------------------------

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss on the scaled values, against the clean input where `y` is None."""
        if training:
            # Here and not in the layers' call: on JAX a metric can only be updated here.
            for layer in autoencoder_layers(self.encoder, self.decoder):
                layer.report()
            if self.schema is not None and not outputs_are_scaled():
                raise ValueError(
                    "a model of tables must train by the steps of Keras, as the most likely level "
                    f"has no gradient. Received: methods of {type(self).__name__}. Try add_loss"
                )
        steps = real_steps(x if y is None else y, self.mask_value)
        y, y_pred = self._scaled_pair(x, y, y_pred)
        if isinstance(self.loss, Likelihood):
            y = fill_padding(y, steps, float("nan"))  # which has no term
        elif steps is not None:
            real = ops.cast(steps, "float32")
            sample_weight = _step_weight(real / ops.maximum(ops.mean(real), 1e-6), sample_weight)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics on the scaled values, against the clean input where `y` is None."""
        steps = real_steps(x if y is None else y, self.mask_value)
        y, y_pred = self._scaled_pair(x, y, y_pred)
        if steps is not None:
            y = fill_padding(y, steps, y_pred)
            sample_weight = _step_weight(ops.cast(steps, "float32"), sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _scaled_pair(self, x, y, y_pred):
        if y is not None and None not in (shape := tuple(y.shape[1:])) and shape != self.row_shape:
            raise ValueError(self._no_rows("y", shape, "leaving labels out of the batches"))
        target = target_of(self.scaler, x if y is None else y)
        return target, y_pred if outputs_are_scaled() else scale(self.scaler, y_pred)

    def _scaled_limits(self) -> Limits:
        loss = self.loss if self.compiled else None
        if needs_unit_interval(loss):
            name = getattr(loss, "name", None) or getattr(loss, "__name__", loss)
            return 0.0, 1.0, f"scaled to [0, 1] for the loss {name}"
        return super()._scaled_limits()

    def _raw_limits(self, low, high):
        limits = super()._raw_limits(low, high)
        if self.mask_value is None:
            return limits
        return np.minimum(limits[0], self.mask_value), np.maximum(limits[1], self.mask_value)

    def _check_limits(self, x, bound, where):
        if self.mask_value is None:
            return super()._check_limits(x, bound, where)
        # Padding need not be a value that a step could have.
        real = (x != self.mask_value).any(axis=-1)
        if real.any():
            super()._check_limits(x[real], float("inf"), where)

    def _no_rows(self, where, shape, hint):
        return (
            f"{where} must be rows of shape {self.row_shape}, which the model is trained to give. "
            f"Received: targets of shape {shape}. Try {hint}"
        )

    def _checked_arguments(self, given: dict[str, Any], trains: bool = False) -> dict[str, Any]:
        if given.get("class_weight") is not None:
            raise ValueError(
                "class_weight must be None: rows have no classes. "
                f"Received: class_weight={given['class_weight']}. Try sample_weight"
            )
        return super()._checked_arguments(given, trains)

    def _checked_targets(self, y: Any, rows: Any, where: str) -> Any:
        if y is None:
            return None
        if getattr(y, "ndim", 2) < 2 and names_of(y) is None:
            raise ValueError(self._no_rows(where, (), "leaving the labels out"))
        targets = self._checked_rows(y, where)
        if len(targets) != len(rows):
            raise ValueError(
                f"{where} must have one row for each row of x. "
                f"Received: {len(targets)} for {len(rows)} rows"
            )
        return targets

    def _target_check(self, where: str) -> Any:
        return self._row_check(where)

    # Use -----------------------------------------------------------------------------------------

    @property
    def _endpoints(self):
        """Functions from a tensor of rows to a dict of named outputs, by name.

        The methods below stream them over batches, and an export serves them under these names.
        Each treats its rows one by one, without randomness.
        """
        endpoints = {**self._uncalibrated_endpoints}
        if self._is_calibrated():
            endpoints["anomaly_score"] = self._scores
            if self.anomaly.parts is not None:
                endpoints["explain"] = self._explanations
        return endpoints

    def _scores(self, x):
        """The parts of an anomaly score of a tensor of rows, by name."""
        parts = self.anomaly.parts
        if parts is None:
            return self.anomaly(self._errors(x), self._codings(x))
        scaled, residuals = self._residuals(x, parts.levels)
        # At the lowest level, which is that of a reconstruction.
        errors = self._by_column(ops.square(residuals[:, 0]))
        return self.anomaly(errors, None, residuals, scaled)

    def _explanations(self, x):
        """What each column of a tensor of rows adds to its score, and what was to be expected."""
        parts = self.anomaly.parts
        scaled, residuals = self._residuals(x, parts.levels)
        within, between = parts.both(residuals, scaled)
        return {
            "anomaly_score": self.anomaly.score(None, None, residuals, scaled),
            "within": within,
            "between": between,
            "contributions": self._by_column(parts.contributions(residuals, scaled)),
            # Of the highest level, where least of a value is taken for granted.
            "expected": unscale(self.scaler, scaled + residuals[:, -1]),
        }

    def _residuals(self, x, levels):
        """Rows, scaled, and reconstruction less row at each level of noise, (batch, L, ...)."""
        scaled, outputs = scale(self.scaler, x), []
        for level in levels:
            with noise_level(None if np.isnan(level) else float(level)):
                outputs.append(self._scaled_output(x))
        residuals = ops.stack([output - scaled for output in outputs], axis=1)
        if hasattr(self.scaler, "observed"):
            residuals = residuals * ops.expand_dims(self.scaler.observed(x), 1)
        return scaled, residuals

    def _by_column(self, values):
        """Numbers of scaled values, summed to those of a table's columns."""
        by_column = getattr(self.scaler, "by_column", None)
        return values if by_column is None else by_column(values)

    @property
    def _uncalibrated_endpoints(self):
        maps = {"anomaly_map": lambda x: {"anomaly_map": anomaly_map(self._errors(x))}}
        return {
            "encode": lambda x: {"codings": self._codings(x)},
            "reconstruct": lambda x: {"reconstruction": self(x)},
            "reconstruction_error": lambda x: {"reconstruction_error": row_mean(self._errors(x))},
            **(maps if len(self.row_shape) == 3 else {}),
        }

    def _errors(self, x):
        output = self._scaled_output(x)
        if self.schema is not None:
            return self.scaler.errors(x, output)
        errors = ops.square(scale(self.scaler, x) - output)
        if self.mask_value is None:
            return errors
        # Weighed so that the mean over a row is that over its real steps.
        steps = real_steps(x, self.mask_value)
        return fill_padding(errors * ops.expand_dims(step_weights(steps), -1), steps, 0)

    def _scaled_output(self, x):
        # Rows that come back in the user's units have lost digits to float32.
        scaled = gives_scaled(self) or self.schema is not None
        output = scaled_outputs(self.__call__)(x) if scaled else self(x)
        return output if scaled else scale(self.scaler, output)

    @by_piece
    def encode(
        self,
        x: Any,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
        output: str = "array",
    ) -> Any:
        """Codings of rows.

        Args:
            x: Rows in the user's units, shape (rows, *row_shape), a dataset of batches, or a
                `RowSource`, of which the codings of each piece are given in turn.
            batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
            verbose: 1, or "auto", for a progress bar.
            output: "array", or "table" for one of the library of `x`, with its index.

        Returns:
            float32 array of shape (rows, codings), or a table with columns `codings_1` and so on.

        Raises:
            ValueError: `output` is unknown, or x no table.
        """
        if output not in ("array", "table"):
            raise ValueError(unknown("output", output, ("array", "table")))
        codings = self._endpoint("encode", x, batch_size, verbose)
        if output == "array":
            return codings
        if self.schema is None or not is_table(x):
            raise ValueError(
                'output must be "array" for rows without names, or a model without a schema. '
                f"Received: output={output!r}"
            )
        return self.schema.numbers(codings.reshape(len(codings), -1), "codings", like=x)

    @by_piece
    def reconstruct(self, x: Any, *, batch_size: int | None = None, verbose: int | str = 0) -> Any:
        """Reconstructions of rows.

        Args:
            x: Rows in the user's units, shape (rows, *row_shape), a dataset of batches, or a
                `RowSource`, of which the reconstructions of each piece are given in turn.
            batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            float32 array of shape (rows, *row_shape), in the user's units; of a model with a
            `schema`, for a table, a table of the same library, dtypes and index, without missing
            cells.
        """
        rows = self._checked_rows(x, "x")
        found = self._streams.run(
            "predict", self.__call__, rows, batch_size=batch_size, verbose=verbose
        )
        named = self.schema is not None and is_table(x)
        return self.schema.table(found, like=x) if named else found

    def decode(self, codings: Any, *, batch_size: int | None = None, verbose: int | str = 0) -> Any:
        """Rows in the user's units from codings.

        Args:
            codings: Array of shape (rows, codings).
            batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            float32 array of shape (rows, *row_shape); a table where the model has a `schema`.
        """
        codings = as_rows(codings, self.decoder.input_shape[1:], where="codings")
        rows = self._streams.run(
            "decode", self._reconstruction_of, codings, batch_size=batch_size, verbose=verbose
        )
        return rows if self.schema is None else self.schema.table(rows)

    def _reconstruction_of(self, codings):
        """Rows in the user's units from a tensor of codings, for compiled functions."""
        return unscale(self.scaler, self.decoder(codings))

    @property
    def prior(self) -> Prior | None:
        """The `Prior` of the codings, or None where they have none."""
        priors = [layer.prior for layer in autoencoder_layers(self.encoder, self.decoder)]
        return next((prior for prior in reversed(priors) if prior is not None), None)

    def generate(
        self,
        n: int,
        seed: int | None = None,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
    ) -> Any:
        """New rows, decoded from draws of the prior of the codings.

        Args:
            n: How many, at least 1.
            seed: Integer, or None for a random one; the same seed gives the same rows.
            batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            float32 array of shape (n, *row_shape), in the user's units; a table where the model has
            a `schema`.

        Raises:
            ValueError: The codings have no prior.
        """
        check_count("n", n)
        if self.prior is None:
            raise ValueError(
                "the model must be a variational or an adversarial autoencoder to generate rows. "
                f"Received: {self.name}, without a prior of its codings. "
                "Try decode for codings of your own"
            )
        codings = self.prior.sample(int(n), seed)
        return self.decode(codings, batch_size=batch_size, verbose=verbose)

    @by_piece
    def reconstruction_error(
        self,
        x: Any,
        per_feature: bool = False,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
    ) -> np.ndarray:
        """Squared error on the scaled values.

        Args:
            x: Rows in the user's units, shape (rows, *row_shape), a dataset of batches, or a
                `RowSource`, of which the errors of each piece are given in turn.
            per_feature: Whether to return each feature's squared error instead of their mean.
            batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
            verbose: 1, or "auto", for a progress bar.

        Returns:
            float32 array of shape (rows,), or (rows, *row_shape) if `per_feature`.
        """
        if per_feature:
            rows = self._checked_rows(x, "x")
            return self._streams.run(
                "errors", self._errors, rows, batch_size=batch_size, verbose=verbose
            )
        return self._endpoint("reconstruction_error", x, batch_size, verbose)

    def _endpoint(self, name, x, batch_size, verbose):
        rows = self._checked_rows(x, "x")
        options = {"batch_size": batch_size, "verbose": verbose}
        function = self._uncalibrated_endpoints[name]
        (output,) = self._streams.run(name, function, rows, **options).values()
        return output

    def _use_calibration(self, calibration: AnomalyCalibration | None = None) -> None:
        """Takes over what an `AnomalyCalibration` knows of normal rows; None forgets it."""
        if calibration is None:
            self.anomaly.clear()
            self.steps.clear()
        else:
            state: dict[str, Any] = {}
            calibration.save_own_variables(state)
            self.anomaly.load_own_variables({**state, "model_state": self._state()})
        self._streams.forget("anomaly_score")

    def _is_calibrated(self) -> bool:
        """Whether there is a calibration; one of other weights or another scaler is cleared."""
        if not self.anomaly.fitted:
            return False
        state = self._state()
        if self.anomaly.model_state not in (None, state):
            self._use_calibration()
            return False
        self.anomaly.model_state = state  # of files of former versions, which have none
        return True

    def _state(self):
        return fingerprint([*self.weights, *scaler_state(self.scaler)])

    def get_config(self) -> dict[str, Any]:
        """The three parts, the column names and the loss."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "scaler": self.scaler}
        config = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        columns = None if self.columns is None else list(self.columns)
        loss = keras.saving.serialize_keras_object(self._default_loss)
        padding = {} if self.mask_value is None else {"mask_value": self.mask_value}
        return {"name": self.name, "columns": columns, "loss": loss, **padding, **config}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> "Autoencoder":
        """Makes the model that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "decoder", "scaler")
        }
        loss = config.get("loss", "mse")
        if isinstance(loss, dict):
            parts["loss"] = keras.saving.deserialize_keras_object(loss, custom_objects)
        return cls(**{**config, **parts})


def _no_mask(inputs, previous_mask):
    return None


def _step_weight(steps, sample_weight):
    """Weights of steps, (batch, steps), times those of rows or of steps."""
    if sample_weight is None:
        return steps
    weight = ops.cast(sample_weight, "float32")
    return steps * (weight if len(weight.shape) == 2 else ops.reshape(weight, (-1, 1)))
