"""What a report and the page of `kerasae serve` know beside the model, kept as `report.json`."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasae.export.versions import stored_manifest
from kerasae.models import Autoencoder
from kerasae.report.findings import Findings

FACTS = "report.json"
# More values are left out of the file: rows of photographs would make it huge.
MOST_COLUMNS, MOST_EXAMPLE_VALUES = 4096, 50_000
EXAMPLES = 8
# Epochs of the history that are kept; of more, every n-th.
MOST_EPOCHS = 500


class Training(NamedTuple):
    """How a model was trained.

    Attributes:
        data: Name of the data set, or path of the file.
        command: The command line.
        rows: How many rows it was trained on.
        seconds: How long `fit` took.
        settings: Options by name.
        history: Metrics by name, one value an epoch.
    """

    data: str = ""
    command: str = ""
    rows: int = 0
    seconds: float | None = None
    settings: Mapping[str, Any] = {}
    history: Mapping[str, list[float]] = {}


def facts(model: Autoencoder, found: Findings, training: Training) -> dict[str, Any]:
    """What is kept: ranges of columns and codings, a few rows, and how the model was trained.

    Args:
        model: The `Autoencoder`.
        found: What was found of the rows.
        training: How it was trained.

    Returns:
        A dict that JSON can hold.
    """
    content: dict[str, Any] = {
        "image_shape": found.image_shape and list(found.image_shape),
        "codings": _ranges(found.codings, 1),
        "training": {**training._asdict(), "history": _thinned(training.history)},
    }
    if model.schema is not None:
        content["origins"] = [float(column.origin) for column in model.schema]
    flat = found.rows.reshape(len(found.rows), -1)
    if flat.shape[1] <= MOST_COLUMNS:
        content["columns"] = _ranges(flat, 0)
    count = min(EXAMPLES, MOST_EXAMPLE_VALUES // flat.shape[1])
    if count:
        # From the most usual row to the worst.
        shown = found.worst[np.linspace(len(flat) - 1, 0, count).astype(int)]
        shown = list(dict.fromkeys(shown.tolist()))
        content["examples"] = [_plain(found.rows[i]) for i in shown]
    return content


def _ranges(values, percent):
    """Lowest, usual and highest of each column, without as many percent at both ends."""
    if values.shape[1] > MOST_COLUMNS:
        return {}
    finite = np.where(np.isfinite(values), values, np.nan)
    finite[:, np.isnan(finite).all(axis=0)] = 0
    levels = np.nanpercentile(finite, (percent, 50, 100 - percent), axis=0, method="nearest")
    return {name: _plain(one) for name, one in zip(("low", "typical", "high"), levels, strict=True)}


def _plain(array):
    """Lists of an array, with few digits, and None for what is not finite."""
    if array.ndim > 1:
        return [_plain(one) for one in array]
    return [float(f"{one:.6g}") if math.isfinite(one) else None for one in array.tolist()]


def _thinned(history):
    kept = {}
    for name, values in history.items():
        every = max(1, math.ceil(len(values) / MOST_EPOCHS))
        numbers = np.asarray(values[::-1][::every][::-1])
        if numbers.ndim == 1 and numbers.dtype.kind in "biuf":
            kept[name] = _plain(numbers.astype("float64"))
    return kept


def write_facts(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes them into a folder."""
    text = json.dumps(content, default=str, allow_nan=False)
    (folder / FACTS).write_text(text + "\n", encoding="utf-8")


def stored_training(folder: Path) -> Training:
    """How the model of a folder was trained, as far as it was kept.

    Raises:
        ValueError: What was kept is damaged.
    """
    if not (folder / FACTS).is_file():
        return Training()
    kept = stored_manifest(folder / FACTS).get("training")
    if not isinstance(kept, dict) or not kept.keys() <= {*Training._fields}:
        raise ValueError(
            f"{FACTS} must hold how the model was trained. "
            f"Received: {kept if isinstance(kept, str) else type(kept).__name__} ({folder})"
        )
    return Training(**kept)
