"""The operators that a SavedModel could run, found in its graph before it is loaded."""

from collections.abc import Iterator

from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

# Operators that write files, or run Python.
REFUSED = frozenset(
    [
        *("WriteFile", "Save", "SaveSlices", "SaveV2", "MergeV2Checkpoints", "DistributedSave"),
        *("SaveDataset", "SaveDatasetV2", "SnapshotDataset", "SnapshotDatasetV2"),
        *("DatasetToTFRecord", "ExperimentalDatasetToTFRecord", "CacheDataset", "CacheDatasetV2"),
        *("CreateSummaryFileWriter", "CreateSummaryDbWriter", "DebugIdentity", "DebugIdentityV2"),
        *("DebugIdentityV3", "DebugNanCount", "DebugNumericSummary"),
        *("PyFunc", "PyFuncStateless", "EagerPyFunc"),
    ]
)
INITIALIZERS = ("saved_model_main_op", "legacy_init_op")


def refused_operators(graph: MetaGraphDef) -> list[str]:
    """Names of the operators that write files, in all that loading and serving could run.

    What only saves the model anew, as every SavedModel can, is not run.

    Args:
        graph: The `MetaGraphDef` of a SavedModel.

    Returns:
        The names, in order; empty where there are none.
    """
    nodes = {node.name: node for node in graph.graph_def.node}
    functions = {one.signature.name: one.node_def for one in graph.graph_def.library.function}
    run = [nodes[name] for name in _reached(_begins(graph), nodes)]
    called: set[str] = set()
    waiting = {*graph.object_graph_def.concrete_functions, *_calls(run)}
    while new := (waiting & functions.keys()) - called:
        called |= new
        inside = [node for name in new for node in functions[name]]
        run += inside
        waiting = set(_calls(inside))
    return sorted({node.op for node in run if node.op in REFUSED or _prints_to_file(node)})


def _reached(begins, nodes):
    """Names of the nodes that others need, through their inputs."""
    reached, waiting = set(), set(begins)
    while new := (waiting & nodes.keys()) - reached:
        reached |= new
        waiting = {_node_of(tensor) for name in new for tensor in nodes[name].input}
    return reached


def _calls(nodes):
    """Names of the functions that nodes call."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (one.name for one in value.list.func)


def _begins(graph: MetaGraphDef) -> Iterator[str]:
    """Names of the nodes of the graph at which TensorFlow begins to run it."""
    for signature in graph.signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            yield _node_of(tensor.name)
            yield from (_node_of(part.name) for part in tensor.composite_tensor.components)
            coo = tensor.coo_sparse
            parts = (coo.values_tensor_name, coo.indices_tensor_name, coo.dense_shape_tensor_name)
            yield from map(_node_of, parts)
    yield _node_of(graph.saver_def.restore_op_name)
    for name in INITIALIZERS:
        yield from map(_node_of, graph.collection_def[name].node_list.value)


def _node_of(tensor):
    """The node of a tensor, "^name" or "name:0"."""
    return tensor.removeprefix("^").partition(":")[0]


def _prints_to_file(node):
    return node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:")
