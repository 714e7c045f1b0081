"""KerasTuner's oracles, made to lose nothing when they are killed and started again."""

import itertools
import shutil
import sys
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine import trial as kt_trial
from keras_tuner.oracles import (
    BayesianOptimizationOracle,
    HyperbandOracle,
    RandomSearchOracle,
)

from kerasae.tuning.results import (
    RESULT,
    TRIAL,
    read_json,
    read_result,
    trial_folders,
    write_json,
)

RUNNING = kt_trial.TrialStatus.RUNNING
STOPPED = {"status": kt_trial.TrialStatus.STOPPED, "values": None}


class Resumable(keras_tuner.Oracle):
    """An oracle whose state is the trials' own files, so that none is lost at any point.

    KerasTuner keeps what it tried in memory and in one file beside the trials': stopped between two
    writes the two contradict each other, and its grid search forgets where it was; see
    https://github.com/keras-team/keras-tuner/issues/1055.
    Here each draw depends on the seed, the trial's number and the combinations not yet tried, and
    `reload` reads those from the trials. A trial is finished if its `result.json` is whole, and is
    run again if not. One whose files are lost is drawn again under its number.

    Args:
        limit: The most trials to run in all, or None for as many as there are combinations. A sweep
            that is resumed with a higher one goes on.
        seed: Whole number of at least 0.
        hyperparameters: The search space, `keras_tuner.HyperParameters`.
        **kwargs: Other arguments of the oracle that this is mixed into.
    """

    trials: dict[str, kt_trial.Trial]

    def __init__(
        self,
        *,
        limit: int | None,
        seed: int,
        hyperparameters: keras_tuner.HyperParameters,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            objective=keras_tuner.Objective("val_mse", "min"),
            hyperparameters=hyperparameters,
            seed=seed + 1,  # KerasTuner takes 0 for None
            max_consecutive_failed_trials=sys.maxsize,
            **kwargs,
        )
        # max_trials would also set the width of the trials' names, which a resume must find.
        self.max_trials = None
        self.limit = limit
        self.verbose = 0
        self._max_collisions = 1000

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Draws the next trial, unless there are enough."""
        if self.limit is not None and len(self.trials) >= self.limit:
            return STOPPED
        self._reseed(trial_id)
        return super().populate_space(trial_id)

    def draw(self) -> dict[str, Any] | None:
        """Values of a combination not yet tried, or None."""
        return self._random_values()

    def _reseed(self, trial_id):
        self._seed_state = self.seed + 100_000 * int(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: kt_trial.Trial) -> None:
        """Ends a trial, with the values it was given."""
        # A worker's message carries them in 32 bits.
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        super().end_trial(trial)

    def score_trial(self, trial: kt_trial.Trial) -> None:
        """Takes the score from the trial's own file: a worker's message carries 32 bits."""
        path = Path(self._get_trial_dir(trial.trial_id)) / RESULT
        result = read_result(path)
        if result is None:
            raise OSError(f"the result of a trial must be whole. Received: a damaged file ({path})")
        trial.score = result["val_mse"]

    # Files ---------------------------------------------------------------------------------------

    def save(self) -> None:
        """Writes the oracle's state whole: KerasTuner writes in place."""
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial):
        write_json(Path(self._get_trial_dir(trial.trial_id)) / TRIAL, trial.get_state())

    def reload(self) -> None:
        """Goes on with a sweep from the state that its trials' files show."""
        folders = trial_folders(self._project_dir)
        names = [f"{number:04d}" for number in range(max(folders, default=-1) + 1)]
        found = {name: self._read_trial(name) for name in names}
        for name in sorted(names, key=lambda name: found[name] is None):
            trial = found[name] or self._drawn_again(name)
            self.trials[name] = trial
            self._record_values(trial)
        for name in reversed(names):
            trial = self.trials[name]
            if trial.status == RUNNING:
                self._retry_queue.append(name)
            else:
                self.end_order.insert(0, name)
        self.trials = {name: self.trials[name] for name in names}
        self.start_order = names
        self.save()

    def _read_trial(self, name):
        folder = Path(self._project_dir) / f"trial_{name}"
        result, state = read_result(folder / RESULT), read_json(folder / TRIAL)
        try:
            trial = kt_trial.Trial.from_state(state)
        except (KeyError, TypeError, ValueError, AttributeError):  # missing or of another form
            return result and self._trial(name, result["values"])
        ended = result and trial.status != RUNNING
        return trial if ended else self._trial(name, trial.hyperparameters.values)

    def _drawn_again(self, name):
        self._reseed(name)
        trial = self._trial(name, self.draw())
        self._save_trial(trial)
        return trial

    def _trial(self, name, values):
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values = dict(values)
        return kt_trial.Trial(hyperparameters, trial_id=name)


