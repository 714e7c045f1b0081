"""Requests as TF Serving takes them: JSON and arrays, nothing that runs a model.

Messages that TF Serving has too are its own; all others say what must be, and what was received.
"""

import itertools
import json
import math
import typing
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

# The types that JSON may hold for an input, by the kind of its NumPy dtype.
JSON_TYPES = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}, "O": {str}}
# What null is, where an input has one value a row: a missing cell of a table.
MISSING = {"f": float("nan"), "O": ""}
MAX_RANK = 32


class RefusedError(Exception):
    """A request that is refused.

    Args:
        code: Name of the gRPC status, "INVALID_ARGUMENT" for example.
        message: What is wrong, for the client.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Spec(typing.NamedTuple):
    """One input or output of a signature: shape with None for any size, or None; NumPy dtype."""

    shape: tuple[int | None, ...] | None
    dtype: np.dtype

    def __str__(self) -> str:
        kind = "string" if self.dtype.kind == "O" else str(self.dtype)
        if self.shape is None:
            return f"{kind} of any shape"
        sizes = ["any" if size is None else str(size) for size in self.shape]
        return f"{kind} of shape ({', '.join(sizes)})"


def invalid(message: str) -> RefusedError:
    """The refusal of a request that is wrong in itself."""
    return RefusedError("INVALID_ARGUMENT", message)


def unpack(content: bytes, most: int) -> bytes | None:
    """Unpacks a gzipped body.

    Args:
        content: Its bytes.
        most: Bytes that it may unpack to.

    Returns:
        The bytes, or None where there are more than `most`.

    Raises:
        RefusedError: It is damaged.

    Example:
        >>> import gzip
        >>> unpack(gzip.compress(b"{}"), 2), unpack(gzip.compress(b"{}"), 1)
        (b'{}', None)
    """
    reader = zlib.decompressobj(wbits=31)
    try:
        unpacked = reader.decompress(content, most + 1)
    except zlib.error as error:
        raise invalid(f"the body must be gzip. Received: damaged data, {error}") from None
    if len(unpacked) > most:
        return None
    if not reader.eof or reader.unused_data:
        got = "data behind its end" if reader.eof else "half of it"
        raise invalid(f"the body must be gzip. Received: {got}")
    return unpacked


def read_document(content: bytes) -> dict[str, Any]:
    """Reads the body of a predict request.

    Args:
        content: Bytes of a JSON object.

    Returns:
        The object as a dict.

    Raises:
        RefusedError: It is not JSON, holds NaN or Infinity, or is not an object.

    Example:
        >>> read_document(b'{"instances": [[1, 2]]}')
        {'instances': [[1, 2]]}
    """

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    try:
        document = json.loads(content, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(document, dict):
        raise invalid(
            "the JSON body must be an object with 'instances' or 'inputs'. "
            f"Received: {type(document).__name__}"
        )
    return document


def signature_name(document: Mapping[str, Any]) -> str:
    """The signature that a document names; empty for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value")
    return name


def read_arrays(
    document: Mapping[str, Any], specs: Mapping[str, Spec]
) -> tuple[bool, dict[str, np.ndarray]]:
    """The inputs of a predict request.

    Args:
        document: What `read_document` returned.
        specs: A `Spec` by name of the input.

    Returns:
        Whether the row form came, and an array by name of the input.

    Raises:
        RefusedError: Neither or both forms came, or values that the specs do not take.
    """
    if ("instances" in document) == ("inputs" in document):
        both = "instances" in document
        raise invalid(
            "expected only one of 'inputs' or 'instances'"
            if both
            else "Missing 'inputs' or 'instances' key"
        )
    rows = "instances" in document
    columns = _of_instances(document["instances"], specs) if rows else _of_inputs(document, specs)
    if len(specs) > 1:  # the columns of a table, whose cells may be missing
        columns = {name: _with_missing(columns[name], spec) for name, spec in specs.items()}
    arrays = {name: _array(columns[name], spec, name) for name, spec in specs.items()}
    check_arrays(arrays, specs)
    return rows, arrays


def _of_instances(instances, specs):
    if not isinstance(instances, list) or not instances:
        raise invalid(
            "'instances' must be a list of at least one row. "
            f"Received: {'none' if instances == [] else type(instances).__name__}"
        )
    objects = [isinstance(instance, dict) for instance in instances]
    if not any(objects):
        return {_only(specs, "instances"): instances}
    for i, instance in enumerate(instances):
        if not objects[i] or instance.keys() != specs.keys():
            raise invalid(
                f"element {i} of 'instances' must be an object with only the keys: "
                f"{', '.join(sorted(specs))}. Received: {_difference(instance, specs)}"
            )
    return {name: [instance[name] for instance in instances] for name in specs}


