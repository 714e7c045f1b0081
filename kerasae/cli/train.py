"""`kerasae train`."""

import itertools
import math
import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from kerasae.cli.families import FamilyOption
from kerasae.cli.imports import imported_beside
from kerasae.cli.processes import ProcessesOption, fit_in_processes
from kerasae.cli.streamed import StreamOption, is_streamed, progress_of, survey_of
from kerasae.cli.terminal import (
    THRESHOLDS,
    CategoricalOption,
    ColumnsOption,
    DataOption,
    DropOption,
    IdOption,
    KeepOption,
    KeyOption,
    NormalLabelOption,
    OutputOption,
    check_name,
    console,
    data_name,
    names,
    say,
    show_path,
    starting,
)

# Image files are held up to this part of the memory, and streamed beyond it.
HELD = 8
TEST_VALUES = 2**16  # of a step of testing, at least a batch
BACKUP_SECONDS = 1  # between two backups: what a run that is killed has to do again


def train(
    data: DataOption = "digits",
    model: FamilyOption = None,
    hidden: Annotated[
        str | None,
        typer.Option(help="Widths, 300-100-300. By default as many as columns, then a quarter."),
    ] = None,
    activation: Annotated[
        str | None, typer.Option(help="Activation of the hidden layers. By default the family's.")
    ] = None,
    images: Annotated[
        bool | None,
        typer.Option(
            "--images/--no-images",
            help="Convolutions, for any family, where rows are images. By default in colour, "
            "or from image files.",
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Brings image files to WIDTHxHEIGHT. By default their own.")
    ] = None,
    scaler: Annotated[
        str,
        typer.Option(
            help="auto (pixels for images, else range), pixels, range, standard or none; for "
            "tables standard, range, robust or normal."
        ),
    ] = "auto",
    epochs: Annotated[
        int | None, typer.Option(help="Most passes over the rows. By default about 18,000 steps.")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without a lower error of test rows, then it stops; 0 for never."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Rows a step. By default 128, or 32 under 10,000 rows.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Of Adam.")] = 0.001,
    rho: Annotated[
        float | None, typer.Option(help="Sparse: target of the mean activation.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Weight of the family's penalty, if it has one.")
    ] = None,
    k: Annotated[int | None, typer.Option(help="K-sparse: codings that a row keeps.")] = None,
    winners: Annotated[
        float | None, typer.Option(help="Winner-take-all: share of the rows that win.")
    ] = None,
    likelihood: Annotated[
        str | None, typer.Option(help="Variational: bernoulli, for values in [0, 1], or gaussian.")
    ] = None,
    prior: Annotated[
        str | None, typer.Option(help="Adversarial: gaussian, mixture or swiss-roll.")
    ] = None,
    tied: Annotated[
        bool, typer.Option("--tied", help="Decoder weights are the encoder's, transposed.")
    ] = False,
    corruption: Annotated[
        str | None,
        typer.Option(
            help="gaussian:STDDEV or salt-pepper:RATE, for tables wrong:RATE, swap:RATE or "
            "missing:RATE, in training only."
        ),
    ] = None,
    threshold: Annotated[
        str,
        typer.Option(
            help=THRESHOLDS + ", of the test rows. With labels of 0 and 1, also f1 or fpr:0.01."
        ),
    ] = "p99",
    allow_short: Annotated[
        bool,
        typer.Option(
            "--allow-short", help="Publishes a short training that is worse than the mean, too."
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="The same seed gives the same weights.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Goes on with a training that was stopped.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="By default DATA-MODEL.")] = None,
    output: OutputOption = Path("saved_models"),
    key: KeyOption = None,
    label: NormalLabelOption = None,
    keep: KeepOption = None,
    columns: ColumnsOption = None,
    drop: DropOption = None,
    ids: IdOption = None,
    categorical: CategoricalOption = None,
    test_fraction: Annotated[float, typer.Option(help="Rows kept for testing.")] = 0.2,
    window: Annotated[
        int | None, typer.Option(help="Steps of a window, where rows are the steps of a series.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(help="Steps from one window to the next. By default 1.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option("--time", help="Column that holds the time of each step.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Column that holds the series of each step.")
    ] = None,
    recurrent: Annotated[
        str | None, typer.Option(help="Recurrent layers for windows, gru or lstm.")
    ] = None,
    stream: StreamOption = None,
    processes: ProcessesOption = None,
) -> None:
    """Trains an autoencoder and saves it with its metrics and plots as OUTPUT/NAME/VERSION."""
    from kerasae.cli.comparison import compare_with_pca
    from kerasae.validation import check_count, parse_layout

    check_name(name)
    for option, count in {"--epochs": epochs, "--batch-size": batch_size}.items():
        check_count(option, count)
    hidden_units = hidden and parse_layout(hidden)
    with starting():
        from kerasae.callbacks import StabilityGuard
        from kerasae.cli import series
        from kerasae.cli.backups import backup_folder
        from kerasae.cli.score_table import calibrated, check_threshold, without_anomalies
        from kerasae.models import recipes
        from kerasae.tables.recipes import default_family
    options = {"activation": activation, "rho": rho, "beta": beta, "corruption": corruption}
    options |= {"k": k, "winners": winners, "likelihood": likelihood, "prior": prior}
    options = recipes.family_options(model or "stacked", options | {"tied": tied or None})
    check_threshold(threshold)
    _check_series(window, stream, stride=stride, time=time_column, group=group, recurrent=recurrent)
    chosen: dict[str, Any] = {
        "drop": names(drop),
        "ids": names(ids),
        "keep": keep or (),
        "columns": names(columns) or None,
        "categorical": names(categorical),
        "label": label,
        "test_fraction": test_fraction,
    }
    if window is None:
        rows = _rows_in(data, chosen, key=key, size=size, images=images, stream=stream)
    else:
        steps = series.load_steps(data, time_column, group, label=label, key=key)
        rows, steps = series.rows_of(steps, window, stride, test_fraction)
    check_threshold(threshold, rows.y_test, known=True)
    every, rows = rows, without_anomalies(rows, label, processes)
    model = model or default_family(rows)
    with_stack = {**options, **recipes.stack_option(recurrent)}
    rows, autoencoder, hidden_units = _made(
        rows, model, hidden_units, with_stack, scaler, images, seed
    )
    every = every._replace(x=every.x.reshape(-1, *rows.x.shape[1:]))
    count = rows.source.rows if rows.source else len(rows.x_train) + len(rows.more)
    batch_size = _batch_size(batch_size or recipes.default_batch_size(count), count, processes)
    epochs = epochs or recipes.default_epochs(count, batch_size)
    patience = recipes.default_patience(epochs) if patience is None else patience
    autoencoder.compile(recipes.optimizer_of(autoencoder, learning_rate))
    directory = output / (name or f"{data_name(data)}-{model}")
    began = {**options, "model": model, "scaler": scaler, "hidden": list(hidden_units)}
    began |= {"epochs": epochs, "batch size": batch_size, "learning rate": learning_rate}
    began |= {"patience": patience, "seed": seed, "rows": _rows_of(rows)}
    began |= {n: v for n, v in {"recurrent": recurrent, "processes": processes}.items() if v}
    with backup_folder(directory, began, resume) as folder:
        guard = StabilityGuard(x=rows.x_train, allow_short=allow_short)
        history, seconds = _fit_by(
            processes, autoencoder, rows, epochs, batch_size, patience, folder, guard
        )
        metrics, pca = compare_with_pca(autoencoder, rows)
        if every.is_test.any():
            metrics |= calibrated(autoencoder, every, threshold)
        settings = {name: value for name, value in began.items() if name != "rows"}
        known = {"data": data, "settings": settings, "seconds": seconds, "history": history}
        extra = series.extras(autoencoder, steps, threshold, metrics) if window else {}
        _save(autoencoder, every, directory, metrics, pca, {**known, "rows": count}, extra)


def _batch_size(wanted, rows, processes):
    """Rows a step: no more than there are, and as many for each process."""
    from kerasae.validation import check_count

    check_count("--processes", processes)
    return math.ceil(min(wanted, rows) / (processes or 1)) * (processes or 1)


def _rows_in(data, chosen, *, key, size, images, stream):
    """The rows of a data set or a file, or a sample and the source of those of a large one."""
    from kerasae.datasets.archives import memory
    from kerasae.tables.data import load_data
    from kerasae.validation import parse_size

    if is_streamed(data, stream):
        for name, value in {"key": key, "size": size}.items():
            if value is not None:
                raise ValueError(
                    f"{name} (--{name}) must go with a file that is read whole. "
                    f"Received: {name}={value} ({data}). Try --no-stream"
                )
        return survey_of(data, **chosen)
    return load_data(
        data,
        **chosen,
        key=key,
        image_shape=parse_size(size) if size else None,
        held=memory() // HELD if images is not False else None,
    )


def _check_series(window, stream, **options):
    """Refuses options of series without a window, and unknown layers."""
    if window is not None and stream:
        raise ValueError("stream (--stream) must go without a window. Received: both")
    from kerasae.models import recipes

    recipes.stack_option(options["recurrent"])
    for name, value in options.items():
        if window is None and value is not None:
            raise ValueError(
                f"{name} must go with a window. Received: {name}={value}. Try --window 100, the "
                "number of steps"
            )


def _made(rows, family, hidden_units, options, scaler, images, seed):
    """The rows in the shape that the model takes, the model, and its hidden units."""
    import keras

    from kerasae.cli.explained import show_schema
    from kerasae.models import recipes
    from kerasae.tables.recipes import build_model, default_units, make_scaler
    from kerasae.tables.streamed import CountedRows, ShapedRows

    if rows.schema is not None:
        show_schema(rows.schema)
    elif rows.x.ndim == 2:  # windows of a series have their shape
        shape = recipes.row_shape(family, rows.x.shape[1], rows.image_shape, images)
        rows = rows._replace(x=rows.x.reshape(-1, *shape))
        if rows.source and len(shape) > 1:
            rows = rows._replace(source=ShapedRows(rows.source, shape))
    hidden_units = hidden_units or default_units(family, rows)
    _check_memory(rows.x.shape[1:], hidden_units)
    if rows.source:
        with progress_of("scaling", rows.source.rows) as seen:
            fitted = make_scaler(scaler, rows, CountedRows(rows.source, seen))
    else:
        fitted = make_scaler(scaler, rows)
    keras.utils.set_random_seed(seed)
    autoencoder = build_model(family, hidden_units, options, rows, fitted)
    recipes.start_at_mean(autoencoder, rows.x_train)
    return rows, autoencoder, hidden_units


def _rows_of(rows):
    """Shape and checksum of the rows, which a resumed training must have again."""
    import zlib

    import numpy as np

    both = rows.x_train, rows.x_test
    held = [[*x.shape, zlib.crc32(np.ascontiguousarray(x).tobytes())] for x in both]
    held += [[rows.source.rows]] if rows.source else []
    return held + ([[len(rows.more)]] if rows.more else [])


def _check_memory(input_shape, hidden_units):
    """Refuses widths whose weights alone, with Adam's two moments, exceed the memory there is."""
    from kerasae.datasets.archives import memory
    from kerasae.validation import shortened

    first = input_shape[-1] if len(input_shape) == 3 else math.prod(input_shape)
    pairs = itertools.pairwise((first, *hidden_units))
    needed = 2 * 3 * 4 * sum(inner * outer for inner, outer in pairs)
    if needed > memory():
        raise ValueError(
            f"hidden must give a model that fits into the memory of {memory() / 2**30:.0f} GiB. "
            f"Received: a width of {shortened(max(hidden_units))}. Try smaller widths"
        )


def _fit_by(processes, autoencoder, rows, *arguments):
    """History and seconds of a fit, by this process or several."""
    if not processes:
        return _fit(autoencoder, rows, *arguments)
    start = time.perf_counter()
    history = fit_in_processes(autoencoder, rows, processes, *arguments, seconds=BACKUP_SECONDS)
    epochs, _, patience, _, _ = arguments
    _say_why_it_ended(history, f"val_{autoencoder._objective}", epochs, patience)
    return history, time.perf_counter() - start


def _fit(autoencoder, rows, epochs, batch_size, patience, folder, guard):
    from keras.callbacks import EarlyStopping, LambdaCallback
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from kerasae.callbacks import AtomicBackup

    metric = autoencoder._objective
    shown = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    stops = []
    if patience and rows.is_test.any():
        stops = [
            EarlyStopping(f"val_{metric}", patience=patience, restore_best_weights=True, mode="min")
        ]
    start = time.perf_counter()
    backup = AtomicBackup(folder, [guard, *stops], keep=True, seconds=BACKUP_SECONDS)
    if backup.path.exists():
        say(f"going on from {backup.path}")
    drawing = ("kerasae.report", "matplotlib.backends.backend_svg")
    later = imported_beside("kerasae.export", *drawing)
    x = rows.source or (_stream(rows, batch_size) if rows.more else rows.x_train)
    with Progress(*shown, console=console) as progress, later:
        task = progress.add_task("training", total=epochs)

        def show(epoch, logs):
            text = f"{metric} {logs[metric]:.5f}, test {logs[f'val_{metric}']:.5f}, epoch"
            progress.update(task, completed=epoch + 1, description=text)

        showing = LambdaCallback(on_epoch_end=show)
        if rows.more:
            # A training that goes on sees the images in the order that it would have had.
            showing = LambdaCallback(lambda epoch, logs: x.go_to(epoch), show)
        autoencoder.fit(
            x,
            validation_data=rows.x_test,
            epochs=epochs,
            batch_size=None if rows.more else batch_size,
            validation_batch_size=max(batch_size, TEST_VALUES // max(1, rows.x[0].size)),
            verbose=0,
            callbacks=[showing, *_rows_shown(rows, progress, batch_size), guard, *stops, backup],
        )
    _say_why_it_ended(backup.history, f"val_{metric}", epochs, patience if stops else 0)
    return backup.history, time.perf_counter() - start


def _rows_shown(rows, progress, batch_size):
    """A bar over the rows of an epoch, where that takes long."""
    if not rows.source:
        return []
    from keras.callbacks import LambdaCallback

    count = rows.source.rows
    console.print(f"streaming {count:,} rows; tests and plots see {len(rows.x):,} of them")
    task = progress.add_task(f"{count:,} rows an epoch", total=count)
    bar = LambdaCallback(
        on_epoch_begin=lambda epoch, logs: progress.reset(task, total=count),
        on_train_batch_end=lambda batch, logs: progress.update(
            task, completed=min(count, (batch + 1) * batch_size)
        ),
    )
    bar.needs_every_batch = False
    return [bar]


def _say_why_it_ended(history, metric, epochs, patience):
    errors = history.get(metric, [])
    if not errors:
        return
    best = min(range(len(errors)), key=errors.__getitem__)
    lowest = f"{metric} was lowest in epoch {best + 1}, {errors[best]:.5f}"
    if len(errors) < epochs:
        note = f"stopped after epoch {len(errors)} of {epochs}: {lowest}, whose weights are kept"
    elif patience and best + 1 < len(errors):
        note = f"all {epochs} epochs: {lowest}, whose weights are kept"
    else:
        note = f"all {epochs} epochs: {metric} was still falling; try --epochs {2 * epochs}"
        if best + 1 < len(errors):
            note = f"all {epochs} epochs: {lowest}"
    say(note)


def _stream(rows, batch_size):
    """All images but those for testing, decoded as they are needed; `rows` holds a part."""
    import numpy as np

    from kerasae.datasets import ImageFolder

    held = [rows.folder / rows.names[i] for i in np.flatnonzero(~rows.is_test)]
    files = [*rows.more, *held]
    console.print(f"streaming {len(files)} images; scaler and plots see {len(rows.x)} of them")
    shape = rows.image_shape
    return ImageFolder(rows.folder, shape, batch_size, shuffle=True, files=files)


def _save(autoencoder, rows, directory, metrics, pca, known, extra):
    from kerasae.export import KERAS_FILE, publish_model, write_serving_files
    from kerasae.report import REPORT, Training, write_report

    command = shlex.join(["kerasae", *sys.argv[1:]])
    training = Training(command=command, **known)

    def report(folder):
        write_report(
            folder,
            autoencoder,
            rows.x_test,
            name=directory.name,
            labels=rows.y_test,
            image_shape=rows.image_shape,
            pca=pca,
            training=training,
        )

    with console.status("saving"):
        # A training that went on has in its own history the last epochs alone, or none.
        autoencoder.history.history = known["history"]
        folder = publish_model(
            autoencoder, directory, metrics=metrics, keras_model=True, report=report, **extra
        )
        write_serving_files(directory.parent)
    show_path("SavedModel", folder)
    show_path("Keras model", folder / KERAS_FILE)
    show_path("report", folder / REPORT)
