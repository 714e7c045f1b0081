"""Loading what was saved, and nothing that runs code when loaded."""

import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import keras

from kerasae.export.manifest import manifest
from kerasae.export.versions import MANIFEST, versions
from kerasae.models import Autoencoder

KERAS_FILE = "model.keras"


def load_model(path: str | os.PathLike[str]) -> Autoencoder:
    """Loads an autoencoder that can be trained on, explained and exported again.

    Args:
        path: A .keras file, the folder of a version that holds one (`saved_models/NAME/1`), or the
            folder of the versions (`saved_models/NAME`), whose newest is taken.

    Returns:
        The model, compiled as it was saved.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: A damaged or foreign file, another format, or code that would run when loaded.
    """
    path = _keras_file(path)
    if path.suffix != ".keras":
        raise ValueError(
            "a model must be a .keras file, as other formats can run code when loaded. "
            f"Received: {path}. Try model.save('model.keras')"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(_corrupt(path, error)) from error
    if damaged or not {"config.json", "model.weights.h5"} <= set(names):
        raise ValueError(_corrupt(path, f"{damaged or 'config.json or weights'} is broken"))
    try:
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:
        if "ambda" in str(error):
            wanted, got = "layers of named classes", "a Lambda layer, which runs code when loaded"
            hint = "a subclass of keras.layers.Layer"
        elif unknown := re.search(r"Could not locate \w+ '[^']+'", str(error)):
            wanted, got = "classes of Keras or kerasae", unknown[0]
            hint = "importing the module that has it"
        else:
            raise ValueError(_corrupt(path, error)) from error
        raise ValueError(
            f"the model must consist of {wanted}. Received: {got} ({path}). Try {hint}"
        ) from error
    if not isinstance(model, Autoencoder):
        raise ValueError(
            f"the model must be a kerasae Autoencoder. Received: a {type(model).__name__} ({path})"
        )
    return model


def newest(path: str | os.PathLike[str]) -> Path:
    """The newest version where a path is the folder of several, else the path itself."""
    path = Path(path)
    numbers = versions(path)
    return path / str(numbers[-1]) if numbers else path


def _keras_file(path):
    path = newest(path)
    if path.is_dir():
        path = path / KERAS_FILE
    if not path.exists():
        raise FileNotFoundError(
            "the model must be a .keras file or saved_models/NAME[/VERSION]. "
            f"Received: {path}, which does not exist"
        )
    return path


def _corrupt(path, error):
    reason = " ".join(str(error).split())[:200]
    return f"the model must be a whole .keras file. Received: a corrupt one ({path}): {reason}"


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The manifest of a saved model.

    Args:
        path: A .keras file, the folder of a version, or the folder of the versions, whose newest is
            taken.

    Returns:
        A dict, as `manifest` makes it. A .keras file is loaded to make it.

    Raises:
        FileNotFoundError: There is no model.
        ValueError: The model or its manifest is damaged.
    """
    path = newest(path)
    file = path / MANIFEST
    if not file.exists():
        return manifest(load_model(path))
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the manifest must be JSON. Received: {error} ({file})") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"the manifest must be a JSON object. Received: a {type(content).__name__} ({file})"
        )
    return content