def _difference(instance, specs):
    """By which keys an instance differs from the inputs."""
    if not isinstance(instance, dict):
        return json.dumps(instance)[:40]
    apart = {"without": specs.keys() - instance.keys(), "with": instance.keys() - specs.keys()}
    return ", ".join(f"{word} {_first(sorted(keys))}" for word, keys in apart.items() if keys)


def _first(names):
    """Some names, and that there are more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _of_inputs(document, specs):
    inputs = document["inputs"]
    if not isinstance(inputs, dict):
        return {_only(specs, "inputs"): inputs}
    _check_names(inputs, specs)
    return inputs


def _only(specs, key):
    if len(specs) != 1:
        raise invalid(
            f"'{key}' must hold objects with the keys {', '.join(sorted(specs))}. "
            "Received: a plain list"
        )
    return next(iter(specs))


def _with_missing(cells, spec):
    """One cell a row, null as what a missing one of its type is."""
    if spec.shape != (None,) or spec.dtype.kind not in MISSING or not isinstance(cells, list):
        return cells
    return [MISSING[spec.dtype.kind] if cell is None else cell for cell in cells]


def _array(value, spec, name):
    """An array of nested lists, whose values are of the types that the spec takes."""
    shape, flat = [], [value]
    while flat and {*map(type, flat)} == {list}:
        sizes = {*map(len, flat)}
        if len(sizes) > 1:
            raise invalid(
                f"input '{name}' must be {spec}. "
                f"Received: ragged lists of {min(sizes)} and {max(sizes)}"
            )
        shape.extend(sizes)
        flat = list(itertools.chain.from_iterable(flat))
    if len(shape) > MAX_RANK:
        raise invalid(f"input '{name}' must be {spec}. Received: lists nested {len(shape)} deep")
    return _typed(flat, spec, name).reshape(shape)


def _typed(flat, spec, name):
    types = JSON_TYPES.get(spec.dtype.kind)
    if types is None:
        raise invalid(f"input '{name}' must be {spec}, which JSON cannot hold. Try gRPC")
    if not types.issuperset(map(type, flat)):
        wrong = next(value for value in flat if type(value) not in types)
        kind = "a list among values" if isinstance(wrong, list) else json.dumps(wrong)[:40]
        raise invalid(f"input '{name}' must be {spec}. Received: {kind}")
    if spec.dtype.kind == "O":
        return np.array([value.encode("utf-8", "surrogatepass") for value in flat], object)
    if spec.dtype.kind != "b" and flat and not _within(flat, spec.dtype):
        raise invalid(f"input '{name}' must be {spec}. Received: values beyond {spec.dtype}")
    return np.array(flat, spec.dtype)


def _within(flat, dtype):
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    # As Python's own numbers, whose comparisons are exact.
    least, most = map(float if dtype.kind == "f" else int, (limits.min, limits.max))
    return all(
        least <= value <= most or (isinstance(value, float) and math.isnan(value)) for value in flat
    )


def _check_names(inputs, specs):
    if inputs.keys() != specs.keys():
        missing, extra = specs.keys() - inputs.keys(), inputs.keys() - specs.keys()
        raise invalid(
            f"inputs do not match the signature. Sent extra: {{{','.join(sorted(extra))}}}. "
            f"Missing but required: {{{','.join(sorted(missing))}}}."
        )


def check_arrays(arrays: Mapping[str, np.ndarray], specs: Mapping[str, Spec]) -> None:
    """Refuses inputs that a signature does not take.

    Args:
        arrays: An array by name of the input.
        specs: A `Spec` by name of the input.

    Raises:
        RefusedError: Names, dtypes or shapes differ.
    """
    _check_names(arrays, specs)
    for name, spec in specs.items():
        array = arrays[name]
        fits = spec.shape is None or (
            len(spec.shape) == array.ndim
            and all(size in (None, got) for size, got in zip(spec.shape, array.shape, strict=True))
        )
        if not fits or array.dtype != spec.dtype:
            raise invalid(
                f"input '{name}' must be {spec}. Received: {array.dtype} of shape {array.shape}"
            )
