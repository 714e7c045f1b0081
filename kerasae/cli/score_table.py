"""Tables of anomaly scores: what is written of each row, and what is printed of the worst."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasae import anomaly
from kerasae.anomaly import Scores
from kerasae.cli.explained import worst_columns
from kerasae.cli.terminal import console, say
from kerasae.datasets import Data
from kerasae.models import Autoencoder
from kerasae.tables.data import marks_anomalies
from kerasae.tables.streamed import NormalRows


def score_table(
    autoencoder: Autoencoder,
    x: np.ndarray,
    *,
    columns: Sequence[str] | None = None,
    image_shape: Sequence[int] | None = None,
    about: Mapping[str, Any] | None = None,
    first: int = 0,
    per_feature: bool = False,
    batch_size: int = 256,
    verbose: int = 0,
) -> tuple[dict[str, Any], Scores]:
    """Scores rows, and makes a table of the scores.

    Args:
        autoencoder: A model that is calibrated.
        x: The rows.
        columns: Names of the columns, or None.
        image_shape: Shape of the image that a row holds, or None.
        about: Columns that say what each row is, by name.
        first: Number of the first row.
        per_feature: Whether each column's error, or contribution, is in the table.
        batch_size: Rows a step.
        verbose: 1 for a progress bar.

    Returns:
        The columns of the table by name, and the scores.
    """
    has_parts = autoencoder.anomaly.parts is not None
    named = 3 if autoencoder.columns and not image_shape and not has_parts else 0
    scores = anomaly.score(autoencoder, x, batch_size, verbose, top=named)
    errors = scores.feature_errors.reshape(len(x), -1)
    names = list(columns or (f"column_{i}" for i in range(errors.shape[1])))
    table = {"row": np.arange(first, first + len(errors)), **(about or {})}
    table |= scores.per_row()
    by_column, what = errors, "error"
    if has_parts:
        explained = anomaly.explain(autoencoder, x, batch_size=batch_size)
        by_column, what = explained.contributions.reshape(errors.shape), "contribution"
    if image_shape:
        maps = anomaly.error_maps(scores.feature_errors, image_shape)
        table["worst_region"] = np.array([anomaly.worst_region(one) for one in maps])
    elif scores.worst is not None:
        cells = worst_columns(scores.worst, autoencoder.columns or ())
        table |= {"worst_column": cells["worst_1"], **cells}
    else:
        table["worst_column"] = np.array(names)[by_column.argmax(axis=1)]
    if per_feature:
        table |= {f"{what}_{name}": part for name, part in zip(names, by_column.T, strict=True)}
    return table, scores


def show_ranking(scores: Any, labels: Any) -> dict[str, float]:
    """Prints how well scores rank the rows with label 1 above those with 0, if there are labels.

    Args:
        scores: Anomaly scores, shape (rows,).
        labels: Labels of 0 and 1, or None.

    Returns:
        The measures by name.
    """
    if labels is None:
        return {}
    found = anomaly.ranking(scores, labels)
    console.print(f"ROC AUC {found.roc_auc:.4f}, average precision {found.average_precision:.4f}")
    return found._asdict()


def check_threshold(threshold: str, y_test: Any = None, known: bool = False) -> None:
    """Refuses a threshold that cannot be read, or that wants labels where the test rows have none.

    Args:
        threshold: What the user asked for.
        y_test: Labels of the test rows, or None.
        known: Whether the rows were read.
    """
    if not anomaly.by_labels(threshold):
        anomaly.threshold_rule(threshold)
        return
    anomaly.labelled_threshold(threshold, [0.0, 1.0], [0, 1])
    if known and binary_labels(y_test) is None:
        raise ValueError(
            "threshold must go with labels of 0 and 1, both among the test rows. "
            f"Received: threshold={threshold!r}. Try --label COLUMN, or p99"
        )


def calibrated(autoencoder: Autoencoder, rows: Data, threshold: str) -> dict[str, float]:
    """The threshold of test rows, and how well their scores rank those with the label 1."""
    x, labels = rows.x_test, binary_labels(rows.y_test)
    found = {"threshold": anomaly.calibrate(autoencoder, x, threshold, labels=labels)}
    if labels is None:
        return found
    return found | show_ranking(anomaly.score(autoencoder, x).anomaly_score, labels)


def binary_labels(y: Any) -> Any:
    """Labels of 0 and 1, of which there are both, or None for others.

    Raises:
        ValueError: Some of them are missing.
    """
    counts = _label_counts(y)
    both = set(counts) >= {0, 1} and marks_anomalies(counts, "label")
    return np.asarray(y, "int64") if both else None


def _label_counts(y):
    cells = [] if y is None else np.asarray(y).tolist()
    return collections.Counter(None if str(one) in ("None", "nan") else one for one in cells)


def without_anomalies(rows: Data, label: str | None, processes: int | None = None) -> Data:
    """The rows that a model learns from, of which it is said which they are.

    Args:
        rows: All rows, with labels where there is a column of them.
        label: Name of the column of labels, or None.
        processes: How many processes train, or None.

    Returns:
        The rows with the label 0 where labels are 0 and 1, for training and for testing; else all.

    Raises:
        ValueError: No row to train on or to test on has the label 0, or several processes read
            rows that are streamed.
    """
    if label is None:
        return rows
    counts = _label_counts(rows.y)
    streamed = isinstance(rows.source, NormalRows)  # which has looked at all labels
    if not (streamed if rows.source else marks_anomalies(counts, label)):
        if set(counts) != {0}:
            why = f"the labels of {label} are not 0 and 1" if counts else "windows have no labels"
            say(f"all rows train: {why}")
        return rows
    if streamed and processes:
        raise ValueError(
            "processes (--processes) must go with rows that all train where they are streamed. "
            f"Received: {label} with rows labelled 1. Try --no-stream, or a file without them"
        )
    normal = np.asarray(rows.y) == 0
    left = rows._replace(
        x=rows.x[normal],
        is_test=rows.is_test[normal],
        y=np.asarray(rows.y)[normal],
        ids=rows.ids and {name: cells.filter(normal) for name, cells in rows.ids.items()},
    )
    for part, of_part in {"train": ~rows.is_test, "test": rows.is_test}.items():
        if of_part.any() and not normal[of_part].any():
            raise ValueError(
                f"label must leave rows to {part} on, with the label 0. Received: none ({label})"
            )
    count = rows.source.rows if rows.source else len(left.x_train)
    tests = "; the threshold and its measures see all test rows" if rows.is_test.any() else ""
    say(f"training on the {count:,} rows with {label} = 0{tests}")
    return left


def worst_table(columns: Mapping[str, Any]) -> Any:
    """The five rows with the highest scores, as a table to print."""
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
