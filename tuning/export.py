"""The winner of a sweep, or any saved model, as a numbered SavedModel."""

from pathlib import Path

from kerasae.deployment import write_serving_files
from kerasae.export import KERAS_FILE, write_saved_model
from kerasae.loading import load_model
from kerasae.publishing import publish
from kerasae.tuning.results import best_model, best_row, is_sweep


def export_model(source, directory, features=()):
    """Publishes the winner of a sweep, or a saved model, for TF Serving.

    Args:
        source: Folder of a sweep, a .keras file, or a folder of a model's versions.
        directory: Folder of the versions to add one to.
        features: Names of layers whose outputs the signature `features` gives.

    Returns:
        Path of the version, with the SavedModel, its manifest and the Keras model in it.

    Raises:
        FileNotFoundError: There is no such sweep or model.
        ValueError: No trial was completed, or the model is damaged or not finite.
    """
    if is_sweep(source):
        model, row = best_model(source), best_row(source)
        figures = {name: row[name] for name in ("val_mse", "spread", "test_mse") if row[name]}
    else:
        model, figures = load_model(source), None

    def write(folder):
        name = Path(directory).name
        write_saved_model(model, folder, figures, features=features, name=name)
        model.save(folder / KERAS_FILE)

    folder = publish(write, directory)
    write_serving_files(folder.parent.parent)
    return folder
