"""Data by name, or from the user's own files, as arrays; nothing is ever unpickled."""

import gzip
import importlib.util
import math
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasae.datasets import files
from kerasae.datasets.archives import check_memory
from kerasae.datasets.files.images import decoded, image_files, shape_of
from kerasae.validation import as_rows, names_of, refuse_channels_first, required, unknown


class Data(NamedTuple):
    """Rows, and what is known about them.

    Attributes:
        x: All rows in the order of the source, shape (rows, columns); integers as stored, anything
            else float32.
        is_test: Boolean array, true for the rows kept for testing.
        y: One label a row, or None.
        columns: Names of the columns, or None.
        image_shape: (height, width) of the image that a row holds, (height, width, channels) where
            it has colours or comes from a file of its own, or None.
        names: Paths of the image files that the rows come from, within their folder, or None.
        more: Paths of image files to train on that memory does not hold beside the rows; none
            unless `load` was asked for them.
        folder: The folder of image files, or None.
        schema: The `kerasae.tables.Schema` of a table whose codes `x` holds, or None.
        ids: Arrays of Arrow by name, the columns that identify the rows of a table, or None.
        source: A `RowSource` of all rows to train on, of which the training rows in `x` are a
            sample drawn at random, or None where `x` holds all rows.
    """

    x: np.ndarray
    is_test: np.ndarray
    y: np.ndarray | None = None
    columns: list[str] | None = None
    image_shape: tuple[int, ...] | None = None
    names: list[str] | None = None
    more: Sequence[Path] = ()
    folder: Path | None = None
    schema: Any = None
    ids: dict[str, Any] | None = None
    source: Any = None

    @property
    def x_train(self) -> np.ndarray:
        """The rows to train on."""
        return self.x[~self.is_test]

    @property
    def x_test(self) -> np.ndarray:
        """The rows to test on; the training rows where there are too few to keep some."""
        return self.x[self.is_test] if self.is_test.any() else self.x

    @property
    def y_train(self) -> np.ndarray | None:
        """The labels of `x_train`, or None."""
        return None if self.y is None else self.y[~self.is_test]

    @property
    def y_test(self) -> np.ndarray | None:
        """The labels of `x_test`, or None."""
        return self.y[self.is_test] if self.y is not None and self.is_test.any() else self.y


