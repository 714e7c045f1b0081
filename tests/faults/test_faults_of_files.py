"""The cases of files, publishing, serving and the terminal, by their number."""

import csv
import errno
import gzip
import http.client
import json
import os
import signal
import threading
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import keras
import numpy as np
import pytest

import kerasae
from kerasae import atomic
from kerasae.export.versions import publish
from kerasae.tuning import results

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def full_disk(monkeypatch):
    """Lets every flush to disk fail, as on a full one."""

    def fail(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(atomic, "_flush", fail)


def everything(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_case_25_a_folder_that_cannot_be_written(mistake, tmp_path):
    (tmp_path / "file").touch()
    train = ("train", "digits", "--hidden", 2, "--epochs", 1)
    assert "file" in mistake(*train, "--output", tmp_path / "file")
    assert "/proc" in mistake(*train, "--output", "/proc/nowhere")


def test_case_61_a_full_disk(mistake, saved, full_disk, frame):
    before = everything(saved)
    frame.to_csv("x.csv", index=False)
    for line in (
        ("export", saved / "m", "--output", saved, "--name", "m"),
        ("features", saved / "m", "x.csv", "-o", saved / "codings.csv"),
        ("anomalies", saved / "m", "x.csv", "-o", saved / "scores.csv"),
        ("tune", "search", "x.csv", "--set", "layout=2", "--epochs", 1, "--output", saved),
    ):
        assert "No space left on device" in mistake(*line)
        after = everything(saved)
        assert {path: after[path] for path in before} == before
        assert not [path for path in after if path.suffix in (".csv", ".pb") and path not in before]


def swept(folder):
    """The folder of a sweep of two trials, the second of which has won."""
    results.write_json(folder / "sweep.json", {"space": {"layout": ["2", "1"]}})
    for number, mse in enumerate((0.5, 0.25)):
        trial = f"{number:04d}"
        known = {"trial": trial, "values": {"layout": "2"}, "status": "completed", "val_mse": mse}
        known |= {"spread": None, "test_mse": mse, "epochs": 1, "seconds": 1.0, "cause": None}
        results.write_json(folder / f"trial_{trial}" / "result.json", known)
        results.write_json(folder / f"trial_{trial}" / "trial.json", {"status": "COMPLETED"})
    return folder


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"val_mse": NaN}', '{"a": 1}'])
def test_case_28_and_53_a_damaged_winner(mistake, tmp_path, content):
    folder = swept(tmp_path / "s")
    (folder / "trial_0001" / "result.json").write_text(content)
    err = mistake("export", folder)
    assert "trial_0001/result.json" in err
    assert "--resume" in err
    assert not (tmp_path / "saved_models").exists()


def test_case_30_a_sweep_of_another_space(mistake, kerasae, frame):
    frame.to_csv("x.csv", index=False)
    line = ("tune", "search", "x.csv", "--epochs", 1, "--name", "s", "--resume", "--set")
    results.write_json(Path("sweeps/s/sweep.json"), {"space": {"layout": ["2"]}, "epochs": 1})
    assert "layout was ['2'], is now ['1']" in mistake(*line, "layout=1")
    assert "Try --resume" in mistake("tune", "search", "x.csv", "--name", "s", "--set", "layout=1")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_case_31_damaged_models(mistake, saved, damage):
    path = saved / "m" / "1" / "model.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    others = {"truncated": content[:-99], "foreign": b"\x89HDF\r\n\x1a\n" * 9, "empty": b""}
    path.write_bytes(others.get(damage, content))
    assert "model.keras" in mistake("export", path)


@pytest.mark.parametrize("name", ["m.h5", "m.pkl", "m.pt"])
def test_case_32_formats_that_run_code(mistake, write, name):
    write(name, b"content")
    assert "other formats can run code when loaded" in mistake("export", name)


def test_case_32_lambdas_and_foreign_classes(tmp_path):
    function = keras.layers.Lambda(lambda x: x + 1)
    made = keras.Sequential([keras.Input((3,)), function, keras.layers.Dense(2)])
    made.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="Lambda layer, which runs code when loaded"):
        kerasae.load_model(tmp_path / "m.keras")


def test_case_33_a_version_that_exists(model, saved):
    before = everything(saved)
    with pytest.raises(FileExistsError, match="Received: version=1, which exists .*Try version 2"):
        kerasae.export_saved_model(model, saved / "m", version=1)
    assert everything(saved) == before


def test_case_34_an_export_that_stops_midway(tmp_path):
    def write(folder):
        (folder / "first").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(write, tmp_path / "m")
    assert not list((tmp_path / "m").iterdir())


@pytest.fixture(scope="module")
def url(_saved):
    """Address of a server of the model."""
    from kerasae.serving import Server

    with Server(_saved, rest_port=0, grpc_port=0, max_body=10_000, deadline=10) as server:
        yield server.url


def send(url, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    content = json.dumps(body) if isinstance(body, dict) else body
    connection.request(method, path, content, headers or {})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    return response.status, json.loads(text, parse_constant=None)


PREDICT = "/v1/models/m:predict"
ROW = [10.0, 10.0, 10.0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        {},
        {"rows": [ROW]},
        {"instances": [ROW[:2]]},
        {"instances": [[*ROW, 1.0]]},
        {"instances": [["a", "b", "c"]]},
        {"instances": "x"},
        {"instances": [ROW], "signature_name": "none"},
        b'{"instances": [[1, 2, "x"]]}',
    ],
    ids=str,
)
def test_case_35_bad_requests(url, body):
    status, response = send(url, "POST", PREDICT, body)
    assert status == 400
    assert list(response) == ["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/none:predict", 404),
        ("POST", "/v1/models/m/versions/7:predict", 404),
        ("POST", "/v1/models/m/labels/none:predict", 400),
        ("GET", "/v1/models/none", 404),
        ("GET", "/v2/models/m", 404),
        ("GET", PREDICT, 405),
        ("DELETE", "/v1/models/m", 405),
    ],
)
def test_case_36_what_is_not_there(url, method, path, status):
    body = {"instances": [ROW]} if method == "POST" else None
    assert send(url, method, path, body)[0] == status


