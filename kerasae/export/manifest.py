"""The manifest: a description of a model that can be read without loading it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasae._version import __version__
from kerasae.export.named import describe_inputs
from kerasae.export.versions import MANIFEST
from kerasae.models import Autoencoder


def manifest(model: Autoencoder, metrics: Mapping[str, float] | None = None) -> dict[str, Any]:
    """Describes a model: versions, shape, columns, layout, scaler, metrics.

    Args:
        model: An `Autoencoder`.
        metrics: Numbers by name to add to those of the last `fit`.

    Returns:
        A dict that JSON can hold.
    """
    history = getattr(model, "history", None)
    last = {name: values[-1] for name, values in history.history.items()} if history else {}
    scaler = model.scaler
    return {
        "name": model.name,
        "kerasae": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "row_shape": list(model.row_shape),
        "columns": None if model.columns is None else list(model.columns),
        **({} if model.schema is None else {"table": describe_inputs(model)}),
        "layout": layout(model),
        "codings": int(np.prod(model.encoder.output_shape[1:])),
        "scaler": None if scaler is None else type(scaler).__name__,
        "threshold": model.anomaly.threshold if model.anomaly.fitted else None,
        "parameters": model.count_params(),
        "epochs": len(history.epoch) if history else 0,
        "metrics": {name: _plain(value) for name, value in {**last, **(metrics or {})}.items()},
    }


def _plain(value):
    """A metric as JSON holds it: a number, a list of one value a feature, or a text."""
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        return str(value)
    return array.astype("float64").tolist()


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Writes a manifest into a folder that is not published yet."""
    text = json.dumps(content, indent=2, default=str)
    (Path(folder) / MANIFEST).write_text(text + "\n", encoding="utf-8")


def layout(model: Autoencoder) -> str:
    """The widths of the hidden layers, or filters of the convolutions, "300-100-300"."""
    layers = model.encoder.layers
    half = [getattr(one, "units", getattr(one, "filters", None)) for one in layers]
    widths = [str(width) for width in half if width is not None]
    return "-".join(widths + widths[-2::-1])
