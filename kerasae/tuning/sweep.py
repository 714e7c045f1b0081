"""One process's part in a sweep: it takes trials, trains them, and writes what came of them."""

import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras.callbacks import EarlyStopping
from keras_tuner.engine.base_tuner import BaseTuner
from keras_tuner.engine.trial import Trial, TrialStatus

from kerasae.atomic import write_file
from kerasae.callbacks.stability_guard import check_learnt, mean_error, sample
from kerasae.datasets import Data
from kerasae.export import KERAS_FILE
from kerasae.models.recipes import optimizer_of
from kerasae.tables.recipes import make_scaler
from kerasae.tuning import space
from kerasae.tuning.hparams import write_hparams
from kerasae.tuning.oracle import ORACLES, Resumable
from kerasae.tuning.results import RESULT, TRIAL, read_json, read_result, write_json
from kerasae.tuning.rows import load_rows


class Sweep(BaseTuner):
    """Trains the trials of a plan, alone or as one of KerasTuner's workers.

    The rows are loaded once a process. Every trial starts from the plan's seed, so that its result
    depends neither on the order of the trials nor on the process that trains it.

    Args:
        plan: Dict as `search` writes it to `sweep.json`.
        directory: Folder of the sweep.
        rows: The plan's `kerasae.datasets.Data`, or None to load it.
    """

    def __init__(
        self,
        plan: Mapping[str, Any],
        directory: str | os.PathLike[str],
        rows: Data | None = None,
    ) -> None:
        directory = Path(directory)
        self.plan = plan
        super().__init__(
            oracle=make_oracle(plan), directory=directory.parent, project_name=directory.name
        )
        rows = space.in_shape(plan["model"], rows or load_rows(plan, directory))
        self.whole = _part(plan, rows)
        with warnings.catch_warnings():
            # Constant columns have been warned of; those of a fold alone are not the user's.
            warnings.simplefilter("ignore")
            folds = _folds(rows, plan["folds"], plan["seed"])
            self.folds = [_part(plan, fold) for fold in folds]
        self._last_request = -math.inf

    # The oracle's files are the whole state: KerasTuner would write one more in place, and resume
    # a sweep only where it finds that one.
    def _populate_initial_space(self):
        if not self._is_worker():
            self.oracle.reload()

    def save(self) -> None:
        """Writes the oracle's state, where this process has it."""
        if not self._is_worker():
            self.oracle.save()

    def pre_create_trial(self) -> None:
        """Waits a little before the next request to an oracle that had no trial to give."""
        time.sleep(max(0.0, self._last_request + 0.3 - time.monotonic()))
        self._last_request = time.monotonic()

    def on_trial_end(self, trial: Trial) -> None:
        """Reports the trial's end to the oracle; the next request need not wait."""
        super().on_trial_end(trial)
        self._last_request = -math.inf

    def _try_run_and_update_trial(self, trial, *_, **__):
        # KerasTuner's own prints a traceback for every trial that failed.
        try:
            self._run_and_update_trial(trial)
            trial.status = TrialStatus.COMPLETED
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = TrialStatus.FAILED, str(error)

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """Trains one trial, unless its result is there already.

        Args:
            trial: `keras_tuner.engine.trial.Trial`.

        Returns:
            Its objective, `{"val_mse": ...}`.

        Raises:
            FailedTrialError: The trial failed; its `result.json` holds the cause.
            FatalRuntimeError: Files cannot be written: the sweep must stop and be resumed.
        """
        folder = Path(self.get_trial_dir(trial.trial_id))
        try:
            result = read_result(folder / RESULT) or self._result(trial, folder)
        except OSError as error:
            raise keras_tuner.errors.FatalRuntimeError(str(error)) from error
        if result["status"] == "failed":
            raise keras_tuner.errors.FailedTrialError(result["cause"])
        return {"val_mse": result["val_mse"]}

    def _result(self, trial, folder):
        # From the file: a worker's message carries floats in 32 bits.
        values = read_json(folder / TRIAL)["hyperparameters"]["values"]
        result = {
            "trial": trial.trial_id,
            "values": values,
            "status": "failed",
            **dict.fromkeys(("val_mse", "spread", "test_mse", "fold_mse", "epochs", "fit_seconds")),
            "cause": None,
        }
        started = time.monotonic()
        try:
            result.update(self._train(values, folder), status="completed")
        except OSError:
            raise
        except Exception as error:  # any that a combination of values can cause
            result["cause"] = " ".join(str(error).split())[:500] or type(error).__name__
        result["seconds"] = round(time.monotonic() - started, 3)
        write_json(folder / RESULT, result)
        return result

    def _train(self, values, folder):
        fits = [self._fit(values, part) for part in self.folds]
        fold_mse = [min(history["val_mse"]) for _, history, _ in fits]
        model, history, _ = final = self._fit(values, self.whole)
        write_file(folder / KERAS_FILE, model.save)
        test_mse = min(history["val_mse"])
        result = {
            "val_mse": float(np.mean(fold_mse)) if fold_mse else test_mse,
            "spread": float(np.std(fold_mse, ddof=1)) if fold_mse else None,
            "fold_mse": fold_mse or None,
            "test_mse": test_mse,
            "epochs": 1 + int(np.argmin(history["val_mse"])),
            "fit_seconds": round(sum(seconds for *_, seconds in (*fits, final)), 3),
        }
        write_hparams(Path(self.project_dir) / "logs" / folder.name, values, history, result)
        return result

    def _fit(self, values, part):
        rows, scaler, x, x_val = part
        plan = self.plan
        epochs = values.get("tuner/epochs", plan["epochs"])
        batch_size = values.get("batch_size", plan["batch_size"])
        keras.utils.clear_session()
        keras.utils.set_random_seed(plan["seed"])
        model = space.build(plan["model"], values, rows, scaler)
        model.compile(optimizer_of(model, values.get("learning_rate", 0.001)))
        metric = model._objective
        best = EarlyStopping(
            f"val_{metric}",
            mode="min",
            patience=plan["patience"] or epochs,
            restore_best_weights=True,
        )
        # The rows and the metric of the validation, whose program is compiled anyway.
        before = model.evaluate(x_val, verbose=0, return_dict=True)[metric]
        started = time.monotonic()
        history = model.fit(
            x,
            validation_data=x_val,
            epochs=epochs,
            batch_size=batch_size,
            verbose=0,
            callbacks=[best, StopOnNaN()],
        ).history
        seconds = time.monotonic() - started
        # Of tables, too: the names by which trials are ranked and drawn.
        history |= {"mse": history[metric], "val_mse": history[f"val_{metric}"]}
        _check_finite(history)
        check_learnt(
            min(history[f"val_{metric}"]),
            before=before,
            baseline=mean_error(scaler, sample(x_val)),
            remedies="a lower learning_rate",
        )
        return model, history, seconds


