"""Training that stops where it breaks, with the last sound weights."""

import math

import keras
import numpy as np
from keras import ops

RATE = "likely a learning rate of {rate:.2g} that is too high; try {remedies}"
ROWS_OR_RATE = (
    "likely rows that are NaN, infinite or far too large, or a learning rate of {rate:.2g} that is "
    "too high; try looking at these rows, then {remedies}"
)
VALIDATION_ROWS = (
    "likely rows that are NaN, infinite or far too large; try looking at the validation rows"
)
BROKEN_BEFORE = "expected a sound model; try building it anew"


class DivergedError(ValueError):
    """What `StabilityGuard` raises: training diverged, and the last sound weights are back.

    Attributes:
        epoch: The epoch in which it was seen, counted from 0.
        batch: The batch in which the loss was seen to break, counted from 0, or None where only the
            weights or the validation loss did.
        what: What was seen, "loss is nan" for example.
    """

    def __init__(self, message, epoch, batch, what):
        super().__init__(message)
        self.epoch, self.batch, self.what = epoch, batch, what


class StabilityGuard(keras.callbacks.Callback):
    r"""Stops a training that diverges, says why, and brings the last sound weights back.

    The loss, Keras's mean over the epoch so far, is looked at after every execution, and the
    weights after every epoch. What is refused in either: NaN, infinity, and explosion, which is

    $$L > G \, |L_{best}| \quad \text{or} \quad \max |w| > G \max(1, \max |w_0|, \sqrt{|L_0|})$$

    with the `growth` G, the first loss and weights of this `fit`, and the best loss so far, of an
    epoch or the first execution. The root of the first loss stands for the size of the rows, which
    the weights may have to reach.

    `fit` ends in a `DivergedError`, so that neither a script nor a sweep takes the model for
    trained: KerasTuner records the trial as failed, with the message as its cause, and goes on.
    Weights and optimizer are as at the start of the epoch, so that `fit` can go on under a lower
    learning rate; `model.history` ends with the last sound epoch.

    Put it first among the callbacks: those after it never see the broken epoch.

    Args:
        growth: G above, more than 1; infinity for NaN and infinite values alone.

    Raises:
        ValueError: `growth` is not more than 1.
        DivergedError: Training diverged, or began from a broken model.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (4,))
        >>> model.compile(keras.optimizers.SGD(1e6))
        >>> model.fit(np.eye(8), verbose=0, callbacks=[StabilityGuard()])
        Traceback (most recent call last):
        ...
        kerasae.callbacks.stability_guard.DivergedError: the largest weight is ...
    """

    def __init__(self, growth=1e4):
        super().__init__()
        if not growth > 1:
            raise ValueError(f"growth must be above 1. Received: growth={growth}")
        self.growth = growth

    def on_train_begin(self, logs=None):
        self.first_loss = self.best = self._last_loss = self._broken = None
        self._weight_limit = None

    def on_epoch_begin(self, epoch, logs=None):
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        # Here, not at the end of an epoch: a backup may have been restored before the first.
        self._broken = None
        self._sound = _arrays(self._variables())
        if self._weight_limit is None:
            self._weight_limit = self.growth * max(1.0, _largest(self.model.trainable_weights))
            if not all(np.isfinite(array).all() for array in self._sound):
                self._stop(epoch, "weights are not finite before training", BROKEN_BEFORE)

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if self.first_loss is None:
            self.first_loss = self.best = loss
        limit = self.growth * max(abs(self.best), keras.config.epsilon())
        if not loss <= limit or not math.isfinite(loss):
            self._broken = self._broken or (batch, loss)
            # The weights can be put back only once the epoch is over, on some backends.
            self.model.stop_training = True
        else:
            self._last_loss = loss

    def on_epoch_end(self, epoch, logs=None):
        if self._broken:
            batch, loss = self._broken
            # A rate takes some steps to make the loss rise; rows can break it at once.
            rising = self._last_loss is not None and self._last_loss > 1.5 * abs(self.best)
            cause = RATE if rising or math.isfinite(loss) else ROWS_OR_RATE
            self._stop(epoch, f"loss is {loss:.6g}", cause, batch)
        limit = max(self._weight_limit, self.growth * math.sqrt(abs(self.first_loss or 0)))
        largest = _largest(self.model.trainable_weights)
        if not (largest <= limit and math.isfinite(largest)):
            self._stop(epoch, f"the largest weight is {largest:.6g}", RATE)
        for weight in self.model.non_trainable_weights:
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                self._stop(epoch, f"{weight.path} is not finite", ROWS_OR_RATE)
        if not math.isfinite((logs or {}).get("val_loss", 0)):
            self._stop(epoch, f"validation loss is {logs['val_loss']}", VALIDATION_ROWS)
        self.best = min(self.best, (logs or {}).get("loss", self.best))

    def _stop(self, epoch, what, cause, batch=None):
        where = f"epoch {epoch + 1}" + ("" if batch is None else f", {self._batches(batch)}")
        # Before the weights: the rate comes back with them.
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        cause = cause.format(rate=rate, remedies=self._remedies(rate))
        for variable, array in zip(self._variables(), self._sound, strict=True):
            variable.assign(array)
        kept = f"the weights are back at the start of epoch {epoch + 1}"
        raise DivergedError(f"{what} ({where}); {kept}; {cause}", epoch, batch, what)

    def _batches(self, last):
        first = last + 1 - self.model.steps_per_execution
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


def _arrays(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _largest(weights):
    """The largest magnitude among the weights; NaN if there is one."""
    return float(np.max([np.abs(array).max() for array in _arrays(weights)], initial=0.0))
