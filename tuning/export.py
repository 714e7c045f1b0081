"""The winner of a sweep, or any saved model, as a numbered export."""

from pathlib import Path

from kerasae.deployment import write_serving_files
from kerasae.export import KERAS_FILE, write_saved_model
from kerasae.loading import load_model
from kerasae.publishing import publish
from kerasae.runtimes import write_litert, write_onnx
from kerasae.tuning.results import best_model, best_row, is_sweep

FORMATS = {"saved_model": write_saved_model, "onnx": write_onnx, "litert": write_litert}


def export_model(source, directory, form="saved_model", features=()):
    """Publishes the winner of a sweep, or a saved model, for TF Serving or another runtime.

    Args:
        source: Folder of a sweep, a .keras file, or a folder of a model's versions.
        directory: Folder of the versions to add one to.
        form: A name of `FORMATS`.
        features: Names of layers whose outputs the signature `features` of a SavedModel gives.

    Returns:
        Path of the version, with the export, its manifest and the Keras model in it.

    Raises:
        FileNotFoundError: There is no such sweep or model.
        ModuleNotFoundError: The format needs a package that is missing.
        ValueError: No trial was completed, or the model is damaged or not finite.
    """
    if features and form != "saved_model":
        raise ValueError(f"--features with --format {form}; expected --format saved_model")
    if is_sweep(source):
        model, row = best_model(source), best_row(source)
        figures = {name: row[name] for name in ("val_mse", "spread", "test_mse") if row[name]}
    else:
        model, figures = load_model(source), None

    def write(folder):
        own = {}
        if form == "saved_model":
            own = {"features": features, "name": Path(directory).name}
        FORMATS[form](model, folder, figures, **own)
        model.save(folder / KERAS_FILE)

    folder = publish(write, directory)
    write_serving_files(folder.parent.parent)
    return folder
