"""New versions that are slow, hostile or of another format hold up nothing and write nothing."""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasae.serving import Server
from kerasae.serving.store import Store
from serving.client import predict, send
from serving.models import save_plain

TEXT = tf.constant("written by a graph")


class Foreign(tf.Module):
    """A model whose only signature is a function of rows."""

    def __init__(self, function, initializer=None):
        super().__init__()
        row = tf.TensorSpec([None], tf.float32, "x")
        self.run = tf.function(function, input_signature=[row])
        if initializer:
            self.resource = Resource(initializer)


class Resource(tf.saved_model.experimental.TrackableResource):
    """Runs a function when its model is loaded."""

    def __init__(self, initializer):
        super().__init__()
        self.initializer = initializer

    def _create_resource(self):
        return tf.raw_ops.AnonymousRandomSeedGenerator(seed=0, seed2=0)[0]

    def _initialize(self):
        self.initializer()


def save(folder, function, initializer=None):
    """Writes a model as a version, whole or not at all."""
    beside = folder.parent.parent / f".{folder.parent.name}-{folder.name}"
    module = Foreign(function, initializer)
    tf.saved_model.save(module, str(beside), {"serving_default": module.run})
    folder.parent.mkdir(exist_ok=True)
    beside.rename(folder)


def endless(x):
    rounds = tf.while_loop(lambda i: i < 10**15, lambda i: [i + 1], [tf.constant(0, tf.int64)])[0]
    return {"y": x + tf.cast(rounds, tf.float32)}


def plus(x):
    return {"y": x + 1.0}


def writing(operation, path):
    def run(x):
        operation(path)
        return {"y": x}

    return run


def summary(path):
    tf.raw_ops.CreateSummaryFileWriter(
        writer=tf.raw_ops.SummaryWriter(shared_name="", container=""),
        **{"logdir": path, "max_queue": 1, "flush_millis": 1, "filename_suffix": ""},
    )


def in_a_loop(path):
    def write(i):
        tf.io.write_file(path, TEXT)
        return [i + 1]

    tf.while_loop(lambda i: i < 2, write, [0])


def in_a_branch(path):
    tf.cond(tf.random.uniform([]) < 2, lambda: tf.io.write_file(path, TEXT), tf.no_op)


def in_a_function(path):
    tf.map_fn(lambda x: (tf.io.write_file(path, TEXT), x)[1], tf.constant([1.0, 2.0]))


WRITERS = {
    "write_file": lambda path: tf.io.write_file(path, TEXT),
    "in a loop": in_a_loop,
    "in a branch": in_a_branch,
    "in a function": in_a_function,
    "print": lambda path: tf.print("a", output_stream=f"file://{path}"),
    "summary": summary,
    "checkpoint": lambda path: tf.raw_ops.SaveV2(
        prefix=path, tensor_names=["a"], shape_and_slices=[""], tensors=[TEXT]
    ),
    "merge": lambda path: tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=[path], destination_prefix=path + "2"
    ),
    "dataset": lambda path: tf.raw_ops.DatasetToTFRecord(
        input_dataset=tf.data.Dataset.from_tensors(TEXT)._variant_tensor,
        filename=path,
        compression_type="",
    ),
    "python": lambda path: tf.py_function(lambda: None, [], []),
}


@pytest.mark.parametrize("case", WRITERS)
def test_graphs_that_write_files_are_refused_before_they_run(plain, tmp_path_factory, case):
    """Case 56."""
    folder = tmp_path_factory.mktemp("target")
    save(plain / "foreign" / "1", writing(WRITERS[case], str(folder / "file")))
    before = sorted(folder.rglob("*"))
    store = Store(plain)
    store.refresh()
    assert store.available() == {"plain": [1]}
    assert "must not write files or run Python" in store.states("foreign")[1].error
    assert sorted(folder.rglob("*")) == before
    store.close()


