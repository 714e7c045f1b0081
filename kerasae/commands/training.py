"""What `kerasae train` does, once Keras is there."""

import math

import keras
import numpy as np
from keras import ops
from keras.callbacks import LambdaCallback
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table
from sklearn.decomposition import PCA

from kerasae import anomaly, plots
from kerasae.callbacks import StabilityGuard
from kerasae.commands.building import (
    default_units,
    family_options,
    fill_in,
    make_scaler,
    optimizer_of,
    row_shape,
)
from kerasae.datasets import load
from kerasae.deployment import write_serving_files
from kerasae.door import unknown
from kerasae.export import KERAS_FILE, write_saved_model
from kerasae.layers.scaling import scale
from kerasae.models import ZOO
from kerasae.publishing import publish


def train(
    data,
    hidden_units,
    *,
    model,
    scaler,
    epochs,
    batch_size,
    learning_rate,
    seed,
    directory,
    threshold,
    images,
    options,
    load_options,
    console,
):
    """Trains a model of the zoo, compares it with PCA and saves it; see `kerasae train --help`."""
    if model not in ZOO:
        raise ValueError(unknown("model", model, list(ZOO)))
    options = family_options(model, options)
    anomaly.threshold_rule(threshold)
    rows = load(data, **load_options)
    input_shape = row_shape(model, rows, images)
    rows = rows._replace(x=rows.x.reshape(-1, *input_shape))
    scaler = make_scaler(scaler, rows)
    options = fill_in(model, options, rows, scaler)
    keras.utils.set_random_seed(seed)
    autoencoder = ZOO[model](
        input_shape,
        hidden_units or default_units(model, input_shape),
        scaler=scaler,
        columns=rows.columns,
        **options,
    )
    batch_size = batch_size or (32 if len(rows.x_train) < 10_000 else 128)
    steps = math.ceil(len(rows.x_train) / batch_size)
    epochs = epochs or max(1, round(4500 / steps))
    autoencoder.compile(optimizer_of(autoencoder, learning_rate))
    _fit(autoencoder, rows, epochs, batch_size, console)
    figures = _compare_with_pca(autoencoder, rows, console)
    if rows.is_test.any():
        figures["threshold"] = anomaly.calibrate(autoencoder, rows.x_test, threshold)
    _save(autoencoder, rows, directory, figures, console)


def _fit(autoencoder, rows, epochs, batch_size, console):
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=epochs)

        def show(epoch, logs):
            text = f"mse {logs['mse']:.5f}, test {logs['val_mse']:.5f}, epoch"
            progress.update(task, advance=1, description=text)

        autoencoder.fit(
            rows.x_train,
            validation_data=rows.x_test,
            epochs=epochs,
            batch_size=batch_size,
            verbose=0,
            callbacks=[LambdaCallback(on_epoch_end=show), StabilityGuard()],
        )


def _compare_with_pca(autoencoder, rows, console):
    codings = int(np.prod(autoencoder.encoder.output_shape[1:]))
    parts = {"train": rows.x_train, "test": rows.x_test}
    scaled = {
        name: ops.convert_to_numpy(scale(autoencoder.scaler, x)).reshape(len(x), -1)
        for name, x in parts.items()
    }
    pca = PCA(min(codings, *scaled["train"].shape), random_state=0).fit(scaled["train"])
    figures = {}
    table = Table("mean squared error (scaled)", *parts)
    for who in (autoencoder.name, f"PCA, {codings} components"):
        errors = []
        for name, x in parts.items():
            if who == autoencoder.name:
                key, error = f"{name}_mse", autoencoder.reconstruction_error(x).mean()
            else:
                projected = pca.inverse_transform(pca.transform(scaled[name]))
                key, error = f"pca_{name}_mse", np.square(scaled[name] - projected).mean()
            figures[key] = float(error)
            errors.append(f"{error:.5f}")
        table.add_row(who, *errors)
    console.print(table)
    return figures


def _save(autoencoder, rows, directory, figures, console):
    def write(folder):
        write_saved_model(autoencoder, folder, figures, name=directory.name)
        autoencoder.save(folder / KERAS_FILE)
        pictures = folder / "figures"
        pictures.mkdir()
        plots.loss_curve(autoencoder.history.history).savefig(pictures / "loss.png", dpi=120)
        _picture(autoencoder, rows).savefig(pictures / "reconstructions.png", dpi=120)
        if rows.image_shape and autoencoder.prior is not None:
            figure = plots.images(autoencoder.generate(40, seed=0), rows.image_shape)
            figure.savefig(pictures / "generated.png", dpi=120)

    with console.status("saving"):
        folder = publish(write, directory)
        write_serving_files(directory.parent)
    for what, where in (
        ("SavedModel", folder),
        ("Keras model", folder / KERAS_FILE),
        ("figures", folder / "figures"),
    ):
        console.print(f"{what}: {where}", soft_wrap=True, highlight=False)


def _picture(autoencoder, rows):
    if rows.image_shape:
        shown = rows.x_test[:10]
        titles = None if rows.y is None else [str(label) for label in rows.y_test[:10]]
        return plots.reconstructions(
            shown, autoencoder.reconstruct(shown), rows.image_shape, titles
        )
    pair = (rows.x_test[:5], autoencoder.reconstruct(rows.x_test[:5]))
    # Columns of a table have units of their own: only their scaled values share an axis.
    return plots.reconstructions(
        *(ops.convert_to_numpy(scale(autoencoder.scaler, x)) for x in pair)
    )