class StopOnNaN(keras.callbacks.Callback):
    """Stops a fit after an epoch whose loss is not finite.

    Keras's `TerminateOnNaN` waits for the loss of every execution, some 7% of the time on MNIST.
    """

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if not math.isfinite((logs or {}).get("loss", math.nan)):
            self.model.stop_training = True


def make_oracle(plan: Mapping[str, Any]) -> Resumable:
    """The oracle of a plan.

    Args:
        plan: Dict as `search` writes it to `sweep.json`.

    Returns:
        A `Resumable`.
    """
    own = {"max_epochs": plan["epochs"]} if plan["tuner"] == "hyperband" else {}
    return ORACLES[plan["tuner"]](
        limit=plan["max_trials"],
        seed=plan["seed"],
        hyperparameters=space.hyperparameters(plan["space"]),
        **own,
    )


def is_worker() -> bool:
    """Whether KerasTuner's environment variables make this process a worker of a chief."""
    return "KERASTUNER_ORACLE_IP" in os.environ and "chief" not in os.environ["KERASTUNER_TUNER_ID"]


def _part(plan, rows):
    x = rows.x_train  # a copy, made once
    return rows, make_scaler(plan["scaler"], rows, x), x, rows.x_test


def _folds(rows, count, seed):
    """The training rows as `count` data sets, each with another part of them to validate on."""
    x = rows.x_train
    turn = np.random.default_rng(seed).permutation(len(x)) % (count or 1)
    return [rows._replace(x=x, y=None, is_test=turn == fold) for fold in range(count or 0)]


def _check_finite(history):
    for name in ("loss", "val_mse"):
        values = history.get(name, [np.nan])
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ValueError(
                f"{name} must stay finite. Received: {name}={values[bad[0]]} in epoch "
                f"{bad[0] + 1}. Try a lower learning_rate"
            )