def test_graphs_that_write_files_when_loaded_are_refused(plain, tmp_path_factory):
    """Case 56."""
    path = tmp_path_factory.mktemp("target") / "file"

    def write():
        tf.io.write_file(str(path), TEXT)

    save(plain / "foreign" / "1", plus, write)
    assert not path.exists()
    store = Store(plain)
    store.refresh()
    assert store.available() == {"plain": [1]}
    assert "operators WriteFile" in store.states("foreign")[1].error
    assert not path.exists()
    store.close()


def test_graphs_that_read_their_own_files_are_served(plain, tmp_path):
    """A vocabulary among the assets, and what every SavedModel has to save itself anew."""
    words = tmp_path / ".words.txt"
    words.write_text("a\nb\n")

    class Vocabulary(tf.Module):
        def __init__(self):
            super().__init__()
            self.words = tf.lookup.StaticHashTable(
                tf.lookup.TextFileInitializer(
                    *(str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
                    *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
                ),
                -1,
            )
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, 0)
            self.weight = tf.Variable(1.0)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "word")])
        def number(self, word):
            tf.print("a request")
            return {"number": self.words.lookup(word) + self.table.lookup(word)}

    module = Vocabulary()
    tf.saved_model.save(module, str(plain / "words" / "1"), {"serving_default": module.number})
    with Server(plain, rest_port=0, grpc_port=0) as server:
        body = {"instances": ["b", "a", "c"]}
        assert predict(server.url, "words", body) == (200, {"predictions": [1, 0, -1]})


@pytest.mark.slow
def test_a_slow_version_holds_up_no_other(plain, until, caplog):
    """Case 56."""
    with Server(plain, rest_port=0, grpc_port=0, poll=0.05, load_limit=8) as server:
        save(plain / "plain" / "2", endless)
        until(lambda: 2 in server.store.states("plain"))
        assert server.store.states("plain")[2].name == "LOADING"
        begun = time.monotonic()
        save_plain(plain / "other" / "1", plus=5)
        until(lambda: "other" in server.store.available())
        save_plain(plain / "other" / "2", plus=6)
        until(lambda: server.store.available()["other"] == [2])
        assert time.monotonic() - begun < 7
        assert predict(server.url, "plain", {"instances": [0]}) == (200, {"predictions": [3.0]})
        state = until(lambda: server.store.states("plain")[2].error)
        assert "within 8 seconds. Received: one that takes longer" in state
        assert server.store.available() == {"other": [2], "plain": [1]}
        # The graph has stopped, and is not tried again.
        time.sleep(0.5)
        spent = time.process_time()
        time.sleep(1)
        assert time.process_time() - spent < 0.5
        assert caplog.text.count("bad version 2 of plain") == 1
        save_plain(plain / "plain" / "3", plus=7)
        until(lambda: server.store.available()["plain"] == [3])


def test_a_version_that_is_slow_to_load_holds_up_no_other(plain, until):
    """Case 56: the initialisers of a SavedModel are a graph, too."""

    def initialize():
        tf.debugging.assert_less(endless(tf.zeros(1))["y"], 0.0)

    save(plain / "plain" / "2", plus, initialize)
    with Server(plain, rest_port=0, grpc_port=0, poll=0.05, load_limit=1) as server:
        state = until(lambda: server.store.states("plain")[2].error)
        assert "within 1 seconds" in state
        assert server.store.available() == {"plain": [1]}


@pytest.mark.slow
def test_a_version_that_does_not_stop_is_given_up(plain, monkeypatch, until):
    """Case 56: an operator that cannot be stopped."""
    free = threading.Event()
    monkeypatch.setattr("kerasae.serving.loading.GRACE", 0.5)
    with Server(plain, rest_port=0, grpc_port=0, poll=0.05, load_limit=5) as server:
        monkeypatch.setattr("kerasae.serving.saved_model.Bundle.probe", lambda _: free.wait(60))
        save_plain(plain / "plain" / "2", plus=4)
        assert "within 5 seconds" in until(lambda: server.store.states("plain").get(2, ("", ""))[1])
        free.set()
        time.sleep(0.5)
        assert server.store.available() == {"plain": [1]}


