"""Runs a SavedModel through TensorFlow's C library alone: no Python module of it is imported.

python c_client.py LIBRARIES EXPORT FEEDS.npz ANSWERS.npz SIGNATURES

LIBRARIES is the folder of libtensorflow_cc.so.2; FEEDS holds the input of each signature, by its
name; SIGNATURES is a JSON dict: name to that of the input tensor and a dict of those of the
outputs. ANSWERS are named SIGNATURE/OUTPUT.
"""

import json
import sys
from ctypes import (
    CDLL,
    POINTER,
    RTLD_GLOBAL,
    Structure,
    byref,
    c_char_p,
    c_int,
    c_int64,
    c_size_t,
    memmove,
    string_at,
)
from ctypes import c_void_p as pointer

import numpy as np

# TensorFlow's numbers of types.
TYPES = {"float32": 1, "int32": 3, "uint8": 4, "bool": 10}


class Output(Structure):
    _fields_ = [("operation", pointer), ("index", c_int)]


PROTOTYPES = {
    "NewStatus": (pointer,),
    "GetCode": (c_int, pointer),
    "Message": (c_char_p, pointer),
    "NewGraph": (pointer,),
    "NewSessionOptions": (pointer,),
    "LoadSessionFromSavedModel": (
        *(pointer, pointer, pointer, c_char_p, POINTER(c_char_p), c_int),
        *(pointer, pointer, pointer),
    ),
    "GraphOperationByName": (pointer, pointer, c_char_p),
    "AllocateTensor": (pointer, c_int, POINTER(c_int64), c_int, c_size_t),
    "TensorData": (pointer, pointer),
    "TensorByteSize": (c_size_t, pointer),
    "TensorType": (c_int, pointer),
    "NumDims": (c_int, pointer),
    "Dim": (c_int64, pointer, c_int),
    "SessionRun": (
        *(None, pointer, pointer, POINTER(Output), POINTER(pointer), c_int),
        *(POINTER(Output), POINTER(pointer), c_int, pointer, c_int, pointer, pointer),
    ),
}


def library(folder):
    CDLL(f"{folder}/libtensorflow_framework.so.2", RTLD_GLOBAL)
    loaded = CDLL(f"{folder}/libtensorflow_cc.so.2", RTLD_GLOBAL)
    functions = {}
    for name, (returns, *arguments) in PROTOTYPES.items():
        function = getattr(loaded, f"TF_{name}")
        function.restype, function.argtypes = returns, arguments
        functions[name] = function
    return functions


def main(libraries, export, feeds, outputs, signatures):
    tf = library(libraries)
    status, graph = tf["NewStatus"](), tf["NewGraph"]()
    session = tf["LoadSessionFromSavedModel"](
        *(tf["NewSessionOptions"](), None, export.encode(), (c_char_p * 1)(b"serve"), 1),
        *(graph, None, status),
    )
    assert tf["GetCode"](status) == 0, tf["Message"](status)
    kinds = {number: name for name, number in TYPES.items()}

    def place(name):
        operation, index = name.split(":")
        found = tf["GraphOperationByName"](graph, operation.encode())
        assert found, name
        return Output(found, int(index))

    def run(x, feed, fetch):
        number = TYPES[x.dtype.name]
        tensor = tf["AllocateTensor"](number, (c_int64 * x.ndim)(*x.shape), x.ndim, x.nbytes)
        memmove(tf["TensorData"](tensor), x.ctypes.data, x.nbytes)
        got = (pointer * 1)()
        tf["SessionRun"](
            *(session, None, byref(place(feed)), (pointer * 1)(tensor), 1),
            *(byref(place(fetch)), got, 1, None, 0, None, status),
        )
        assert tf["GetCode"](status) == 0, tf["Message"](status)
        shape = [tf["Dim"](got[0], axis) for axis in range(tf["NumDims"](got[0]))]
        content = string_at(tf["TensorData"](got[0]), tf["TensorByteSize"](got[0]))
        return np.frombuffer(content, kinds[tf["TensorType"](got[0])]).reshape(shape)

    inputs = {name: np.ascontiguousarray(x) for name, x in np.load(feeds).items()}
    got = {
        f"{name}/{output}": run(inputs[name], feed, fetch)
        for name, (feed, fetches) in json.loads(signatures).items()
        for output, fetch in fetches.items()
    }
    np.savez(outputs, **got)
    assert not [name for name in sys.modules if name.startswith(("tensorflow", "keras"))]


if __name__ == "__main__":
    main(*sys.argv[1:])
