"""Features and anomaly scores of files larger than memory, written as their rows come."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasae import anomaly, datasets, methods
from kerasae.cli.score_pictures import draw, pictures
from kerasae.cli.score_table import binary_labels, score_table, show_ranking, worst_table
from kerasae.cli.streamed import BATCH, progress_of
from kerasae.cli.terminal import console
from kerasae.datasets import Data
from kerasae.datasets.files.arrow import arrow_table
from kerasae.datasets.openers import size_of
from kerasae.datasets.reading import read_ahead
from kerasae.datasets.row_source import RowSource
from kerasae.datasets.sampling import Sample
from kerasae.methods.features import feature_columns
from kerasae.models import Autoencoder
from kerasae.tables.streamed import open_data

# Rows whose scores are drawn in the histogram.
DRAWN = 100_000
WORST = 5
# Bytes of the images that are decoded at once.
IMAGE_BYTES = 2**26


class Piece(NamedTuple):
    """Rows of a file, their numbers in it, their labels or None, and what identifies them."""

    numbers: np.ndarray
    x: Any
    y: np.ndarray | None
    ids: dict[str, Any]

    def __len__(self) -> int:
        return len(self.numbers)


class ModelRows(RowSource):
    """The rows of a file as a model takes them, with progress.

    Args:
        autoencoder: The model.
        data: Path of the file or folder.
        label: Column that holds labels, or None.
        keep: Columns that stay though they number the rows.
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        data: str,
        label: str | None = None,
        keep: Sequence[str] | None = None,
    ) -> None:
        source = datasets.open(data)
        self.names, self.label = _columns_of(autoencoder, source, data, label, keep), label
        ids = () if autoencoder.schema is None else autoencoder.schema.ids
        self.ids = [name for name in ids if name in (source.columns or ())]
        wanted = [*(self.names or ()), *self.ids, *([label] if label else [])]
        self.source = source.select(list(dict.fromkeys(wanted))) if self.names else source
        self.rows, self.columns = self.source.rows, self.names

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The rows alone."""
        return (self._rows(piece) for piece in self.source.pieces(rng))

    def read(self) -> Iterator[Piece]:
        """The rows in their order, with all that is known of them."""
        first = 0
        for table in read_ahead(self.source):
            ids = {name: table[name].combine_chunks() for name in self.ids}
            y = np.array(table[self.label].to_pylist()) if self.label else None
            numbers = np.arange(first, first + len(table))
            first += len(table)
            yield Piece(numbers, self._rows(table), y, ids)

    def _rows(self, piece):
        if self.names is not None:
            return piece.select(list(self.names))
        return piece.reshape(len(piece), -1)


class ImageRows(RowSource):
    """The images of a folder as a model takes them, decoded piece by piece.

    Args:
        autoencoder: The model.
        folder: Path of the folder.
    """

    def __init__(self, autoencoder: Autoencoder, folder: str) -> None:
        shape = autoencoder.row_shape
        batch = max(1, min(BATCH, IMAGE_BYTES // int(np.prod(shape))))
        self.images, self.folder = datasets.ImageFolder(folder, shape, batch), Path(folder)
        self.rows, self.names = len(self.images.files), None

    def pieces(self, rng: np.random.Generator | None = None) -> Iterator[Any]:
        """The images alone."""
        order = np.arange(len(self.images)) if rng is None else rng.permutation(len(self.images))
        return (self.images[int(i)] for i in order)

    def read(self) -> Iterator[Piece]:
        """The images in the order of their paths, with these."""
        first = 0
        for x in read_ahead(self.pieces()):
            files = self.images.files[first : first + len(x)]
            names = np.array([path.relative_to(self.folder).as_posix() for path in files])
            yield Piece(np.arange(first, first + len(x)), x, None, {"file": names})
            first += len(x)


def _rows_of(autoencoder, data, label, keep):
    """What is read in pieces: a file or files of tables, or a folder of images."""
    path = Path(data)
    if len(autoencoder.row_shape) == 3 and path.is_dir() and size_of(path) is None:
        return ImageRows(autoencoder, data)
    return ModelRows(autoencoder, data, label, keep)


def _columns_of(autoencoder, source, data, label, keep):
    """The names of the columns that the model takes, None for rows without names."""
    if source.columns is None:
        return None
    if autoencoder.columns is not None:
        source.select(autoencoder.columns)  # which refuses a file without one of them
        return tuple(autoencoder.columns)
    others = tuple(name for name in source.columns if name != label)
    if len(others) == np.prod(autoencoder.row_shape):
        return others
    return tuple(open_data(data, label=label, keep=keep or ()).columns or ())


def write_features(
    autoencoder: Autoencoder,
    data: str,
    output: Path,
    layer: str = "codings",
    label: str | None = None,
    keep: Sequence[str] | None = None,
) -> None:
    """Writes the deep features of all rows of a file; see `kerasae features`."""
    rows = _rows_of(autoencoder, data, label, keep)
    width = 0

    def tables(seen):
        nonlocal width
        for piece in rows.read():
            x = methods.deep_features(autoencoder, piece.x, layer, BATCH).reshape(len(piece), -1)
            width = x.shape[1]
            yield x if output.suffix == ".npy" else {**piece.ids, **feature_columns(x, layer)}
            seen(len(piece))

    with progress_of("features", rows.rows) as seen:
        count = datasets.write(output, read_ahead(tables(seen)))
    console.print(f"{count} rows, {width} columns: {output}", soft_wrap=True)


class Found:
    """What is kept of the scores of all rows: their number, the worst rows, and a sample."""

    def __init__(self) -> None:
        self.flagged = 0
        self.sample, self.labels = Sample(DRAWN), Sample(DRAWN)
        self.labelled = False
        self.worst: list[tuple[float, np.ndarray, dict[str, Any]]] = []

    def add(self, piece: Piece, x: np.ndarray, scores: np.ndarray, table: Any) -> None:
        """Adds the rows of a piece as the model takes them, and what is written of them."""
        numbers = piece.numbers.astype("uint64")
        self.sample.add(numbers, scores)
        if piece.y is not None:
            self.labels.add(numbers, piece.y)
            self.labelled = True
        worst = np.argsort(-scores)[:WORST]
        lines = zip(scores[worst].tolist(), x[worst], table.take(worst).to_pylist(), strict=True)
        self.worst += lines
        self.worst = sorted(self.worst, key=lambda one: -one[0])[:WORST]


def write_scores(
    autoencoder: Autoencoder,
    data: str,
    output: Path,
    *,
    label: str | None = None,
    keep: Sequence[str] | None = None,
    per_feature: bool = False,
    threshold: str | None = None,
    guard: float | None = None,
    normal: str | None = None,
) -> None:
    """Writes the anomaly scores of all rows of a file; see `kerasae anomalies`."""
    rows = _rows_of(autoencoder, data, label, keep)
    if threshold or normal or guard is not None or not autoencoder.anomaly.fitted:
        known = _rows_of(autoencoder, normal, label, keep) if normal else rows
        parts = None if guard else autoencoder.anomaly.parts
        anomaly.calibrate(autoencoder, known, threshold or "p99", guard or 0.0, BATCH, parts=parts)
        count = len(autoencoder.anomaly.scores)
        console.print(
            f"threshold and p-values from {count} rows drawn of {normal or data}", soft_wrap=True
        )
    found = Found()

    def tables(seen):
        for piece in rows.read():
            yield _scored(autoencoder, piece, found, rows.names, per_feature)
            seen(len(piece))

    with progress_of("scoring", rows.rows) as seen:
        count = datasets.write(output, read_ahead(tables(seen)))  # it is written beside
    _show(autoencoder, found, output)
    console.print(f"{found.flagged} of {count} rows are anomalies: {output}", soft_wrap=True)


def _scored(autoencoder, piece, found, names, per_feature):
    """The table that is written of a piece."""
    x = autoencoder._checked_rows(piece.x, f"rows from {piece.numbers[0]:,} on")
    columns, scores = score_table(
        autoencoder,
        x,
        columns=names,
        image_shape=_image_shape(autoencoder),
        about=piece.ids,
        first=int(piece.numbers[0]),
        per_feature=per_feature,
        batch_size=BATCH,
    )
    table = arrow_table(columns)
    found.flagged += int(scores.is_anomaly.sum())
    found.add(piece, x, scores.anomaly_score, table)
    return table


def _image_shape(autoencoder):
    shape = autoencoder.row_shape
    return None if len(shape) != 3 else shape[:2] if shape[2] == 1 else shape


def _show(autoencoder, found, output):
    """Prints and draws the worst rows."""
    _, drawn = found.sample.result()
    if found.labelled:
        show_ranking(drawn, binary_labels(found.labels.result()[1]))
    lines = [line for _, _, line in found.worst]
    table = {name: np.array([line[name] for line in lines]) for name in lines[0]}
    console.print(worst_table(table))
    rows = Data(
        np.stack([x for _, x, _ in found.worst]),
        np.zeros(len(lines), bool),
        image_shape=_image_shape(autoencoder),
    )
    figures = pictures(
        autoencoder,
        rows,
        anomaly.score(autoencoder, rows.x),
        drawn=drawn,
        numbers=table["row"],
    )
    draw(figures, output)