def load(
    name_or_path: str | os.PathLike[str],
    *,
    key: str | None = None,
    label: str | None = None,
    columns: Sequence[str] | None = None,
    keep: Collection[str] = (),
    test_fraction: float = 0.2,
    image_shape: Sequence[int | None] | None = None,
    held: int | None = None,
) -> Data:
    """Loads a data set by name, from a file or from a folder of images.

    Args:
        name_or_path: "digits" (scikit-learn's 1,797 images of 8x8, embedded), "mnist" (70,000 of
            28x28), or a path ending in .npz, .npy, .csv, .parquet, .idx, -ubyte, all but the first
            two and .parquet also with .gz. A .csv may be in UTF-8, UTF-16 or Windows-1252, with
            commas, semicolons or tabs, and has a header; a .parquet may be a folder of such files.
            Any other folder is read for the .png and .jpg files in it.
        key: Which array of an .npz holds the rows; by default x_train and x_test, or X, x, data, or
            the only one.
        label: Column of a .csv or .parquet that holds labels rather than a number to learn.
        columns: Columns of a .csv or .parquet to read, in this order; the cells of others are not
            read. By default all but those that number the rows or name them: a row index, whole
            numbers called an identifier, texts that are nearly all different.
        keep: Columns of a .csv or .parquet that stay though they number the rows.
        test_fraction: Share of the rows kept for testing where the source has no such split of its
            own, in [0, 1); drawn by a fixed seed.
        image_shape: (height, width) or (height, width, channels) that image files are brought to,
            see `ImageFolder`; by default their own, which must be that of all.
        held: Bytes of image files to hold at most; what is more is drawn by a fixed seed and named
            in `more`. By default all are held.

    Returns:
        `Data`. Images are flattened to rows.

    Raises:
        ValueError: An unknown name or format, a damaged file, rows that cannot be trained on.
        TypeError: Cells that are not real numbers.
        FileNotFoundError: The file does not exist, or MNIST can neither be found nor downloaded.
        OSError: The file cannot be opened.
        ModuleNotFoundError: The digits need scikit-learn, the format pyarrow, or images Pillow,
            which is missing.

    Warns:
        UserWarning: Columns are left out, or the encoding of a .csv is a guess.

    Reference: MNIST, LeCun et al. (1998); digits, Alpaydin and Kaynak (1998).

    Example:
        >>> data = load("digits")
        >>> data.x.shape, data.image_shape
        ((1797, 64), (8, 8))
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(
            f"test_fraction must lie in [0, 1). Received: test_fraction={test_fraction}"
        )
    if name_or_path in NAMED:
        if keep:
            raise ValueError(
                f"keep (--keep) must go with named columns. Received: keep={list(keep)} "
                f"({name_or_path})"
            )
        return NAMED[name_or_path](test_fraction)
    path = Path(name_or_path)
    if not path.suffix and not path.exists():
        raise ValueError(unknown("data set", name_or_path, list(NAMED)))
    if path.is_dir() and path.suffix.lower() != ".parquet":
        return _images(path, image_shape, test_fraction, held)
    return _data(files.read(path, key, label, columns, keep), test_fraction, path)


def _digits(test_fraction):
    required("sklearn", "the data set digits")
    # scikit-learn's file itself: `load_digits` imports all of it, which takes a second.
    package = Path(str(importlib.util.find_spec("sklearn").origin)).parent  # type: ignore[union-attr]
    with gzip.open(package / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        rows = np.loadtxt(file, "uint8", delimiter=",")
    parts = {"x": rows[:, :-1].reshape(-1, 8, 8), "y": rows[:, -1].astype("int64")}
    return _data(parts, test_fraction, "digits")


def _mnist(test_fraction):
    folder = os.environ.get("KERASAE_DATA_DIR")
    if folder and (path := Path(folder) / "mnist.npz").is_file():
        return load(path, test_fraction=test_fraction)
    import keras  # noqa: PLC0415

    try:
        (x, y), (x_test, y_test) = keras.datasets.mnist.load_data()
    except Exception as error:  # whatever a download can raise
        reason = " ".join(str(error).split())
        raise FileNotFoundError(
            f"mnist must be stored or downloadable. Received: {reason} (keras.datasets.mnist). "
            "Try KERASAE_DATA_DIR=FOLDER with mnist.npz in it"
        ) from error
    return _data({"x": x, "y": y, "x_test": x_test, "y_test": y_test}, test_fraction, "mnist")


def _images(folder, image_shape, test_fraction, held):
    files = image_files(folder)
    shape = shape_of(files, image_shape)
    count = len(files) if held is None else max(2, held // math.prod(shape))
    order = np.random.default_rng(0).permutation(len(files))
    more, files = [[files[i] for i in np.sort(part)] for part in (order[count:], order[:count])]
    check_memory(len(files) * math.prod(shape), folder)
    names = [path.relative_to(folder).as_posix() for path in files]
    data = _data({"x": decoded(files, shape), "names": names}, test_fraction, folder)
    return data._replace(more=more, folder=folder)


def split(x: Any, x_test: Any = None, *, test_fraction: float = 0.2) -> Data:
    """Rows in memory as `Data`, some of them kept for testing.

    Args:
        x: Array or table of numbers, shape (rows, columns), or images, (rows, height, width).
        x_test: The rows to test on, of the same columns; or None.
        test_fraction: Share of the rows of `x` kept for testing where `x_test` is None, in [0, 1);
            drawn by a fixed seed.

    Returns:
        `Data`, with the names of a table's columns. Images are flattened to rows.

    Raises:
        ValueError: Rows that cannot be trained on, or a test set of other columns.
        TypeError: Cells that are not real numbers.

    Example:
        >>> data = split(np.eye(10))
        >>> data.x_train.shape, data.x_test.shape
        ((8, 10), (2, 10))
    """
    if not 0 <= test_fraction < 1:
        raise ValueError(
            f"test_fraction must lie in [0, 1). Received: test_fraction={test_fraction}"
        )
    parts = {"x": x, "columns": names_of(x)}
    return _data(parts if x_test is None else {**parts, "x_test": x_test}, test_fraction, "x")


def _data(parts, test_fraction, where):
    columns = parts.get("columns")
    x, y = as_rows(parts["x"], columns=columns, where=where), parts.get("y")
    is_test = np.zeros(len(x), bool)
    if "x_test" in parts:
        x_test = as_rows(parts["x_test"], x.shape[1:], columns=columns, where=where)
        is_test = np.append(is_test, np.ones(len(x_test), bool))
        x = np.concatenate([x, x_test])
        y = np.concatenate([y, parts["y_test"]]) if y is not None and "y_test" in parts else None
    else:
        is_test = draw_test(len(x), test_fraction)
        if is_test.all():
            raise ValueError(
                "test_fraction must leave rows to train on. "
                f"Received: test_fraction={test_fraction} of {len(x)} rows ({where})"
            )
    if y is not None and len(y) != len(x):
        raise ValueError(
            f"y must hold one label a row. Received: {len(y)} labels for {len(x)} rows ({where})"
        )
    return Data(
        x.reshape(len(x), -1), is_test, y, columns, _image_shape(x, parts), parts.get("names")
    )


def _image_shape(x, parts):
    """The shape of the images that rows are, if they are."""
    if x.ndim == 4:
        refuse_channels_first("x", x.shape[1:])
        # A single channel that was not asked for is as good as none.
        return x.shape[1:3] if x.shape[3] == 1 and "names" not in parts else x.shape[1:]
    return x.shape[1:] if x.ndim == 3 else None


def draw_test(rows: int, test_fraction: float) -> np.ndarray:
    """A boolean array, true for the rows kept for testing, drawn by a fixed seed."""
    is_test = np.zeros(rows, bool)
    is_test[np.random.default_rng(0).permutation(rows)[: round(test_fraction * rows)]] = True
    return is_test


NAMED = {"digits": _digits, "mnist": _mnist}
