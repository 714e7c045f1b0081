"""Measures of generative models: interpolations, bounds and likelihoods in nats."""

import math
import random
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.layers.gaussian_codings import GaussianCodings, gaussian_kl
from kerasae.layers.scaling import scale, target_of
from kerasae.models import Autoencoder
from kerasae.models.losses import Likelihood
from kerasae.validation import bounded_rows, check_count, names_of


def interpolate(model: Autoencoder, start: Any, end: Any, steps: int = 8) -> np.ndarray:
    r"""Rows along the straight line between the codings of two rows.

    $$x_t = g((1 - t) f(x_0) + t f(x_1)), \quad 0 \le t \le 1$$

    Args:
        model: An `Autoencoder`.
        start: One row in the user's units, shape row_shape.
        end: Another.
        steps: How many rows, both ends included, at least 2.

    Returns:
        float32 array of shape (steps, *row_shape), in the user's units; the first and the last are
        the reconstructions of the two rows.

    Raises:
        ValueError: `steps` is not a whole number of at least 2, or the rows do not fit the model.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes.

    Example:
        >>> import kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> interpolate(model, np.zeros(8), np.ones(8), steps=3).shape
        (3, 8)
    """
    check_count("steps", steps)
    if steps < 2:
        raise ValueError(f"steps must be at least 2. Received: steps={steps}")
    first, last = (model.encode(_one_row(row))[0] for row in (start, end))
    shares = np.linspace(0, 1, int(steps), dtype="float32").reshape(-1, *(1,) * first.ndim)
    return model.decode((1 - shares) * first + shares * last)


def _one_row(row):
    """One row as rows: a Series is matched by name, as the table is that it comes from."""
    if hasattr(row, "iloc") and getattr(row, "ndim", 0) == 1:
        return row.to_frame().T
    return row if names_of(row) is not None else np.ma.asarray(row)[None]


def evidence_lower_bound(
    model: Autoencoder, x: Any, samples: int = 1, seed: int | None = 0, batch_size: int = 256
) -> np.ndarray:
    r"""A lower bound on the log-likelihood of each row, in nats.

    $$\mathrm{ELBO}(x) = E_{q(h|x)} \log p(x|h) - KL(q(h|x) \| p(h))$$

    with the expectation over `samples` draws and the divergence in closed form.

    Args:
        model: A variational autoencoder.
        x: Rows in the user's units, shape (rows, *row_shape).
        samples: Draws a row, at least 1.
        seed: Integer, or None for a random one; the same seed gives the same draws.
        batch_size: Rows a step; `samples` draws of each are in memory at once.

    Returns:
        float32 array of shape (rows,).

    Raises:
        ValueError: The model is not a variational autoencoder, or the rows do not fit it.

    Reference: Kingma and Welling (2014), Auto-encoding variational Bayes, equation 3.

    Example:
        >>> import kerasae
        >>> model = kerasae.variational_autoencoder((8,), (2,))
        >>> evidence_lower_bound(model, np.eye(8)).shape
        (8,)
    """

    def bound(log_joint, log_posterior, divergence):
        likelihood, _ = log_joint
        return ops.mean(likelihood, axis=0) - divergence

    settings = {"samples": samples, "seed": seed, "batch_size": batch_size}
    return _over_draws(model, x, "bound", bound, **settings)


def log_likelihood(
    model: Autoencoder, x: Any, samples: int = 100, seed: int | None = 0, batch_size: int = 64
) -> np.ndarray:
    r"""Importance-weighted estimate of the log-likelihood of each row, in nats.

    $$\log p(x) \approx \log \frac{1}{K} \sum_{k=1}^{K} \frac{p(x|h_k) p(h_k)}{q(h_k|x)},
    \quad h_k \sim q(h|x)$$

    In expectation it is a lower bound that rises towards log p(x) with K, the `samples`.

    Args:
        model: A variational autoencoder.
        x: Rows in the user's units, shape (rows, *row_shape).
        samples: Draws a row, at least 1.
        seed: Integer, or None for a random one; the same seed gives the same draws.
        batch_size: Rows a step; `samples` draws of each are in memory at once.

    Returns:
        float32 array of shape (rows,).

    Raises:
        ValueError: The model is not a variational autoencoder, or the rows do not fit it.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.

    Example:
        >>> import kerasae
        >>> model = kerasae.variational_autoencoder((8,), (2,))
        >>> log_likelihood(model, np.eye(8), samples=5).shape
        (8,)
    """

    def weighted(log_joint, log_posterior, divergence):
        likelihood, prior = log_joint
        return ops.logsumexp(likelihood + prior - log_posterior, axis=0) - math.log(samples)

    settings = {"samples": samples, "seed": seed, "batch_size": batch_size}
    return _over_draws(model, x, "likelihood", weighted, **settings)


