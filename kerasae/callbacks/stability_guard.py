"""Training that stops where it breaks, with the last sound weights."""

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasae.layers.scaling import scale

# A likely cause, and what to try.
RATE = "a learning rate of {rate:.2g} that is too high", "{remedies}"
ROWS = "rows that are NaN, infinite or far too large"
ROWS_OR_RATE = f"{ROWS}, or {RATE[0]}", "looking at these rows, then {remedies}"
VALIDATION_ROWS = ROWS, "looking at the validation rows"
BROKEN_BEFORE = "a model that was broken before", "building it anew"
# A training of fewer steps may still be on its way down to the error of predicting the mean.
FEW_STEPS = 1000
# A model whose codings have died predicts about the mean: that is a poor fit, no divergence.
NEAR_MEAN = 1.1
# Noise in training, such as a variational model's draws, makes the error of an epoch 1.7 times as
# large; a rate that breaks a model makes it 3 times and more.
MUCH_WORSE = 2.5
SAMPLE = 5000


class DivergedError(ValueError):
    """What `StabilityGuard` raises: training diverged, and the last sound weights are back.

    Attributes:
        epoch: The epoch in which it was seen, counted from 0, or None where only the end shows it.
        batch: The batch in which the loss was seen to break, counted from 0, or None where only the
            weights or the validation loss did.
        what: What was seen, "loss is nan" for example.
    """

    def __init__(self, message: str, epoch: int | None, batch: int | None, what: str) -> None:
        super().__init__(message)
        self.epoch, self.batch, self.what = epoch, batch, what


def sample(x: np.ndarray) -> np.ndarray:
    """At most 5,000 of some rows, spread evenly, to measure an error on."""
    return x[:: max(1, math.ceil(len(x) / SAMPLE))]


def mean_error(scaler: keras.layers.Layer | None, x: np.ndarray) -> float:
    """Mean squared error of predicting each column's mean, on scaled values.

    Args:
        scaler: The model's scaler, or None.
        x: Rows in the user's units, shape (rows, *row_shape).

    Returns:
        The mean variance of the scaled columns; 1 for tables.
    """
    if hasattr(scaler, "target"):  # of a table, whose errors are relative to this one
        return 1.0
    z = ops.convert_to_numpy(scale(scaler, x)).astype("float64")
    return float(np.square(z - z.mean(axis=0)).mean())


def check_learnt(
    mse: float,
    *,
    before: float,
    baseline: float,
    remedies: str,
    worst: float = 0.0,
    steps: int = 0,
    allow_short: bool = True,
) -> None:
    """Refuses a model that is worse than predicting the mean of each column.

    One within a tenth of the mean's error passes as a poor fit. With `allow_short` one passes, too,
    that had fewer than 1,000 steps, is better than it was before them and never was much worse, as
    it may still be on its way.

    Args:
        mse: Mean squared error of the model, on scaled values.
        before: The same before the first step.
        baseline: That of predicting the mean, see `mean_error`.
        remedies: What to try, for the message.
        worst: The highest one of an epoch; by default of no account, as in a sweep, which ranks
            what is poor.
        steps: Number of steps that the model was trained for; by default of no account.
        allow_short: Whether a model passes that may still be on its way.

    Raises:
        DivergedError: The model is worse.
    """
    limit = NEAR_MEAN * baseline
    on_its_way = steps < FEW_STEPS and worst <= MUCH_WORSE * before
    if on_its_way and allow_short:
        limit = max(limit, before)
    elif on_its_way and mse < before:
        remedies = f"more epochs (--epochs), allow_short (--allow-short), or {remedies}"
    # Of constant rows alone there is nothing to learn but their mean.
    if (mse > limit and baseline > 0) or not math.isfinite(mse):
        what = f"a mean squared error of {mse:.5g}"
        message = (
            "training must end better than predicting the mean of each column. "
            f"Received: {what}, {before:.5g} before training, where the mean has {baseline:.5g}. "
            f"Try {remedies}"
        )
        raise DivergedError(message, None, None, what)


