"""`kerasae detector`."""

from pathlib import Path
from typing import Annotated

import typer

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
    console,
    data_name,
    names,
    show_path,
    starting,
)


def detector(
    data: DataOption,
    contamination: Annotated[
        float, typer.Option(help="Share of the rows that may be anomalies, which are left out.")
    ] = 0.0,
    threshold: Annotated[str, typer.Option(help=THRESHOLDS + ", of held-out rows.")] = "p99",
    memory: Annotated[
        int | None, typer.Option(help="Rows of DATA that are kept in the model to compare with.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scores.")] = 0,
    name: Annotated[str | None, typer.Option(help="By default DATA-detector.")] = None,
    output: OutputOption = Path("saved_models"),
    key: KeyOption = None,
    label: NormalLabelOption = None,
    keep: KeepOption = None,
    columns: ColumnsOption = None,
    drop: DropOption = None,
    ids: IdOption = None,
    categorical: CategoricalOption = None,
) -> None:
    """Trains a detector of anomalies on the rows of DATA, for `kerasae anomalies` and `serve`."""
    with starting():
        from kerasae.anomaly import Detector
        from kerasae.cli.explained import show_schema
        from kerasae.cli.score_table import without_anomalies
        from kerasae.cli.tables import verbosity
        from kerasae.export import KERAS_FILE, publish_model, write_serving_files
        from kerasae.tables.data import load_data
    made = Detector(contamination=contamination, threshold=threshold, memory=memory, seed=seed)
    rows = load_data(
        data,
        columns=names(columns) or None,
        drop=names(drop),
        ids=names(ids),
        categorical=names(categorical),
        key=key,
        label=label,
        keep=keep or (),
        test_fraction=0,
    )
    rows = without_anomalies(rows, label)
    if rows.schema is not None:
        show_schema(rows.schema)
    with console.status("training"):
        made.fit(rows.x, columns=rows.columns, schema=rows.schema, verbose=verbosity())
    calibration = made.model.anomaly
    directory = output / (name or f"{data_name(data)}-detector")
    with console.status("saving"):
        folder = publish_model(
            made.model,
            directory,
            metrics={"threshold": calibration.threshold, "kept_share": float(made.kept.mean())},
            plots=_plots(calibration),
            keras_model=True,
        )
        write_serving_files(directory.parent)
    left_out = int((~made.kept).sum())
    console.print(
        f"trained on {len(rows.x) - left_out} rows, {left_out} left out; threshold "
        f"{calibration.threshold:.4g} from {len(calibration.scores)} rows held out"
    )
    kept = 0 if calibration.parts is None else len(calibration.parts.memory)
    console.print(
        f"{kept} rows of {data} are in the model: whoever has it has them",
        soft_wrap=True,
    )
    show_path("SavedModel", folder)
    show_path("Keras model", folder / KERAS_FILE)
    show_path("plots", folder / "plots")


def _plots(calibration):
    from kerasae import plots

    return {
        "scores": plots.error_histogram(
            calibration.scores, threshold=calibration.threshold, quantity="anomaly score"
        )
    }
