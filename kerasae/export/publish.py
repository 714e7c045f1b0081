"""Publishing a model: one numbered folder with the export, its manifest, plots and Keras model."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from kerasae.export.litert import write_litert
from kerasae.export.load import KERAS_FILE
from kerasae.export.manifest import write_manifest
from kerasae.export.onnx import write_onnx
from kerasae.export.saved_model import write_saved_model
from kerasae.export.versions import MANIFEST, publish, stored_manifest
from kerasae.models import Autoencoder
from kerasae.validation import unknown

FORMATS: dict[str, Callable[..., None]] = {
    "saved_model": write_saved_model,
    "onnx": write_onnx,
    "litert": write_litert,
}


def publish_model(
    model: Autoencoder,
    directory: str | os.PathLike[str],
    format: str = "saved_model",  # noqa: A002
    *,
    version: int | None = None,
    metrics: Mapping[str, float] | None = None,
    features: Sequence[str] = (),
    plots: Mapping[str, Figure] | None = None,
    keras_model: bool = False,
    report: Callable[[Path], object] | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Publishes a model as one numbered folder, which appears whole or not at all.

    Args:
        model: An `Autoencoder`.
        directory: Folder of the model's versions, `saved_models/NAME`; made if need be.
        format: "saved_model", "onnx" or "litert".
        version: Number of the version, at least 1; by default the next free one.
        metrics: Numbers by name, to keep in the manifest beside those of the last `fit`.
        features: Names of layers whose outputs the signature `features` of a SavedModel gives.
        plots: Pictures by name, each a Matplotlib `Figure`, written as `plots/NAME.png`.
        keras_model: Whether `model.keras` is written too, for `kerasae.load_model`.
        report: Function that is given the folder once all else is in it, to add files of its own,
            such as `kerasae.report.write_report` does.
        about: What else the manifest holds, by name; values that JSON can hold.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ModuleNotFoundError: The format needs a package that is missing.
        ValueError: An unknown format, `features` with another format than "saved_model", or a model
            that cannot be exported.
    """
    if format not in FORMATS:
        raise ValueError(unknown("format", format, list(FORMATS)))
    if features and format != "saved_model":
        raise ValueError(f"features must go with format='saved_model'. Received: format={format!r}")
    write_format = FORMATS[format]
    if format == "saved_model":
        write_format = partial(write_format, features=features, name=Path(directory).name)

    def write(folder: Path) -> None:
        write_format(model, folder, metrics)
        if about:
            write_manifest(folder, {**stored_manifest(folder / MANIFEST), **about})
        if keras_model:
            model.save(folder / KERAS_FILE)
        if plots:
            (folder / "plots").mkdir()
        for name, figure in (plots or {}).items():
            figure.savefig(folder / "plots" / f"{name}.png", dpi=120)
        if report is not None:
            report(folder)

    return publish(write, directory, version)


def export_saved_model(
    model: Autoencoder,
    directory: str | os.PathLike[str],
    version: int | None = None,
    metrics: Mapping[str, float] | None = None,
    features: Sequence[str] = (),
) -> Path:
    r"""Writes a model as a SavedModel that runs without Python and without kerasae.

    The folder appears whole or not at all: it is written beside its place and then renamed. Every
    signature takes `rows`, float32 of shape (batch, *row_shape) with any batch, in the user's
    units, unless the table says otherwise, treats them one by one, and names its output. A seed
    gives the same row in every batch:

    | signature | output | shape |
    |---|---|---|
    | `serving_default`, `encode` | `codings` | (batch, codings) |
    | `encode_uint8`, of uint8 `rows` | `codings` | (batch, codings) |
    | `features`, of the layers in `features` | the layers' names | (batch, ...) |
    | `reconstruct` | `reconstruction` | (batch, *row_shape), in the user's units |
    | `reconstruction_error` | `reconstruction_error` | (batch,), on the scaled values |
    | `anomaly_score`, after `anomaly.calibrate` | `anomaly_score`, `reconstruction_error`, \
    `p_value`, `is_anomaly` | (batch,) |
    | | `feature_errors` | (batch, *row_shape), on the scaled values |
    | `explain`, of a `Detector` | `anomaly_score`, `within`, `between` | (batch,) |
    | | `contributions`, `expected` | (batch, *row_shape) |
    | `decode`, of `codings` (batch, codings) | `reconstruction` | (batch, *row_shape) |
    | `generate`, of `seed`, int32 (batch,), where the codings have a prior | `reconstruction` | \
    (batch, *row_shape) |

    Args:
        model: An `Autoencoder`.
        directory: Folder of the model's versions, `saved_models/NAME`; made if need be.
        version: Number of the version, at least 1; by default the next free one.
        metrics: Numbers by name, to keep in the manifest beside those of the last `fit`.
        features: Names of layers whose outputs the signature `features` gives.

    Returns:
        Path of the folder, `directory/version`. `manifest.json` in it holds the versions of kerasae
        and Keras, shape and names of the columns, scaler, layout, metrics, and the sha256 of every
        file, which `kerasae.verify` compares. One row for each signature lies in `assets.extra`,
        with which TF Serving warms up before it serves the version.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ModuleNotFoundError: TensorFlow is missing.
        ValueError: The version is not a whole number of at least 1, or weights are not finite.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> export_saved_model(model, tempfile.mkdtemp() + "/demo").name
        '1'
    """
    return publish_model(model, directory, version=version, metrics=metrics, features=features)


