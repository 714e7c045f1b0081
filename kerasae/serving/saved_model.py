"""One SavedModel: read, probed, and run by its signatures alone, without Keras."""

import contextlib
import json
import os
import threading
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.eager import cancellation

from kerasae.serving.operators import refused_operators
from kerasae.serving.requests import RefusedError, Spec, invalid


class Signature(typing.NamedTuple):
    """A function of a SavedModel.

    Attributes:
        function: The function, of tensors by name.
        inputs: A `Spec` by name of the input.
        outputs: A `Spec` by name of the output.
        batched: Whether the leading dimension of all inputs and outputs counts rows.
    """

    function: Callable[..., Any]
    inputs: dict[str, Spec]
    outputs: dict[str, Spec]
    batched: bool


class Bundle:
    """A SavedModel in memory.

    Args:
        folder: Folder with `saved_model.pb`.
        root: Folder within which all of its links must stay.

    Raises:
        ValueError: It is not a whole SavedModel, has no signatures, or an operator that writes
            files, or a link leads out.
    """

    def __init__(self, folder: str | os.PathLike[str], root: str | os.PathLike[str]) -> None:
        _check_links(Path(folder), Path(root))
        path = Path(folder) / "saved_model.pb"
        if not path.is_file():
            raise ValueError(
                "a version must be a SavedModel. "
                f"Received: a folder without saved_model.pb ({folder})"
            )
        try:
            graphs = SavedModel.FromString(path.read_bytes()).meta_graphs
            graph = next(one for one in graphs if "serve" in one.meta_info_def.tags)
            refused = refused_operators(graph)
            if not refused:
                self._model = tf.saved_model.load(str(folder), tags=["serve"])
        except tf.errors.CancelledError:
            raise
        except Exception as error:
            raise ValueError(
                f"a version must be a whole SavedModel. Received: a corrupt one ({folder}): "
                f"{type(error).__name__}: {error}"[:500]
            ) from None
        if refused:
            raise ValueError(
                "a graph must not write files or run Python. "
                f"Received: operators {', '.join(refused)} ({folder})"
            )
        self.signature_defs = dict(graph.signature_def)
        self.columns = _columns(Path(folder))
        self.signatures = {
            name: _signature(function) for name, function in self._model.signatures.items()
        }
        if not self.signatures:
            raise ValueError(
                "a SavedModel must have signatures, such as serving_default. "
                f"Received: none ({folder})"
            )

    def signature(self, name: str) -> tuple[str, Signature]:
        """Finds a signature.

        Args:
            name: Its name, or an empty one for the default signature.

        Returns:
            The name and the signature.

        Raises:
            RefusedError: There is no such signature.
        """
        name = name or "serving_default"
        if name not in self.signatures:
            raise RefusedError(
                "FAILED_PRECONDITION",
                f'Serving signature name: "{name}" not found in signature def; expected one of '
                + ", ".join(sorted(self.signatures)),
            )
        return name, self.signatures[name]

    def run(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            name: Name of the signature.
            inputs: Arrays by name.

        Returns:
            The outputs, arrays by name.

        Raises:
            RefusedError: The graph cannot take these values.
        """
        try:
            tensors = {key: tf.constant(array) for key, array in inputs.items()}
            outputs = self.signatures[name].function(**tensors)
            return {key: _array(tensor) for key, tensor in outputs.items()}
        except tf.errors.ResourceExhaustedError as error:
            raise RefusedError("RESOURCE_EXHAUSTED", _first_line(error)) from None
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError) as error:
            raise invalid(_first_line(error)) from None

    def probe(self) -> None:
        """Runs one row of zeros through every signature whose rows have a known shape.

        Raises:
            ValueError: A signature fails.
        """
        for name, signature in self.signatures.items():
            specs = signature.inputs
            known = all(
                spec.shape is not None and None not in spec.shape[1:] and spec.dtype.kind != "O"
                for spec in specs.values()
            )
            if not known:
                continue
            rows = {
                key: np.zeros([size or 1 for size in spec.shape], spec.dtype)
                for key, spec in specs.items()
            }
            try:
                self.run(name, rows)
            except tf.errors.CancelledError:
                raise
            except Exception as error:
                raise ValueError(
                    f"every signature must run. Received: {name} fails: {error}"[:500]
                ) from None


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[Callable[[], None]]:
    """Stops the graphs that run within, in this thread, when the time is over.

    Args:
        seconds: The time.

    Yields:
        A function that stops them now.

    Raises:
        ValueError: It was not enough.
    """
    manager = cancellation.CancellationManager()
    timer = threading.Timer(seconds, manager.start_cancel)
    timer.daemon = True
    timer.start()
    try:
        with cancellation.CancellationManagerContext(manager):
            yield manager.start_cancel
    except tf.errors.CancelledError:
        raise ValueError(
            "a version must load, and run one row of each signature, within "
            f"{seconds:g} seconds. Received: one that takes longer"
        ) from None
    finally:
        timer.cancel()


def _array(tensor):
    """The array of a tensor; for a single text TensorFlow gives its bytes."""
    value = tensor.numpy()
    return np.array(value, object) if isinstance(value, bytes) else np.asarray(value)


def _columns(folder):
    """What the manifest tells of the columns of a table, or None."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return manifest.get("table")
    except (AttributeError, OSError, ValueError, RecursionError):
        return None


def _check_links(folder, root):
    root = root.resolve()
    inside = (Path(at) / name for at, folders, files in os.walk(folder) for name in folders + files)
    for path in (folder, *inside):
        if not path.resolve().is_relative_to(root):
            raise ValueError(
                "links must stay in the folder of the models. "
                f"Received: one that leads out ({path})"
            )


def _signature(function):
    inputs = {name: _spec(one) for name, one in function.structured_input_signature[1].items()}
    outputs = {name: _spec(one) for name, one in function.structured_outputs.items()}
    specs = (*inputs.values(), *outputs.values())
    batched = bool(inputs) and all(spec.shape and spec.shape[0] is None for spec in specs)
    return Signature(function, inputs, outputs, batched)


def _spec(tensor):
    if not isinstance(tensor, tf.TensorSpec) or tensor.dtype in (tf.resource, tf.variant):
        raise ValueError(
            "inputs and outputs of a signature must be dense tensors. "
            f"Received: {type(tensor).__name__} of {tensor.dtype.name}"
        )
    shape = tensor.shape.rank is not None and tuple(tensor.shape.as_list())
    return Spec(None if shape is False else shape, np.dtype(tensor.dtype.as_numpy_dtype))


def _first_line(error):
    return str(error.message).split("\n", maxsplit=1)[0][:500]
