"""Scores of normal steps, kept with a model: thresholds and p-values that know of dependence."""

import math
from collections.abc import Callable
from typing import Any, Unpack

import keras
import numpy as np

from kerasae.layers.base import LayerOptions

HOW = ("mean", "median", "low")


class NormalScores:
    r"""Scores of normal steps, of which neighbours depend on each other.

    With n scores in blocks of b steps, the p-value of a score s is

    $$p = \frac{b + \#\{i : s_i \ge s\}}{n + b}$$

    Neighbouring steps are alike, and share windows, so that n of them say less than n independent
    rows do, for which b is 1. Where whole blocks are exchangeable, the expected share of steps of a
    new normal block with $p \le \alpha$ is at most $\alpha$: among the n + b steps of all blocks,
    that share is of rank $\alpha (n + b)$ or better, and at most b of the steps that score as high
    as one of the new block are in this block itself.

    Args:
        scores: Array of shape (steps,).
        block: Steps of a block, at least 1.

    Reference: Vovk, Gammerman and Shafer (2005), Algorithmic learning in a random world;
    Chernozhukov, Wuthrich and Zhu (2018), Exact and robust conformal inference methods for
    predictive machine learning with dependent data, for blocks as what is exchanged.

    Example:
        >>> normal = NormalScores(np.arange(1.0, 10.0), block=3)
        >>> normal.p_values(np.array([0.0, 9.0, 10.0])).round(2)
        array([1.  , 0.33, 0.25], dtype=float32)
        >>> normal.tail(0.34)
        8.0
    """

    def __init__(self, scores: np.ndarray, block: int) -> None:
        self.scores, self.block = np.sort(np.asarray(scores, "float32")), int(block)

    def p_values(self, scores: np.ndarray) -> np.ndarray:
        """The p-value of each score, float32; NaN for NaN."""
        at_least = len(self.scores) - np.searchsorted(self.scores, scores, side="left")
        p = (self.block + at_least) / (len(self.scores) + self.block)
        return np.where(np.isnan(scores), np.nan, p).astype("float32")

    def tail(self, alpha: float) -> float:
        """The score above which a step has a p-value of at most alpha.

        Raises:
            ValueError: There are too few scores.
        """
        allowed = int(np.floor(alpha * (len(self.scores) + self.block) - self.block + 1e-9))
        if allowed < 0:
            needed = math.ceil(self.block * (1 / alpha - 1))
            raise ValueError(
                f"x must have at least {needed} normal steps for the tail probability {alpha:g} in "
                f"blocks of {self.block}. Received: {len(self.scores)} steps. Try more steps or a "
                "larger probability"
            )
        # A score above this one has at most `allowed` normal scores at or above it.
        return float(self.scores[-allowed - 1])


