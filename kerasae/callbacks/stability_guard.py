"""Training that diverges is stopped, and the last sound weights are kept."""

import math

import keras
import numpy as np
from keras import ops


class DivergedError(ValueError):
    """Training diverged; the message says where, why and what may help."""


class StabilityGuard(keras.callbacks.Callback):
    """Stops training where loss or weights turn NaN, infinite or far too large.

    Weights and optimizer go back to what they were after the last sound epoch (or before the
    first), and `fit` ends with `DivergedError`, so that neither a script nor a sweep takes the
    model for trained. The loss is looked at after every execution, the weights after every epoch.

    Args:
        growth: A mean loss of this many times that of the best epoch so far is too large; above 1.

    Raises:
        ValueError: `growth` is not above 1.
        DivergedError: Out of `fit`, which is a `ValueError` too.

    Example:
        >>> import numpy as np, kerasae
        >>> model = kerasae.stacked_autoencoder((4,), (2,), activation="linear")
        >>> model.compile(keras.optimizers.SGD(1e6))
        >>> try:
        ...     history = model.fit(np.eye(4), epochs=50, callbacks=[StabilityGuard()], verbose=0)
        ... except DivergedError as error:
        ...     print("learning rate" in str(error))
        True
    """

    def __init__(self, growth=1e4):
        super().__init__()
        if not growth > 1:
            raise ValueError(f"growth must be above 1. Received: growth={growth}")
        self.growth = growth
        self._best, self._kept, self._epoch, self._kept_epoch = math.inf, [], 0, 0

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def on_train_begin(self, logs=None):
        """Keeps the weights there are."""
        self._best, self._kept_epoch = math.inf, 0
        self._keep()

    def _keep(self):
        # A copy: an array of a CPU tensor may share its memory.
        self._kept = [(one, np.array(ops.convert_to_numpy(one))) for one in self._variables()]

    def on_epoch_begin(self, epoch, logs=None):
        """Knows which epoch a batch belongs to."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the loss."""
        loss = (logs or {}).get("loss", 0.0)
        if not math.isfinite(loss):
            self._stop(f"the loss became {loss} at epoch {self._epoch + 1}, batch {batch + 1}")
        if loss > self.growth * self._best:
            self._stop(
                f"the loss rose from {self._best:.3g} to {loss:.3g} at epoch {self._epoch + 1}, "
                f"batch {batch + 1}"
            )

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the weights, and keeps them where they are sound."""
        for weight in self.model.weights:
            if not np.isfinite(ops.convert_to_numpy(weight)).all():
                self._stop(f"weights of {weight.path} are not finite after epoch {epoch + 1}")
        self._best = min(self._best, (logs or {}).get("loss", math.inf))
        self._kept_epoch = epoch + 1
        self._keep()

    def _stop(self, what):
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        for variable, value in self._kept:
            variable.assign(value)
        self.model.stop_training = True
        raise DivergedError(
            f"{what}: the learning rate, {rate:g}, is likely too high, or the rows are not scaled; "
            f"the weights after epoch {self._kept_epoch} are kept; try a tenth of the learning "
            "rate, a scaler, or an optimizer with clipnorm=1.0"
        )