def test_case_37_and_55_bodies(url):
    status, response = send(url, "POST", PREDICT, {"instances": [ROW] * 10_000})
    assert (status, list(response)) == (413, ["error"])
    packed = gzip.compress(json.dumps({"instances": [ROW]}).encode())
    headers = {"Content-Encoding": "gzip"}
    assert send(url, "POST", PREDICT, packed, headers)[0] == 200
    assert send(url, "POST", PREDICT, gzip.compress(bytes(10 << 20)), headers)[0] == 413
    assert send(url, "POST", PREDICT, packed[:-9], headers)[0] == 400
    assert send(url, "GET", "/v1/models")[0] == 200


@pytest.mark.parametrize("cell", ["NaN", "Infinity", "-Infinity", "1e39"])
def test_case_42_and_55_a_served_row_that_is_not_finite(url, cell):
    body = '{"signature_name": "anomaly_score", "instances": [[10, 10, CELL]]}'
    status, response = send(url, "POST", PREDICT, body.replace("CELL", cell).encode())
    assert status in (200, 400)
    if status == 200:
        (row,) = response["predictions"]
        assert row["is_anomaly"] is True
        assert row["p_value"] == pytest.approx(1 / 81)


def test_case_46_exports_at_once(tmp_path):
    barrier, folders, errors = threading.Barrier(8), [], []

    def run(number):
        def write(folder):
            (folder / "number").write_text(str(number))
            barrier.wait(30)

        try:
            folders.append(publish(write, tmp_path / "m"))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(folder.name for folder in folders) == sorted("12345678")
    assert {(folder / "number").read_text() for folder in folders} == set("01234567")


def test_case_47_strays_of_the_dead_and_the_living(tmp_path):
    stray = tmp_path / "m" / ".partial-00000000-folder"
    stray.mkdir(parents=True)
    (stray / "half").touch()
    living = []

    def write(folder):
        living.append(folder)
        assert not stray.exists()
        publish(lambda other: (other / "a").touch(), tmp_path / "m")
        assert folder.exists()
        (folder / "b").touch()

    assert publish(write, tmp_path / "m").name == "2"
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["1", "2"]


@pytest.mark.parametrize("name", ['"q" [red]$x$', "a\nb", "=1+1", "größe"], ids=ascii)
def test_case_51_names_are_literal(kerasae, saved, name):
    from google.protobuf import text_format
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    output = saved.parent / "out"
    status, out, err = kerasae("export", saved / "m", f"--name={name}", "--output", output)
    assert (status, err) == (0, "")
    assert name.replace("\n", "\\n") in out
    text = (output / "models.config").read_text(encoding="utf-8")
    (one,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    assert one.name == name


@pytest.mark.parametrize("name", ["../up", "a/../../b", "..", ".", "/tmp/x", ""])
@pytest.mark.parametrize("command", ["train digits", "tune layouts digits", "export nowhere"])
def test_case_51_a_name_is_no_way_out_of_its_folder(mistake, command, name, tmp_path):
    err = mistake(*command.split(), f"--name={name}", "--output", tmp_path / "out")
    assert err.startswith("error: --name must be the name of one folder. Received: ")
    assert not list(tmp_path.iterdir())


def test_case_51_formulas_in_scores(kerasae, saved, frame):
    made = kerasae_of_formulas(frame)
    made.save("f.keras")
    frame.set_axis(["=1+1", "-b", "@c"], axis=1).to_csv("x.csv", index=False)
    status, _, err = kerasae("anomalies", "f.keras", "x.csv", "-o", "scores.csv")
    assert status == 0, err
    with Path("scores.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    worst = {line[header.index("worst_column")] for line in lines}
    assert worst <= {"'=1+1", "'-b", "'@c"}


def kerasae_of_formulas(frame):
    return kerasae.stacked_autoencoder((3,), (2,), columns=["=1+1", "-b", "@c"])


@pytest.mark.parametrize("content", ["[]", "{", "null", '{"files": []}', "[" * 9999])
def test_case_53_manifests_of_another_form(mistake, saved, content):
    (saved / "m" / "1" / "manifest.json").write_text(content)
    assert "manifest.json" in mistake("info", saved / "m")


def test_case_54_a_sweep_that_fails_whole(kerasae, frame):
    frame.to_csv("x.csv", index=False)
    line = ("tune", "search", "x.csv", "--set", "learning_rate=1e30,1e31", "--epochs", 1)
    status, _, err = kerasae(*line)
    assert status == 2
    failed = [line for line in err.splitlines() if line.startswith("failed: trial ")]
    assert len(failed) == 2
    assert err.splitlines()[-1].startswith("error: a trial of the sweep must be completed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_case_60_a_signal_at_the_last_moment(kerasae, saved, monkeypatch, number):
    """While the version is written: nothing of it stays."""
    before = everything(saved)
    monkeypatch.setattr(atomic, "_flush", lambda path: os.kill(os.getpid(), number))
    status, _, err = kerasae("export", saved / "m", "--output", saved, "--name", "m")
    assert (status, err) == (128 + number, "error: interrupted\n")
    assert everything(saved) == before


def test_case_52_a_model_that_is_a_bomb(mistake, tmp_path):
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(200 << 20))
    assert "m.keras" in mistake("export", tmp_path / "m.keras")
    assert np.prod((tmp_path / "m.keras").stat().st_size) < 1 << 20
