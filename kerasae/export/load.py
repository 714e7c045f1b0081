"""Loading what was saved, and nothing that runs code when loaded."""

import os
import re
from pathlib import Path
from typing import Any

import keras

from kerasae.datasets.archives import damage
from kerasae.export.keras_file import CORRUPT, check_keras_file
from kerasae.export.manifest import manifest
from kerasae.export.versions import MANIFEST, stored_manifest, versions
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

    Example:
        >>> model = load_model("saved_models/digits")  # doctest: +SKIP
        >>> model.encode(rows)  # doctest: +SKIP
    """
    file = _keras_file(path)
    if file.suffix != ".keras":
        raise ValueError(
            "a model must be a .keras file, as other formats can run code when loaded. "
            f"Received: {file}. Try model.save('model.keras')"
        )
    check_keras_file(file)
    try:
        model = keras.saving.load_model(file, safe_mode=True)
    except Exception as error:
        if "ambda" in str(error):
            wanted, got = "layers of named classes", "a Lambda layer, which runs code when loaded"
            hint = "a subclass of keras.layers.Layer"
        elif unknown := re.search(r"Could not locate \w+ '[^']+'", str(error)):
            wanted, got = "classes of Keras or kerasae", unknown[0]
            hint = "importing the module that has it"
        else:
            raise ValueError(damage(error, file, CORRUPT)) from error
        raise ValueError(
            f"the model must consist of {wanted}. Received: {got} ({file}). Try {hint}"
        ) from error
    if not isinstance(model, Autoencoder):
        raise ValueError(
            f"the model must be a kerasae Autoencoder. Received: a {type(model).__name__} ({file})"
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
    return stored_manifest(file)
