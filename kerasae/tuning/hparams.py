"""TensorBoard's HParams: `tensorboard --logdir SWEEP/logs`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorboard.plugins.hparams import api


def write_hparams(
    folder: Path,
    values: Mapping[str, Any],
    history: Mapping[str, Sequence[float]],
    result: Mapping[str, Any],
) -> None:
    """Writes a trial's hyperparameters, its errors over the epochs, and its objective.

    Args:
        folder: Folder of the trial's events.
        values: Value of each hyperparameter by name.
        history: Dict of lists by name, as in `fit(...).history`.
        result: Dict with "val_mse" and "epochs".
    """
    writer = tf.summary.create_file_writer(str(folder))
    with writer.as_default():
        api.hparams({name: value for name, value in values.items() if "/" not in name}, folder.name)
        for name in ("mse", "val_mse"):
            for epoch, value in enumerate(history[name]):
                tf.summary.scalar(f"epoch_{name}", value, epoch)
        tf.summary.scalar("val_mse", result["val_mse"], result["epochs"])
    writer.close()
