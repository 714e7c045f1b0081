import os
import shutil
import threading
import weakref
from pathlib import Path

import pytest

from kerasae.serving import Server
from kerasae.serving.loading import folders_in
from kerasae.serving.requests import RefusedError
from kerasae.serving.store import Store
from serving.client import predict, send
from serving.models import save_plain


def start(folder, **options):
    return Server(folder, rest_port=0, grpc_port=0, poll=0.05, deadline=20, **options)


def half(server, path="plain"):
    """What the model adds to half of 0, which differs between its versions."""
    status, response = predict(server.url, path, {"instances": [0]})
    return response["predictions"][0] if status == 200 else status


def states(server, name="plain"):
    response = send(server.url, "GET", f"/v1/models/{name}")[1]
    return {one["version"]: one for one in response["model_version_status"]}


def test_a_new_version_takes_over_and_the_old_one_is_gone(plain, until):
    with start(plain) as server:
        assert half(server) == 3
        save_plain(plain / "plain" / "2", plus=4)
        until(lambda: half(server) == 4)
        until(lambda: half(server, "plain/versions/1") == 404)
        assert half(server, "plain/versions/2") == 4
        assert {number: one["state"] for number, one in states(server).items()} == {
            "2": "AVAILABLE",
            "1": "END",
        }
        # A version that is taken away gives the place back to the one before.
        shutil.rmtree(plain / "plain" / "2")
        until(lambda: half(server) == 3)


def test_models_come_and_go(plain, until):
    with start(plain) as server:
        save_plain(plain / "later" / "7", plus=5)
        until(lambda: half(server, "later") == 5)
        shutil.rmtree(plain / "later")
        until(lambda: half(server, "later") == 404)
        assert half(server) == 3


def truncate(folder):
    data = next((folder / "variables").glob("variables.data*"))
    data.write_bytes(data.read_bytes()[:-3])


def truncate_graph(folder):
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[: graph.stat().st_size // 2])


BAD = {
    "truncated variables": truncate,
    "truncated graph": truncate_graph,
    "no variables": lambda folder: shutil.rmtree(folder / "variables"),
    "foreign": lambda folder: (folder / "saved_model.pb").write_bytes(b"<html>not found</html>"),
    "empty": lambda folder: (folder / "saved_model.pb").write_bytes(b""),
    "no model": lambda folder: (folder / "saved_model.pb").unlink(),
    "folder": lambda folder: (
        (folder / "saved_model.pb").unlink(),
        (folder / "saved_model.pb").mkdir(),
    ),
}


def test_bad_versions_never_replace_a_good_one(plain, until, caplog):
    save_plain(plain / "spare" / "1", plus=9)
    with start(plain) as server:
        for number, (case, spoil) in enumerate(BAD.items(), 2):
            beside = plain / ".beside"
            shutil.copytree(plain / "spare" / "1", beside)
            spoil(beside)
            beside.rename(plain / "plain" / str(number))
            bad = until(lambda number=number: states(server).get(str(number)))
            bad = until(
                lambda number=number: next(
                    (
                        one
                        for key, one in states(server).items()
                        if key == str(number) and one["state"] == "END"
                    ),
                    None,
                )
            )
            assert bad["status"]["error_code"] == "UNKNOWN", case
            assert bad["status"]["error_message"], case
            assert half(server) == 3, case
            assert f"bad version {number} of plain is not served" in caplog.text
        # Not tried again until it changes.
        assert caplog.text.count("bad version 2 of") == 1
        folder = plain / "plain" / "8"
        (folder / "saved_model.pb").rmdir()
        shutil.copy(plain / "spare" / "1" / "saved_model.pb", folder)
        until(lambda: half(server) == 9)
        assert caplog.text.count("bad version 2 of") == 1


def test_a_version_that_fails_its_probe_is_not_served(plain, monkeypatch):
    store = Store(plain)
    store.refresh()
    save_plain(plain / "plain" / "2")
    monkeypatch.setattr("kerasae.serving.saved_model.Bundle.run", lambda *_: 1 / 0)
    store.refresh()
    assert store.available() == {"plain": [1]}
    assert "every signature must run. Received: " in store.states("plain", 2)[2].error
    store.close()


def test_a_bad_highest_version_at_the_start_gives_way_to_the_one_below(plain):
    (plain / "plain" / "5").mkdir()
    with start(plain) as server:
        assert half(server) == 3
        assert "without saved_model.pb" in states(server)["5"]["status"]["error_message"]


def test_no_request_fails_while_versions_change(plain, until):
    with start(plain) as server:
        seen, failed, stop = set(), [], threading.Event()

        def load():
            while not stop.is_set():
                status, response = predict(server.url, "plain", {"instances": [0]})
                if status == 200:
                    seen.add(response["predictions"][0])
                else:
                    failed.append(response)

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in (2, 3, 4, 5):
                save_plain(plain / "plain" / str(number), plus=number + 2)
                until(lambda number=number: number + 2 in seen)
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)
        assert not failed
        assert seen >= {4, 5, 6, 7}
        assert server.store.available() == {"plain": [5]}