def test_the_version_below_a_slow_one_is_served_after_a_while(plain, monkeypatch, until):
    """Case 56: also where the slow one was there at the start."""
    monkeypatch.setattr("kerasae.serving.store.PATIENCE", 0.5)
    save(plain / "plain" / "2", endless)
    with Server(plain, rest_port=0, grpc_port=0, poll=0.05, load_limit=600) as server:
        until(lambda: server.store.available() == {"plain": [1]})
        assert server.store.states("plain")[2].name == "LOADING"
        assert predict(server.url, "plain", {"instances": [0]})[0] == 200


SLOW = """
import sys, time
from kerasae.serving.store import Store
store = Store(sys.argv[1], poll=0.05)
store._thread.start()
while not (store.every_state().get("plain", {}).get(2) or [""])[0] == "LOADING":
    time.sleep(0.05)
time.sleep(1)
if sys.argv[2] == "close":
    store.close(5)
print("end", flush=True)
"""


@pytest.mark.fast(every=2)
@pytest.mark.parametrize("end", ["close", "exit"])
def test_a_slow_version_does_not_hold_up_the_end(plain, end):
    """Case 56."""
    save(plain / "plain" / "2", endless)
    command = [sys.executable, "-c", SLOW, str(plain), end]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.endswith("end\n"), done.stderr[-2000:]


def test_many_versions_load_side_by_side(plain):
    for number in range(12):
        save_plain(plain / f"model{number}" / "1", plus=number)
    store = Store(plain)
    store.refresh()
    assert len(store.available()) == 13
    for number in range(12):
        with store.lease(f"model{number}") as loaded:
            outputs = loaded.bundle.run("serving_default", {"x": np.zeros(1, "float32")})
            assert outputs["y"].tolist() == [number]
    store.close()


@pytest.mark.parametrize("file", ["encode.onnx", "model.tflite", "model.keras", "model.pkl"])
def test_exports_of_other_formats_are_no_versions(plain, caplog, file):
    """A folder of ONNX exports beside the models, or among the versions of one."""
    caplog.set_level("INFO", "kerasae.serving")
    for name in ("plain-onnx/1", "plain/2"):
        (plain / name).mkdir(parents=True)
        for one in (file, "manifest.json"):
            (plain / name / one).write_text("{}")
    store = Store(plain)
    store.refresh()
    assert store.available() == {"plain": [1]}
    assert list(store.every_state()) == ["plain"]
    assert "bad version" not in caplog.text
    assert not [record for record in caplog.records if record.levelname != "INFO"]
    # The SavedModel of the same model makes it a version.
    shutil.copytree(plain / "plain" / "1", plain / "plain" / "2", dirs_exist_ok=True)
    store.refresh()
    assert store.available() == {"plain": [2]}
    store.close()


def test_the_models_are_listed(plain, server):
    listed = send(server.url, "GET", "/v1/models")
    assert listed[0] == 200
    by_name = {one.pop("name"): one for one in listed[1]["models"]}
    assert list(by_name) == ["half_plus_three", "stacked", "variational"]
    for name, states in by_name.items():
        assert send(server.url, "GET", f"/v1/models/{name}") == (200, states)
    assert send(server.url, "GET", "/v1/models/")[1] == {
        "models": [{"name": name, **states} for name, states in by_name.items()]
    }
    Path(plain / "empty").mkdir()
    (plain / "bad" / "1").mkdir(parents=True)
    with Server(plain, rest_port=0, grpc_port=0) as other:
        models = send(other.url, "GET", "/V1/Models")[1]["models"]
        assert [one["name"] for one in models] == ["bad", "plain"]
        assert models[0]["model_version_status"][0]["state"] == "END"
