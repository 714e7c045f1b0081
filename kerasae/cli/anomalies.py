"""`kerasae anomalies`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kerasae.cli.terminal import (
    THRESHOLDS,
    DataOption,
    KeepOption,
    KeyOption,
    LabelOption,
    ModelArgument,
    console,
    show_path,
    starting,
)

# Shorter side of the images in the picture of anomaly maps, in pixels.
LARGEST_SHOWN = 512


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
    time: Annotated[
        str | None, typer.Option(help="Series: column of the times, by default as in training.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Series: column of the groups, by default as in training.")
    ] = None,
    min_duration: Annotated[
        int, typer.Option(help="Series: steps that an anomaly has at least.")
    ] = 1,
    max_gap: Annotated[
        int, typer.Option(help="Series: steps between two anomalies that become one, at most.")
    ] = 0,
) -> None:
    """Writes the anomaly scores of all rows or steps of DATA, and pictures of the worst."""
    with starting():
        import numpy as np

        from kerasae import anomaly
        from kerasae.cli.explained import worst_columns
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
    rows = load_rows(autoencoder, data, key, label, keep)
    labels = _labels(rows.y)
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
    has_parts = autoencoder.anomaly.parts is not None
    named = 3 if autoencoder.columns and not rows.image_shape and not has_parts else 0
    scores = anomaly.score(autoencoder, rows.x, verbose=verbosity(), top=named)
    errors = scores.feature_errors.reshape(len(rows.x), -1)
    columns = rows.columns or [f"column_{i}" for i in range(errors.shape[1])]
    out = ("feature_errors", "worst")
    table = {"row": np.arange(len(errors)), **id_columns(rows)}
    if rows.names:
        table["file"] = np.array(rows.names)
    table |= {name: value for name, value in scores._asdict().items() if name not in out}
    by_column, what = errors, "error"
    if has_parts:
        by_column = anomaly.explain(autoencoder, rows.x).contributions.reshape(errors.shape)
        what = "contribution"
    if rows.image_shape:
        maps = anomaly.error_maps(scores.feature_errors, rows.image_shape)
        table["worst_region"] = np.array([anomaly.worst_region(one) for one in maps])
    elif scores.worst is not None:
        table["worst_column"] = scores.worst.column[:, 0].astype(str)
        table |= worst_columns(scores.worst)
    else:
        table["worst_column"] = np.array(columns)[by_column.argmax(axis=1)]
    if per_feature:
        table |= {f"{what}_{name}": part for name, part in zip(columns, by_column.T, strict=True)}
    write_table(table, output)
    _show_ranking(scores, labels)
    console.print(_worst(table))
    flagged = int(scores.is_anomaly.sum())
    console.print(f"{flagged} of {len(errors)} rows are anomalies: {output}", soft_wrap=True)
    _draw(_pictures(autoencoder, rows, scores), output)


def _draw(pictures, output):
    from kerasae.atomic import write_file

    for name, figure in pictures.items():
        path = output.with_name(f"{output.stem}-{name}.png")
        write_file(path, partial(figure.savefig, dpi=120))
        show_path("picture", path)


def _show_ranking(scores, labels):
    from kerasae import anomaly

    if labels is not None:
        roc_auc, precision = anomaly.ranking(scores.anomaly_score, labels)
        console.print(f"ROC AUC {roc_auc:.4f}, average precision {precision:.4f}")


def _labels(y):
    """Labels of 0 and 1, or None for others."""
    import numpy as np

    found = None if y is None else np.unique(y)
    is_binary = found is not None and len(found) == 2 and set(found.tolist()) <= {0, 1}
    return np.asarray(y, "int64") if is_binary else None


def _worst(columns):
    """The five rows with the highest scores, as a table to print."""
    import numpy as np
    from rich.table import Table

    shown = [
        "row",
        "file",
        "anomaly_score",
        "p_value",
        "is_anomaly",
        "worst_region",
        "worst_column",
    ]
    shown = [name for name in shown if name in columns]
    table = Table(*(name.replace("_", " ") for name in shown))
    for row in np.argsort(-columns["anomaly_score"])[:5]:
        values = (columns[name][row] for name in shown)
        table.add_row(*(f"{v:.5g}" if isinstance(v, np.floating) else str(v) for v in values))
    return table


def _overlay(autoencoder, rows, scores, worst):
    """The worst images under their anomaly maps, in the size of the worst one's file."""
    from kerasae import anomaly, plots
    from kerasae.datasets.files.images import decoded, shape_of

    shown = rows.x[worst].reshape(-1, *rows.image_shape)
    names = [f"row {row}" for row in worst]
    if rows.names:
        names = [rows.names[row] for row in worst]
        files = [rows.folder / name for name in names]
        height, width, _ = shape_of(files[:1])
        by = max(1, min(height, width) / LARGEST_SHOWN)
        size = round(height / by), round(width / by)
        shown = decoded(files, (*size, rows.image_shape[2]))
    maps = anomaly.error_maps(scores.feature_errors[worst], rows.image_shape, size=shown.shape[1:3])
    scored = zip(names, scores.anomaly_score[worst], strict=True)
    titles = [f"{name[-20:]}\nscore {score:.3g}" for name, score in scored]
    return plots.anomaly_maps(shown, maps, titles, light_is_high=len(rows.image_shape) == 3)


def _pictures(autoencoder, rows, scores):
    import numpy as np
    from keras import ops

    from kerasae import plots
    from kerasae.cli.explained import draw_worst
    from kerasae.layers.scaling import scale

    histogram = plots.error_histogram(
        scores.anomaly_score,
        threshold=autoencoder.anomaly.threshold,
        quantity="anomaly score",
    )
    if autoencoder.columns and not rows.image_shape:
        return {"errors": histogram, "worst": draw_worst(autoencoder, rows.x, rows.ids)}
    worst = np.argsort(-scores.anomaly_score)[:5]
    pair = rows.x[worst], autoencoder.reconstruct(rows.x[worst])
    if not rows.image_shape:
        # Columns of a table have units of their own: only their scaled values share an axis.
        pair = (ops.convert_to_numpy(scale(autoencoder.scaler, x)) for x in pair)
    maps = {"maps": _overlay(autoencoder, rows, scores, worst)} if rows.image_shape else {}
    return maps | {
        "errors": histogram,
        "worst": plots.worst_rows(
            *pair,
            scores.reconstruction_error[worst],
            image_shape=rows.image_shape,
            numbers=worst,
        ),
    }
