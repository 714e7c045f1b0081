"""`kerasae features`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from kerasae.cli.engine import (
    AddressOption,
    EngineOption,
    RowIdOption,
    WorkersOption,
    check_engine,
    run_on_engine,
)
from kerasae.cli.streamed import StreamOption, is_streamed
from kerasae.cli.terminal import (
    DataOption,
    GroupOption,
    KeepOption,
    KeyOption,
    LabelOption,
    ModelArgument,
    TimeOption,
    console,
    starting,
)


def features(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help=".parquet, .csv or .npy file.")],
    layer: Annotated[str, typer.Option(help="Layer whose output to write.")] = "codings",
    key: KeyOption = None,
    label: LabelOption = None,
    keep: KeepOption = None,
    stream: StreamOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    workers: WorkersOption = None,
    ids: RowIdOption = None,
    time: TimeOption = None,
    group: GroupOption = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Series: steps from one window to the next, by default as in training."),
    ] = None,
) -> None:
    """Writes the deep features of all rows, or windows, of DATA, in their order."""
    check_engine(engine, address=address, workers=workers, id=ids)
    if engine is not None:
        return run_on_engine(
            engine,
            model,
            data,
            output,
            what="features",
            ids=ids,
            address=address,
            workers=workers,
            layer=layer,
            refused={"key": key, "label": label, "time": time, "group": group, "stride": stride},
        )
    with starting():
        from kerasae.cli.tables import check_suffix, id_columns, load_rows, verbosity, write_table
        from kerasae.export import load_model
        from kerasae.methods import deep_features
        from kerasae.methods.features import feature_columns
    check_suffix(output, (".parquet", ".csv", ".npy"))
    autoencoder = load_model(model)
    x: Any
    of_series = len(autoencoder.row_shape) == 2
    if of_series:
        from kerasae.cli.series import windows_for

        apart = {"time": time, "group": group, "label": label, "key": key}
        x, carried = windows_for(model, autoencoder, data, stride, **apart)
    else:
        _refuse_series(time=time, group=group, stride=stride)
        if is_streamed(data, stream, autoencoder.row_shape):
            from kerasae.cli.scored_files import write_features

            return write_features(autoencoder, data, output, layer, label, keep)
        rows = load_rows(autoencoder, data, key, label, keep)
        x, carried = rows.x, id_columns(rows)
    found = feature_columns(deep_features(autoencoder, x, layer, verbose=verbosity()), layer)
    carried = {} if output.suffix == ".npy" else carried
    write_table({**carried, **found}, output)
    what = "windows" if of_series else "rows"
    console.print(f"{len(x)} {what}, {len(found)} columns: {output}", soft_wrap=True)


def _refuse_series(**options):
    for name, value in options.items():
        if value is not None:
            raise ValueError(
                f"{name} must go with a model of windows of a series. Received: {name}={value}"
            )