class GridOracle(Resumable):
    """Every combination of the values in order, the last hyperparameter's fastest."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The first combination not yet tried."""
        if self.limit is not None and len(self.trials) >= self.limit:
            return STOPPED
        values = self.draw()
        return STOPPED if values is None else {"status": RUNNING, "values": values}

    def draw(self) -> dict[str, Any] | None:
        """The first combination not yet tried, or None."""
        space = self.hyperparameters.space
        for combination in itertools.product(*(one.values for one in space)):
            values = {one.name: value for one, value in zip(space, combination, strict=True)}
            if not self._duplicate(values):
                return values
        return None


class RandomOracle(Resumable, RandomSearchOracle):
    """Combinations drawn at random, none twice."""


class BayesianOracle(Resumable, BayesianOptimizationOracle):
    """Combinations of which a Gaussian process expects the lowest errors, none twice."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """The process's choice, or a random one where it was tried already."""
        chosen = super().populate_space(trial_id)
        if chosen["values"] is None or not self._duplicate(chosen["values"]):
            return chosen
        values = self.draw()
        return STOPPED if values is None else {"status": RUNNING, "values": values}

    def _reseed(self, trial_id):
        super()._reseed(trial_id)
        self._random_state = np.random.RandomState(self.seed + int(trial_id))


class HalvingOracle(Resumable, HyperbandOracle):
    """Hyperband: many trials of few epochs, of which the best third get three times as many.

    Its brackets are in its own file alone: where that is damaged, the sweep cannot be resumed.

    Reference: Li et al. (2018), Hyperband: a novel bandit-based approach to hyperparameter
    optimization.
    """

    def reload(self) -> None:
        """Reads the brackets and the trials that belong to them.

        Raises:
            ValueError: The file of the brackets is damaged or missing.
        """
        folders = trial_folders(self._project_dir)
        if not folders:
            self.save()
            return
        state = read_json(self._get_oracle_fname())
        form = {"brackets", "current_bracket", "current_iteration", "start_order"}
        if not isinstance(state, dict) or not form <= state.keys():
            raise ValueError(
                "the brackets of Hyperband must be in a whole file. Received: a damaged or missing "
                f"one ({self._get_oracle_fname()}). Try another --name"
            )
        self._brackets = state["brackets"]
        self._current_bracket = state["current_bracket"]
        self._current_iteration = state["current_iteration"]
        for number, folder in folders.items():
            # A trial is written before its bracket, and it is run only after both are written.
            if f"{number:04d}" not in state["start_order"]:
                shutil.rmtree(folder)
        super().reload()

    def draw(self) -> dict[str, Any] | None:
        """Refuses: the values of a lost trial depend on the trials that it was chosen from."""
        raise ValueError(
            "every trial.json of Hyperband must be whole. Received: a damaged or missing one "
            f"({self._project_dir}). Try another --name"
        )


ORACLES = {
    "grid": GridOracle,
    "random": RandomOracle,
    "bayesian": BayesianOracle,
    "hyperband": HalvingOracle,
}
