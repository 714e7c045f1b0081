"""`kerasae anomalies`."""

from pathlib import Path
from typing import Annotated

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
    THRESHOLDS,
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


def anomalies(
    model: ModelArgument,
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", "-o", help=".csv or .parquet file.")],
    threshold: Annotated[
        str | None,
        typer.Option(
            help=THRESHOLDS + ". By default the model's own. With labels of 0 and 1, also f1 or "
            "fpr:0.01."
        ),
    ] = None,
    guard: Annotated[
        float | None, typer.Option(help="Weight of the distance in the codings, in the score.")
    ] = None,
    normal: Annotated[
        str | None,
        typer.Option(help="Normal rows to take the threshold from, by default those of DATA."),
    ] = None,
    per_feature: Annotated[
        bool, typer.Option(help="Write each column's error, or contribution, too.")
    ] = False,
    key: KeyOption = None,
    label: LabelOption = None,
    keep: KeepOption = None,
    time: TimeOption = None,
    group: GroupOption = None,
    min_duration: Annotated[
        int, typer.Option(help="Series: steps that an anomaly has at least.")
    ] = 1,
    max_gap: Annotated[
        int, typer.Option(help="Series: steps between two anomalies that become one, at most.")
    ] = 0,
    stream: StreamOption = None,
    engine: EngineOption = None,
    address: AddressOption = None,
    workers: WorkersOption = None,
    ids: RowIdOption = None,
) -> None:
    """Writes the anomaly scores of all rows or steps of DATA, and pictures of the worst."""
    check_engine(engine, address=address, workers=workers, id=ids)
    if engine is not None:
        return run_on_engine(
            engine,
            model,
            data,
            output,
            what="anomalies",
            ids=ids,
            address=address,
            workers=workers,
            refused={
                "threshold": threshold,
                "guard": guard,
                "normal": normal,
                "per-feature": per_feature,
                "key": key,
                "label": label,
                "time": time,
                "group": group,
            },
        )
    with starting():
        from kerasae import anomaly
        from kerasae.cli.score_pictures import draw, pictures
        from kerasae.cli.score_table import binary_labels, score_table, show_ranking, worst_table
        from kerasae.cli.tables import check_suffix, id_columns, load_rows, verbosity, write_table
        from kerasae.export import load_model
    check_suffix(output, (".csv", ".parquet"))
    autoencoder = load_model(model)
    if len(autoencoder.row_shape) == 2:
        from kerasae.cli.series import score_file

        return score_file(
            model,
            autoencoder,
            data,
            output,
            normal=normal,
            apart={"time": time, "group": group, "label": label, "key": key},
            threshold=threshold,
            guard=guard,
            min_duration=min_duration,
            max_gap=max_gap,
            per_feature=per_feature,
        )
    if is_streamed(data, stream, autoencoder.row_shape):
        from kerasae.cli.scored_files import write_scores

        return write_scores(
            autoencoder,
            data,
            output,
            label=label,
            keep=keep,
            per_feature=per_feature,
            threshold=threshold,
            guard=guard,
            normal=normal,
        )
    rows = load_rows(autoencoder, data, key, label, keep)
    labels = binary_labels(rows.y)
    if threshold or normal or guard is not None or not autoencoder.anomaly.fitted:
        x = load_rows(autoencoder, normal, key, label, keep).x if normal else rows.x
        parts = None if guard else autoencoder.anomaly.parts
        known = None if normal else labels
        anomaly.calibrate(
            autoencoder, x, threshold or "p99", guard or 0.0, labels=known, parts=parts
        )
        console.print(
            f"threshold and p-values from the {len(x)} rows of {normal or data}", soft_wrap=True
        )
    table, scores = score_table(
        autoencoder,
        rows.x,
        columns=rows.columns,
        image_shape=rows.image_shape,
        about=id_columns(rows),
        per_feature=per_feature,
        verbose=verbosity(),
    )
    write_table(table, output)
    show_ranking(scores.anomaly_score, labels)
    console.print(worst_table(table))
    flagged = int(scores.is_anomaly.sum())
    console.print(f"{flagged} of {len(rows.x)} rows are anomalies: {output}", soft_wrap=True)
    draw(pictures(autoencoder, rows, scores), output)