def _over_draws(model, x, name, estimate, *, samples, seed, batch_size):
    check_count("samples", samples)
    samples = int(samples)
    layer = _gaussian_codings(model)
    before = model.encoder.layers[: model.encoder.layers.index(layer)]

    def of_rows(x, seed):
        hidden = scale(model.scaler, x)
        for part in before:
            hidden = part(hidden)
        mean, log_variance = layer.distribution(hidden)
        shape = (samples, ops.shape(mean)[0], layer.units)
        noise = keras.random.normal(shape, dtype="float32", seed=seed)
        codings = mean + ops.exp(0.5 * log_variance) * noise
        decoded = model.decoder(ops.reshape(codings, (-1, layer.units)))
        y = target_of(model.scaler, x)
        target = ops.tile(y, (samples, *(1,) * (len(y.shape) - 1)))
        likelihood = ops.reshape(-model._default_loss.call(target, decoded), (samples, -1))
        prior = _log_normal(codings)
        posterior = _log_normal(noise) - 0.5 * ops.sum(log_variance, axis=-1)
        return estimate((likelihood, prior), posterior, gaussian_kl(mean, log_variance))

    rows = model._checked_rows(x, "x")
    if seed is None:
        seed = random.getrandbits(31)  # `keras.utils.set_random_seed` sets it, as for layers
    return model._streams.run(f"{name} {samples}", of_rows, rows, batch_size=batch_size, seed=seed)


def _log_normal(values):
    return -0.5 * ops.sum(ops.square(values) + math.log(2 * math.pi), axis=-1)


def _gaussian_codings(model):
    layers = [layer for layer in model.encoder.layers if isinstance(layer, GaussianCodings)]
    if not layers or not isinstance(model._default_loss, Likelihood):
        raise ValueError(
            "the model must have GaussianCodings and a likelihood as its loss. "
            f"Received: {model.name}. Try variational_autoencoder"
        )
    return layers[0]


def parzen_log_likelihood(
    samples: np.ndarray, x: np.ndarray, stddev: float, batch_size: int = 100
) -> np.ndarray:
    r"""Log-likelihood of rows under a Parzen window around generated ones, in nats.

    $$\log p(x) = \log \frac{1}{n} \sum_{i=1}^{n} N(x; s_i, \mathtt{stddev}^2 I)$$

    A poor measure of a model in many dimensions (Theis et al., 2016), kept for comparison with the
    papers that report it.

    Args:
        samples: Generated rows, shape (n, ...).
        x: Rows to judge, shape (rows, ...).
        stddev: Width of the window, above 0; chosen on rows that are not x.
        batch_size: Rows of x a step.

    Returns:
        float64 array of shape (rows,).

    Raises:
        ValueError: `stddev` is not above 0, `batch_size` is not a whole number of at least 1, or
            the rows have different shapes.

    Reference: Breuleux, Bengio and Vincent (2011), Quickly generating representative samples from
    an RBM-derived process; Theis, van den Oord and Bethge (2016), A note on the evaluation of
    generative models.

    Example:
        >>> round(float(parzen_log_likelihood(np.zeros((5, 2)), np.zeros((1, 2)), 1.0)[0]), 3)
        -1.838
    """
    if not 0 < stddev < math.inf:
        raise ValueError(f"stddev must be finite and above 0. Received: stddev={stddev}")
    check_count("batch_size", batch_size)
    columns = names_of(samples)
    samples, x = (
        bounded_rows(rows, columns=columns, where=where, wide=True)[0].astype("float64")
        for rows, where in ((samples, "samples"), (x, "x"))
    )
    samples, x = (rows.reshape(len(rows), -1) for rows in (samples, x))
    if samples.shape[1] != x.shape[1]:
        raise ValueError(
            "samples and x must have rows of the same size. "
            f"Received: {samples.shape[1]} values a row in samples, {x.shape[1]} in x"
        )
    norms = np.square(samples).sum(axis=1)
    results = []
    for rows in np.array_split(x, max(1, math.ceil(len(x) / batch_size))):
        distances = np.square(rows).sum(axis=1)[:, None] - 2 * rows @ samples.T + norms
        exponents = -distances / (2 * stddev**2)
        highest = exponents.max(axis=1, keepdims=True)
        results.append(highest[:, 0] + np.log(np.exp(exponents - highest).mean(axis=1)))
    return np.concatenate(results) - 0.5 * x.shape[1] * math.log(2 * math.pi * stddev**2)