def export_onnx(
    model: Autoencoder,
    directory: str | os.PathLike[str],
    version: int | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    r"""Writes a model as ONNX files, one for each signature, for ONNX Runtime and its like.

    The folder appears whole or not at all. Names, shapes and units of inputs and outputs are those
    of `export_saved_model`, with any batch: `encode.onnx`, `reconstruct.onnx`,
    `reconstruction_error.onnx`, `decode.onnx`, and `anomaly_score.onnx` after `anomaly.calibrate`.
    `generate` is left out: ONNX has no draws by seed. `manifest.json` names what is left out, and
    why. Outputs agree with the model's up to rounding: where a row's score is that close to a
    calibrated score or to the threshold, its p-value or flag may differ. A model in mixed precision
    is written in float32.

    Args:
        model: An `Autoencoder`.
        directory: Folder of the versions; made if need be. Not one that TF Serving watches.
        version: Number of the version, at least 1; by default the next free one.
        metrics: Numbers by name, to keep in the manifest beside those of the last `fit`.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        ModuleNotFoundError: tf2onnx is missing: `pip install 'kerasae[onnx]'`.
        FileExistsError: The version exists; nothing is touched.
        ValueError: The version is not a whole number of at least 1, weights are not finite, Keras
            runs on another backend than TensorFlow, or ONNX can express none of the signatures.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> folder = export_onnx(model, tempfile.mkdtemp())  # doctest: +SKIP
        >>> onnxruntime.InferenceSession(folder / "encode.onnx")  # doctest: +SKIP
    """
    return publish_model(model, directory, "onnx", version=version, metrics=metrics)


def export_litert(
    model: Autoencoder,
    directory: str | os.PathLike[str],
    version: int | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Path:
    """Writes a model as one LiteRT file, `model.tflite`, for telephones and small devices.

    As in `export_onnx`, with the signatures side by side in one file. It needs the built-in
    operators of LiteRT only, no Flex delegate; a signature that would need more is left out and
    named in `manifest.json`. Writing needs TensorFlow alone, `kerasae[litert]` brings the runtime.

    Args:
        model: An `Autoencoder`.
        directory: Folder of the versions; made if need be. Not one that TF Serving watches.
        version: Number of the version, at least 1; by default the next free one.
        metrics: Numbers by name, to keep in the manifest beside those of the last `fit`.

    Returns:
        Path of the folder, `directory/version`.

    Raises:
        FileExistsError: The version exists; nothing is touched.
        ModuleNotFoundError: TensorFlow is missing.
        ValueError: The version is not a whole number of at least 1, weights are not finite, Keras
            runs on another backend than TensorFlow, or LiteRT can express none of the signatures.

    Example:
        >>> import tempfile, kerasae
        >>> model = kerasae.stacked_autoencoder((8,), (2,))
        >>> folder = export_litert(model, tempfile.mkdtemp())
        >>> sorted(path.name for path in folder.iterdir())
        ['manifest.json', 'model.tflite']
    """
    return publish_model(model, directory, "litert", version=version, metrics=metrics)
