"""The one base model: rows in, the same rows out, in the user's own units."""

import keras
from keras import ops

from kerasae.anomaly.calibration import AnomalyCalibration, row_mean
from kerasae.layers.base import autoencoder_layers
from kerasae.layers.scaling import check_scaler, scale, unscale
from kerasae.models.checked import CheckedModel
from kerasae.models.inference import Streams
from kerasae.validation import as_rows, check_count


@keras.saving.register_keras_serializable("kerasae")
class Autoencoder(CheckedModel):
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
        loss: What `compile` takes where no loss is given: a name or a `keras.losses.Loss`.
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

    def __init__(self, encoder, decoder, scaler=None, columns=None, loss="mse", **kwargs):
        # float32 under every dtype policy; the layers inside follow the policy themselves.
        super().__init__(**{**kwargs, "dtype": "float32"})
        if encoder.input_shape[1:] != decoder.output_shape[1:]:
            raise ValueError(
                "The decoder must give back the shape that the encoder takes. Received: "
                f"{encoder.input_shape[1:]} in, {decoder.output_shape[1:]} out"
            )
        check_scaler(scaler, encoder.input_shape[1:])
        self.encoder = encoder
        self.decoder = decoder
        self.scaler = scaler
        self.columns = None if columns is None else tuple(map(str, columns))
        self._default_loss = loss
        for layer in autoencoder_layers(encoder, decoder):
            layer.tie(encoder, decoder)
        self.anomaly = AnomalyCalibration(name="anomaly")
        self._streams = Streams(self)
        self.build(encoder.input_shape)

    @property
    def row_shape(self):
        """Shape of one row, without the batch."""
        return tuple(self.encoder.input_shape[1:])

    def build(self, input_shape):
        """Nothing is left to build: encoder, decoder and scaler come built."""

    def call(self, inputs, training=False):
        if tuple(inputs.shape[1:]) != self.row_shape:
            raise ValueError(
                f"rows of shape {tuple(inputs.shape[1:])} (the model's input); expected "
                f"{self.row_shape}"
            )
        scaled = scale(self.scaler, inputs)
        codings = ops.cast(self.encoder(scaled, training=training), "float32")
        reconstruction = self.decoder(codings, training=training)
        if training:
            for layer in autoencoder_layers(self.encoder, self.decoder):
                term = layer.penalty(scaled, codings, reconstruction)
                if term is not None:
                    self.add_loss(term)
        return unscale(self.scaler, reconstruction)

    def _codings(self, x):
        return ops.cast(self.encoder(scale(self.scaler, x)), "float32")

    # Training ------------------------------------------------------------------------------------

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The loss on the scaled values, against the clean input where `y` is None."""
        if training:
            # Here and not in the layers' call: on JAX a metric can only be updated here.
            for layer in autoencoder_layers(self.encoder, self.decoder):
                layer.report()
        y, y_pred = self._scaled_pair(x, y, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics on the scaled values, against the clean input where `y` is None."""
        y, y_pred = self._scaled_pair(x, y, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _scaled_pair(self, x, y, y_pred):
        return scale(self.scaler, x if y is None else y), scale(self.scaler, y_pred)

    # Use -----------------------------------------------------------------------------------------

    @property
    def _endpoints(self):
        """What the model answers: name to function from a tensor to a dict of named outputs.

        The methods below stream them over batches, and an export serves them under these names.
        Each treats its rows one by one, without randomness.
        """
        endpoints = {
            "encode": lambda x: {"codings": self._codings(x)},
            "reconstruct": lambda x: {"reconstruction": self(x)},
            "reconstruction_error": lambda x: {"reconstruction_error": row_mean(self._errors(x))},
        }
        if self.anomaly.fitted:
            endpoints["anomaly_score"] = lambda x: self.anomaly(self._errors(x), self._codings(x))
        return endpoints

    def _errors(self, x):
        return ops.square(ops.subtract(*self._scaled_pair(x, None, self(x))))

    def encode(self, x, **kwargs):
        """Codings of rows.

        Args:
            x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches.
            **kwargs: `batch_size` and `verbose`, as in `Streams.run`.

        Returns:
            float32 array of shape (rows, codings).
        """
        return self._answer("encode", x, **kwargs)

    def reconstruct(self, x, **kwargs):
        """Reconstructions of rows, in the user's units; arguments and shape as in `predict`."""
        return self._streams.run("predict", self.__call__, self._checked_rows(x, "x"), **kwargs)

    def decode(self, codings, **kwargs):
        """Rows in the user's units from codings.

        Args:
            codings: Array of shape (rows, codings).
            **kwargs: `batch_size` and `verbose`, as in `Streams.run`.

        Returns:
            float32 array of shape (rows, *row_shape).
        """
        codings = as_rows(codings, self.decoder.input_shape[1:], where="codings")
        return self._streams.run("decode", self._reconstruction_of, codings, **kwargs)

    def _reconstruction_of(self, codings):
        """Rows in the user's units from a tensor of codings, for compiled functions."""
        return unscale(self.scaler, self.decoder(codings))

    @property
    def prior(self):
        """The `Prior` of the codings, or None where they have none."""
        priors = [layer.prior for layer in autoencoder_layers(self.encoder, self.decoder)]
        return next((prior for prior in reversed(priors) if prior is not None), None)

    def generate(self, n, seed=None, **kwargs):
        """New rows, decoded from draws of the prior of the codings.

        Args:
            n: How many, at least 1.
            seed: Integer, or None for a random one; the same seed gives the same rows.
            **kwargs: `batch_size` and `verbose`, as in `Streams.run`.

        Returns:
            float32 array of shape (n, *row_shape), in the user's units.

        Raises:
            ValueError: The codings have no prior.
        """
        check_count("n", n)
        if self.prior is None:
            raise ValueError(
                f"no prior of the codings ({self.name}); expected a variational or an adversarial "
                "autoencoder to generate rows; try decode for codings of your own"
            )
        return self.decode(self.prior.sample(int(n), seed), **kwargs)

    def reconstruction_error(self, x, per_feature=False, **kwargs):
        """Squared error on the scaled values.

        Args:
            x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches.
            per_feature: Whether to answer each feature's squared error instead of their mean.
            **kwargs: `batch_size` and `verbose`, as in `Streams.run`.

        Returns:
            float32 array of shape (rows,), or (rows, *row_shape) if `per_feature`.
        """
        if per_feature:
            return self._streams.run("errors", self._errors, self._checked_rows(x, "x"), **kwargs)
        return self._answer("reconstruction_error", x, **kwargs)

    def _answer(self, endpoint, x, **kwargs):
        rows = self._checked_rows(x, "x")
        (output,) = self._streams.run(endpoint, self._endpoints[endpoint], rows, **kwargs).values()
        return output

    def _use_calibration(self, calibration=None):
        """Takes over what an `AnomalyCalibration` knows of normal rows; None forgets it."""
        state = {}
        if calibration is not None:
            calibration.save_own_variables(state)
        self.anomaly.load_own_variables(state)
        self._streams.forget("anomaly_score")

    def get_config(self):
        """The three parts, the column names and the loss."""
        parts = {"encoder": self.encoder, "decoder": self.decoder, "scaler": self.scaler}
        config = {name: keras.saving.serialize_keras_object(part) for name, part in parts.items()}
        columns = None if self.columns is None else list(self.columns)
        loss = keras.saving.serialize_keras_object(self._default_loss)
        return {"name": self.name, "columns": columns, "loss": loss, **config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Makes the model that `get_config` described."""
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("encoder", "decoder", "scaler")
        }
        loss = config.get("loss", "mse")
        if isinstance(loss, dict):
            parts["loss"] = keras.saving.deserialize_keras_object(loss, custom_objects)
        return cls(**{**config, **parts})