def test_a_replaced_version_ends_after_its_last_request(plain):
    store = Store(plain)
    store.refresh()
    with store.lease("plain") as loaded:
        save_plain(plain / "plain" / "2")
        store.refresh()
        assert store.available() == {"plain": [2]}
        assert loaded.batcher._thread.is_alive()
        with pytest.raises(RefusedError, match="Specific"), store.lease("plain", 1):
            pass
    loaded.batcher.join(20)
    assert not loaded.batcher._thread.is_alive()
    store.close()


def test_a_label_keeps_its_version(plain):
    save_plain(plain / "plain" / "2", plus=4)
    with start(plain, labels={("plain", "stable"): 1, ("plain", "next"): 9}) as server:
        assert half(server) == 4
        assert half(server, "plain/labels/stable") == 3
        assert half(server, "plain/versions/1") == 3
        assert half(server, "plain/labels/next") == 404
        assert half(server, "plain/labels/nothing") == 400
        assert send(server.url, "GET", "/v1/models/plain/labels/stable")[0] == 200
        assert send(server.url, "GET", "/v1/models/plain/labels/stable/metadata")[0] == 200


def test_links_that_lead_out_are_refused(plain, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    save_plain(outside / "secret" / "1")
    (plain / "model").symlink_to(outside / "secret")
    (plain / "version").mkdir()
    (plain / "version" / "1").symlink_to(outside / "secret" / "1")
    shutil.copytree(plain / "plain" / "1", plain / "file" / "1")
    (plain / "file" / "1" / "saved_model.pb").unlink()
    (plain / "file" / "1" / "saved_model.pb").symlink_to(
        outside / "secret" / "1" / "saved_model.pb"
    )
    (plain / "inside").symlink_to(plain / "plain")
    store = Store(plain)
    store.refresh()
    assert store.available() == {"inside": [1], "plain": [1]}
    for name in ("model", "version", "file"):
        assert "leads out" in store.states(name)[1].error
    store.close()


def test_other_things_in_the_folder_are_not_models(plain):
    save_plain(plain / ".hidden" / "1")
    (plain / "README.md").write_text("text")
    (plain / "plain" / "notes").mkdir()
    (plain / "plain" / "3").write_text("not a folder")
    (plain / "nothing" / "1.5").mkdir(parents=True)
    store = Store(plain)
    store.refresh()
    assert store.available() == {"plain": [1]}
    assert list(store.states("plain")) == [1]
    with pytest.raises(RefusedError, match="Could not find any versions"):
        store.states("nothing")
    store.close()


def test_a_folder_that_cannot_be_read_for_a_while_harms_nothing(plain, caplog, until):
    store = Store(plain, poll=0.02)
    looks, refresh = [], store.refresh
    store.refresh = lambda: (looks.append(1), refresh())
    store.start()
    hidden = Path(f"{plain}.away")
    plain.rename(hidden)
    until(lambda: "cannot look at" in caplog.text)
    seen = len(looks)
    until(lambda: len(looks) > seen + 3)
    assert store.available() == {"plain": [1]}
    assert caplog.text.count("cannot look at") == 1
    hidden.rename(plain)
    store.close(20)


def test_a_folder_that_is_moved_within_a_look_is_seen_whole(plain, monkeypatch):
    """Paths that are asked one by one would all be gone."""
    real, hidden = os.scandir, Path(f"{plain}.away")

    class Moved:
        def __init__(self, folder):
            self.entries = real(folder)

        def __enter__(self):
            entries = list(self.entries)
            plain.rename(hidden)
            return iter(entries)

        def __exit__(self, *_):
            hidden.rename(plain)

    monkeypatch.setattr(os, "scandir", Moved)
    assert folders_in(plain) == ["plain"]


def test_folders_without_models(plain):
    with pytest.raises(FileNotFoundError, match="must exist and hold .*nowhere'. Try kerasae"):
        Server(plain / "nowhere")
    with pytest.raises(ValueError, match=f"hold NAME/VERSION.* single model. Try {plain}"):
        Server(plain / "plain")


def test_a_released_version_leaves_the_memory(plain):
    store = Store(plain)
    store.refresh()
    with store.lease("plain") as loaded:
        model = weakref.ref(loaded.bundle._model)
    batcher = loaded.batcher
    del loaded
    save_plain(plain / "plain" / "2")
    store.refresh()
    batcher.join(20)
    del batcher
    store.refresh()
    assert model() is None
    store.close()