@keras.saving.register_keras_serializable("kerasae")
class StepCalibration(keras.layers.Layer):
    r"""What an `Autoencoder` knows of normal steps of a series; `series.calibrate` fills it.

    The score of step t is its squared error over the normal one, and a mean over the C channels c,

    $$r_{tc} = \frac{1}{\ell_{|W_t| c}} \mathrm{low}_{w \in W_t}
    \frac{e_{w, t - w, c}}{\bar e_{t - w, c}}, \quad
    s_t^2 = \frac{1}{C} \sum_c \Big( \frac{\sum_{|d| \le h} (h + 1 - |d|) \, r_{t + d, c}}
    {(h + 1)^2} \Big)^2$$

    with the windows $W_t$ over the step, named by their first steps w, and the mean error
    $\bar e_{ic}$ of normal windows at place i: a window is reconstructed worse at its ends, and a
    noisy channel worse than a quiet one. A window that holds an anomaly is reconstructed worse
    elsewhere, too. The 10th percentile, "low", or the median of the windows over a step does not
    blame its neighbours for that; $\ell$ is what normal steps have there with so many windows. The
    weights smooth over 2 h + 1 steps: noise comes and goes from step to step, most anomalies last.
    The root mean square over the channels does not dilute what one of them shows. `NormalScores`
    has the p-values.

    Args:
        **kwargs: Name and other arguments of `keras.layers.Layer`.

    Example:
        >>> layer = StepCalibration()
        >>> layer.fitted
        False
    """

    def __init__(self, **kwargs: Unpack[LayerOptions]) -> None:
        super().__init__(**{**kwargs, "autocast": False, "dtype": "float32"})
        self.built = True
        self.clear()

    def clear(self) -> None:
        """Forgets normal steps."""
        # Plain objects, not variables: their shapes are known only once there are normal steps.
        self.how, self.stride, self.smooth, self.block = "mean", 1, 1, 1
        self.profile = self.levels = np.empty((0, 0), "float32")
        self.normal = self.normal_now = NormalScores(np.empty(0), 1)
        self.threshold = self.threshold_now = float("nan")
        self.model_state: int | None = None

    @property
    def fitted(self) -> bool:
        """Whether there are normal steps."""
        return len(self.normal.scores) > 0

    def configure(
        self,
        how: str,
        stride: int,
        smooth: int,
        block: int,
        *,
        profile: np.ndarray,
        levels: np.ndarray,
    ) -> None:
        """Sets what scores follow from, and forgets normal steps.

        Args:
            how: "mean", "median" or "low", over the windows of a step.
            stride: Steps from one window to the next, at least 1.
            smooth: Steps that scores are averaged over, at least 1.
            block: Steps of a block, at least 1.
            profile: Mean squared error of normal windows, shape (length, channels).
            levels: What normal steps have by that, for 1, 2, ... windows over them, shape
                (count, channels).
        """
        self.clear()
        self.how, self.stride, self.smooth = how, int(stride), int(smooth)
        self.block = int(block)
        self.profile = np.asarray(profile, "float32")
        self.levels = np.asarray(levels, "float32")

    def fit(
        self,
        scores: np.ndarray,
        scores_now: np.ndarray,
        threshold: Callable[[NormalScores], float],
    ) -> None:
        """Keeps the scores of normal steps.

        Args:
            scores: Scores of normal steps, shape (steps,).
            scores_now: Scores of steps when they were the newest, the last of each window.
            threshold: Function from `NormalScores` to the score above which a step is an anomaly.
        """
        self.normal = NormalScores(scores, self.block)
        self.normal_now = NormalScores(scores_now, math.ceil(self.block / self.stride))
        self.threshold = float(threshold(self.normal))
        self.threshold_now = float(threshold(self.normal_now))

    def save_own_variables(self, store: Any) -> None:
        if self.fitted:
            store["scores"], store["scores_now"] = self.normal.scores, self.normal_now.scores
            store["profile"], store["levels"] = self.profile, self.levels
            numbers = [HOW.index(self.how), self.stride, self.smooth, self.block]
            store["settings"] = np.array([self.threshold, self.threshold_now, *numbers])
            store["model_state"] = np.array(self.model_state or 0, "int64")

    def load_own_variables(self, store: Any) -> None:
        self.clear()
        names = list(store.keys())
        if not names:
            return
        try:
            parts = {name: np.asarray(store[name]) for name in names}
            threshold, threshold_now, *numbers = map(float, parts["settings"])
            how, stride, smooth, block = map(int, numbers)
            if not all(np.isfinite(part).all() for part in parts.values()):
                raise ValueError("numbers that are not finite")
            profile = parts["profile"]
            levels = parts.get("levels", np.ones((1, profile.shape[1])))  # none in version 0.1
            self.configure(HOW[how], stride, smooth, block, profile=profile, levels=levels)
            limits = iter((threshold, threshold_now))
            self.fit(parts["scores"], parts["scores_now"], lambda normal: next(limits))
            self.model_state = int(parts["model_state"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            self.clear()
            raise ValueError(
                "the calibration of steps must hold finite scores, settings and a profile. "
                f"Received: {' '.join(str(error).split())[:200]}"
            ) from error