class StabilityGuard(keras.callbacks.Callback):
    r"""Stops a training that diverges, says why, and brings the last sound weights back.

    The loss, Keras's mean over the epoch so far, is looked at after every execution, and the
    weights after every epoch. What is refused in either: NaN, infinity, and explosion, which is

    $$L > G \, |L_{best}| \quad \text{or} \quad \max |w| > G \max(1, \max |w_0|, \sqrt{|L_0|})$$

    with the `growth` G, the first loss and weights of this `fit`, and the best loss so far, of an
    epoch or the first execution. The root of the first loss measures the size of the rows, which
    the weights may have to reach.

    An execution has many steps, of which the first ones can break the loss already. With rows `x`
    the first loss is theirs before the first step, and a training is refused at its end, too, if
    it leaves a model that is worse than predicting the mean of each column: see `check_learnt`.

    `fit` ends in a `DivergedError`, so that neither a script nor a sweep takes the model for a
    trained one: KerasTuner records the trial as failed, with the message as its cause, and goes on.
    Weights and optimizer are as at the start of the epoch, so that `fit` can go on under a lower
    learning rate; `model.history` ends with the last sound epoch.

    Put it first among the callbacks: those after it never see the broken epoch.

    Args:
        growth: G above, more than 1; infinity for NaN and infinite values alone.
        x: Rows in the user's units, shape (rows, *row_shape), best those to train on, of which at
            most 5,000 are used; or None.
        allow_short: Whether a training of fewer than 1,000 steps passes that is still on its way
            down to the error of the mean.

    Raises:
        ValueError: `growth` is not more than 1.
        DivergedError: Training diverged, began from a broken model, or ends with one that is worse
            than predicting the mean.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4,))
        >>> model.compile(keras.optimizers.SGD(1e6))
        >>> model.fit(np.eye(8), verbose=0, callbacks=[StabilityGuard()])
        Traceback (most recent call last):
        ...
        kerasae.callbacks.stability_guard.DivergedError: training must stay stable. Received: ...
    """

    needs_every_batch = False  # the mean so far shows a break after the execution, too

    def __init__(
        self, growth: float = 1e4, x: np.ndarray | None = None, allow_short: bool = True
    ) -> None:
        super().__init__()
        if not growth > 1:
            raise ValueError(f"growth must be above 1. Received: growth={growth}")
        self.growth = growth
        self.x = None if x is None else sample(x)
        self.allow_short = allow_short
        self.first_loss: float | None = None
        self.best: float = math.inf
        self.first_mse: float | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.first_loss = self.first_mse = self._last_loss = None
        self.best = math.inf
        self.worst = 0.0
        self._broken: tuple[int, int, float] | None = None
        self._weight_limit: float | None = None
        if self.x is not None:
            before = self.model.evaluate(self.x, verbose=0, return_dict=True)
            self.first_mse = before.get(_metric(self.model))
            if math.isfinite(before["loss"]):  # else the weights are broken, or the rows
                self.first_loss = self.best = before["loss"]

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        # Here, not at the end of an epoch: a backup may have been restored before the first.
        self._broken = None
        self._first_batch = 0
        self._sound = _arrays(self._variables())
        if self._weight_limit is None:
            self._weight_limit = self.growth * max(1.0, _largest(self.model.trainable_weights))
            if not all(np.isfinite(array).all() for array in self._sound):
                self._stop(epoch, "weights are not finite before training", BROKEN_BEFORE)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if self.first_loss is None:
            self.first_loss = self.best = loss
        limit = self._loss_limit()
        if not loss <= limit or not math.isfinite(loss):
            self._broken = self._broken or (self._first_batch, batch, loss)
            # The weights can be put back only once the epoch is over, on some backends.
            self.model.stop_training = True
        else:
            self._last_loss = loss
        self._first_batch = batch + 1

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._broken:
            *batches, loss = self._broken
            # A rate takes some steps to make the loss rise; rows can break it at once.
            rising = self._last_loss is not None and self._last_loss > 1.5 * abs(self.best)
            cause = RATE if rising or math.isfinite(loss) else ROWS_OR_RATE
            self._stop(epoch, f"loss is {loss:.6g}", cause, batches)
        size = self.growth * math.sqrt(abs(self.first_loss or 0))
        limit = max(self._weight_limit or 0, size)
        largest = _largest(self.model.trainable_weights)
        if not (largest <= limit and math.isfinite(largest)):
            self._stop(epoch, f"the largest weight is {largest:.6g}", RATE)
        for weight in self.model.non_trainable_weights:
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                self._stop(epoch, f"{weight.path} is not finite", ROWS_OR_RATE)
        val_loss = (logs or {}).get("val_loss", 0)
        if not math.isfinite(val_loss):
            self._stop(epoch, f"validation loss is {val_loss}", VALIDATION_ROWS)
        self.best = min(self.best, (logs or {}).get("loss", self.best))
        self.worst = max(self.worst, (logs or {}).get(_metric(self.model), 0.0))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.x is None or self.first_mse is None:
            return
        mse = self.model.evaluate(self.x, verbose=0, return_dict=True)[_metric(self.model)]
        steps = int(ops.convert_to_numpy(self.model.optimizer.iterations))
        check_learnt(
            mse,
            before=self.first_mse,
            worst=self.worst,
            baseline=mean_error(self.model.scaler, self.x),
            steps=steps,
            allow_short=self.allow_short,
            remedies=self._remedies(_rate(self.model)),
        )

    def _loss_limit(self):
        return self.growth * max(abs(self.best), keras.config.epsilon())

    def _stop(self, epoch, what, cause, batches=None):
        where = f"epoch {epoch + 1}" + (f", {self._named(*batches)}" if batches else "")
        # Before the weights: the rate comes back with them.
        rate = _rate(self.model)
        cause, hint = (text.format(rate=rate, remedies=self._remedies(rate)) for text in cause)
        for variable, array in zip(self._variables(), self._sound, strict=True):
            variable.assign(array)
        message = (
            f"training must stay stable. Received: {what} ({where}), likely caused by {cause}; the "
            f"weights are back at the start of epoch {epoch + 1}. Try {hint}"
        )
        raise DivergedError(message, epoch, batches[-1] if batches else None, what)

    def _named(self, first, last):
        """The batches of the execution in which the loss broke."""
        last = min(last, (self.params.get("steps") or math.inf) - 1)
        return f"batch {last + 1}" if first == last else f"batches {first + 1} to {last + 1}"

    def _remedies(self, rate):
        remedies = [f"a learning rate of {rate / 10:.2g}", "clipnorm=1.0 in the optimizer"]
        if getattr(self.model, "scaler", None) is None:
            remedies.append("a scaler such as RangeScaling")
        if keras.config.dtype_policy().name in ("float16", "mixed_float16"):
            remedies.append("mixed_bfloat16, since float16 ends at 65504")
        return ", or ".join(remedies)

    def _variables(self):
        return [*self.model.weights, *self.model.optimizer.variables]


def _metric(model):
    """What a model is measured by: the mean squared error, unless it has tables."""
    return getattr(model, "_objective", "mse")


def _rate(model):
    return float(ops.convert_to_numpy(model.optimizer.learning_rate))


def _arrays(variables):
    # Of what a variable holds: TensorFlow takes twice the time to convert one of Keras's.
    tensors = (variable.value for variable in variables)
    return [
        np.array(x.numpy() if hasattr(x, "read_value") else ops.convert_to_numpy(x))
        for x in tensors
    ]


def _largest(weights):
    """The largest magnitude among the weights; NaN if there is one."""
    return float(np.max([np.abs(array).max() for array in _arrays(weights)], initial=0.0))
