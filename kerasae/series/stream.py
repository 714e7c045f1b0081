"""Scores of the newest steps of a series, as they come."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kerasae.series.scores import (
    StepScores,
    _length,
    _of_windows,
    as_scores,
    calibrated,
    newest,
    steps_of,
)
from kerasae.series.windows import windows

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


class Stream:
    r"""Scores each new step of one series by the window that ends with it.

    $$s_t^2 = \frac{1}{C} \sum_c \Big( \frac{1}{m} \sum_{i > L - m}
    \frac{e_{ic}}{\bar e_{ic}} \Big)^2$$

    with the errors at the last m of the L places of the window, as many as `calibrate` was given to
    smooth over. `score` sees what follows a step,
    too, and is the better judge of the past; p-values and threshold here are those of normal steps
    that were the newest, which `calibrate` keeps beside the others. How the steps are split over
    calls does not matter.

    Args:
        model: An `Autoencoder` after `series.calibrate`.
        batch_size: Windows a step of the model.

    Raises:
        ValueError: The model is not calibrated.

    Example:
        >>> import kerasae
        >>> made = kerasae.datasets.make_series(1200, 100, 1, period=24, anomalies=1)
        >>> model = kerasae.stacked_autoencoder((48, 1), (8, 8, 4))
        >>> history = model.fit(windows(made.x_train[:900], 48, 4), verbose=0)
        >>> limit = kerasae.series.calibrate(model, made.x_train[900:])
        >>> stream = Stream(model)
        >>> np.isnan(stream.update(made.x_test[:47]).score).all()  # no window is full yet
        np.True_
        >>> stream.update(made.x_test[47:50]).score.shape
        (3,)
    """

    def __init__(self, model: "Autoencoder", *, batch_size: int = 256) -> None:
        calibrated(model)
        self.model, self.batch_size = model, batch_size
        self._last = np.empty((0, model.row_shape[1]), "float32")

    def update(self, new_steps: Any) -> StepScores:
        """Scores new steps.

        Args:
            new_steps: The steps after those of the calls before, in the user's units, shape
                (steps, channels), or (steps,) for one channel.

        Returns:
            `StepScores`, one entry a new step; NaN, and no anomaly, as long as fewer steps have
            come than a window has.

        Raises:
            ValueError: Steps that do not fit the model. Nothing is kept of them.
        """
        calibration = calibrated(self.model)
        length, channels = _length(self.model), self.model.row_shape[1]
        none = len(new_steps) == 0  # as a poll may bring none
        new = self._last[:0] if none else steps_of(self.model, new_steps)
        known = np.concatenate([self._last, new])
        count = min(len(new), max(0, len(known) - length + 1))
        shape = (len(new), channels)
        found = {name: np.full(shape, np.nan, "float32") for name in ("channel_scores", "expected")}
        if count:
            cut = windows(known[-(count + length - 1) :], length)
            values = _of_windows(self.model, np.asarray(cut), self.batch_size)
            found["channel_scores"][-count:] = newest(values["errors"], calibration)
            found["expected"][-count:] = values["expected"][:, -1]
        self._last = known[len(known) - min(len(known), length - 1) :]
        return as_scores(found, calibration.normal_now, calibration.threshold_now)
