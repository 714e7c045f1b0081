"""`kerasae report`."""

import functools
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import (
    KeyOption,
    LabelOption,
    ModelArgument,
    console,
    model_name,
    show_path,
    starting,
)

# Of a series, the share at its end that is reported on.
TEST_SHARE = 0.2


def report(
    model: ModelArgument,
    data: Annotated[
        str | None, typer.Argument(help="Rows to report on. By default those of the training.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder to write to. By default the version's own."),
    ] = None,
    key: KeyOption = None,
    label: LabelOption = None,
) -> None:
    """Writes report.html, a page on what a model is and how good it is, and model_card.md."""
    with starting():
        from kerasae.export import load_model
        from kerasae.export.load import newest
        from kerasae.export.versions import MANIFEST, replace_files
        from kerasae.report import REPORT, stored_training, write_report
    autoencoder = load_model(model)
    folder = newest(model)
    training = stored_training(folder) if folder.is_dir() else stored_training(folder.parent)
    source = data or training.data
    if not source:
        raise ValueError(
            "data must be given for a model whose training is not recorded. Received: none. "
            f"Try kerasae report {model} DATA"
        )
    rows = _rows(model, autoencoder, source, key, label)
    published = (folder / MANIFEST).is_file()
    with console.status("drawing"), tempfile.TemporaryDirectory() as made:
        write_report(
            Path(made),
            autoencoder,
            rows.x_test,
            name=model_name(model),
            labels=rows.y_test,
            image_shape=rows.image_shape,
            pca=_pca_errors(autoencoder, rows),
            training=training,
            manifest=folder / MANIFEST if published else None,
        )
        target = output or (folder if published else Path(f"{model_name(model)}-report"))
        if output is None and published:
            replace_files(folder, Path(made))
        else:
            _copy(Path(made), target)
    show_path("report", target / REPORT)


def _rows(model, autoencoder, source, key, label):
    """The rows of a file; of a series the windows, those of its end to test on, as in training."""
    if len(autoencoder.row_shape) != 2:
        from kerasae.cli.tables import load_rows

        return load_rows(autoencoder, source, key, label)
    from kerasae.cli.series import rows_of, steps_for

    steps = steps_for(model, autoencoder, source, time=None, group=None, label=label, key=key)
    rows, _ = rows_of(steps, autoencoder.row_shape[0], None, TEST_SHARE)
    return rows


def _copy(made, target):
    from kerasae.atomic import write_file

    for path in sorted(made.rglob("*")):
        if path.is_file():
            place = target / path.relative_to(made)
            write_file(place, functools.partial(shutil.copyfile, path))


def _pca_errors(autoencoder, rows):
    """Mean error of each column of PCA with as many components as there are codings."""
    if autoencoder.schema is not None:
        return None
    import numpy as np

    from kerasae.report.findings import scaled
    from kerasae.report.principal import principal

    parts = [scaled(autoencoder, x).reshape(len(x), -1) for x in (rows.x_train, rows.x_test)]
    codings = int(np.prod(autoencoder.encoder.output_shape[1:]))
    projected = principal(parts[0], min(codings, *parts[0].shape))(parts[1])
    return np.square(parts[1] - projected).mean(axis=0)
