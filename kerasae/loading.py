"""Loading what was saved, and nothing that runs code when loaded."""

import json
import re
import zipfile
from pathlib import Path

import keras

from kerasae.export import KERAS_FILE, manifest
from kerasae.models import Autoencoder
from kerasae.publishing import MANIFEST, versions


def load_model(path):
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
    path = _keras_file(Path(path))
    if path.suffix != ".keras":
        raise ValueError(
            f"format {path.suffix or 'without a suffix'} ({path}); expected a .keras file: others "
            "can run code when loaded; try model.save('model.keras')"
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
            words = "a Lambda layer, which runs code when loaded", "layers of named classes"
        elif unknown := re.search(r"Could not locate \w+ '[^']+'", str(error)):
            words = unknown[0], "classes of Keras or kerasae; try importing the module that has it"
        else:
            raise ValueError(_corrupt(path, error)) from error
        raise ValueError(f"{words[0]} ({path}); expected {words[1]}") from error
    if not isinstance(model, Autoencoder):
        raise ValueError(f"a {type(model).__name__} ({path}); expected a kerasae Autoencoder")
    return model


def newest(path):
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
            f"no such model ({path}); expected a .keras file or saved_models/NAME[/VERSION]"
        )
    return path


def _corrupt(path, error):
    reason = " ".join(str(error).split())[:200]
    return f"corrupt model file: {reason} ({path}); expected a whole .keras file; try saving again"


def read_manifest(path):
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
    path = newest(Path(path))
    file = path / MANIFEST
    if not file.exists():
        return manifest(load_model(path))
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"damaged manifest: {error} ({file}); expected JSON") from error
