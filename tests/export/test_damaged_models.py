"""Damaged, hostile and boastful models and manifests: one error that names the file."""

import io
import json
import random
import struct
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from kerasae import anomaly, convolutional_autoencoder, load_model, stacked_autoencoder, verify
from kerasae.export import read_manifest
from kerasae.export.versions import MANIFEST, next_version, publish, versions
from kerasae.models import ZOO

ROWS = np.random.default_rng(0).uniform(size=(40, 6)).astype("float32")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a trained and calibrated model's file, and its codings."""
    model = stacked_autoencoder((6,), (4, 2))
    model.fit(ROWS, epochs=1, verbose=0)
    anomaly.calibrate(model, ROWS)
    path = tmp_path_factory.mktemp("whole") / "model.keras"
    model.save(path)
    return path.read_bytes(), model.encode(ROWS)


def members(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(contents, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return file.getvalue()


def flagged(content, local, central, value):
    """An archive with a field changed in every header."""
    content = bytearray(content)
    for mark, offset in ((b"PK\3\4", local), (b"PK\1\2", central)):
        start = content.find(mark)
        while start >= 0:
            struct.pack_into("<H", content, start + offset, value)
            start = content.find(mark, start + 4)
    return bytes(content)


def weights(content, change):
    """An archive whose weights are changed."""
    parts = members(content)
    file = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(file, "r+") as opened:
        change(opened)
    return packed({**parts, "model.weights.h5": file.getvalue()})


def hollow(shape):
    """Puts an array that is claimed and not stored in the place of a kernel."""

    def change(file):
        name = "encoder/layers/dense/vars/0"
        del file[name]
        file.create_dataset(name, shape, "f4", chunks=True, compression="gzip")

    return change


def config(content, change):
    """An archive whose configuration is changed."""
    parts = members(content)
    document = json.loads(parts["config.json"])
    change(document["config"]["encoder"]["config"]["layers"])
    return packed({**parts, "config.json": json.dumps(document).encode()})


def widen(count, consistent):
    def change(layers):
        layers[1]["config"]["units"] = count
        layers[2]["config"]["units"] = count
        if consistent:
            layers[2]["build_config"]["input_shape"][-1] = count

    return change


DAMAGED = {
    "encrypted": lambda whole: flagged(whole, 6, 8, 1),
    "another method": lambda whole: flagged(whole, 8, 10, 8),
    "an unknown method": lambda whole: flagged(whole, 8, 10, 99),
    "no weights": lambda whole: packed({"config.json": members(whole)["config.json"]}),
    "no configuration": lambda whole: packed({"model.weights.h5": b""}),
    "weights of another form": lambda whole: packed({**members(whole), "model.weights.h5": b"x"}),
    "configuration of another form": lambda whole: packed({**members(whole), "config.json": b"[]"}),
    "deep configuration": lambda whole: packed({**members(whole), "config.json": b"[" * 10**5}),
    "a bomb of weights": lambda whole: packed(
        {**members(whole), "model.weights.h5": bytes(200 << 20)}, zipfile.ZIP_DEFLATED
    ),
    "a bomb beside the weights": lambda whole: packed(
        {**members(whole), "assets/x": bytes(200 << 20)}, zipfile.ZIP_DEFLATED
    ),
    "hollow weights": lambda whole: weights(whole, hollow((10**5, 10**4))),
    "hollow weights beyond any memory": lambda whole: weights(whole, hollow((2**20, 2**30))),
    "wide layers": lambda whole: config(whole, widen(10**5, consistent=True)),
    "wide layers without the shapes": lambda whole: config(whole, widen(10**9, consistent=False)),
    "layers beyond any memory": lambda whole: config(whole, widen(10**30, consistent=True)),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_and_boastful_models_are_named_before_memory_is_taken(case, whole, tmp_path):
    """Cases 31, 52 and 62."""
    path = tmp_path / "bad.keras"
    path.write_bytes(DAMAGED[case](whole[0]))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"bad\.keras") as raised:
            load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("family", ZOO)
def test_whole_models_of_every_family_are_loaded(family, tmp_path):
    images = family == "convolutional"
    model = ZOO[family]((8, 8, 1) if images else (300,), (8, 4) if images else (60, 4))
    model.save(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras").count_params() == model.count_params()


def test_large_images_and_packed_files_are_no_bombs(whole, tmp_path):
    convolutional_autoencoder((256, 256, 1), (2, 4)).save(tmp_path / "large.keras")
    load_model(tmp_path / "large.keras")
    (tmp_path / "packed.keras").write_bytes(packed(members(whole[0]), zipfile.ZIP_DEFLATED))
    np.testing.assert_array_equal(load_model(tmp_path / "packed.keras").encode(ROWS), whole[1])


FOREIGN = {
    "list": "[]",
    "number": "3",
    "text": '"manifest"',
    "null": "null",
    "deep": "[" * 100_000,
    "deep object": '{"files":' * 100_000,
    "long number": '{"files": ' + "9" * 10_000 + "}",
    "not UTF-8": b"\xff\xfe{}",
    "empty": "",
    "half": '{"files": {',
    "of a web page": "<html></html>",
}
FILES = {"no files": {}, "null": {"files": None}, "list": {"files": []}, "text": {"files": "a"}}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_manifests_of_another_form_are_named(tmp_path, content):
    """Cases 31 and 53."""
    folder = publish(lambda folder: (folder / "weights").touch(), tmp_path / "demo")
    file = folder / MANIFEST
    (file.write_bytes if isinstance(content, bytes) else file.write_text)(content)
    for read in (verify, read_manifest):
        with pytest.raises(ValueError, match=r"demo/1/manifest\.json") as raised:
            read(folder)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_manifests_without_checksums_are_named(tmp_path, content):
    """Case 53."""
    folder = publish(lambda folder: (folder / "weights").touch(), tmp_path / "demo")
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"hold the checksums .*Received: .*manifest\.json"):
        verify(folder)
    assert read_manifest(folder) == content


@pytest.mark.parametrize(
    "files", [{"weights": 3}, {"weights": None}, {"../weights": "a"}, {"": {}}]
)
def test_checksums_of_another_form_are_a_difference(tmp_path, files):
    """Case 53."""
    folder = publish(lambda folder: (folder / "weights").touch(), tmp_path / "demo")
    (folder / MANIFEST).write_text(json.dumps({"files": files}))
    with pytest.raises(ValueError, match="must be as they were written.*demo/1"):
        verify(folder)


def test_only_folders_with_plain_numbers_are_versions(tmp_path):
    """Cases 33 and 53: files, and numbers that TF Serving would not find."""
    for name in ("1", "2", "02", "٣", "²", "4.0", "-5", " 6", "v7"):
        (tmp_path / name).mkdir()
    (tmp_path / "8").write_text("a file")
    assert versions(tmp_path) == [1, 2]
    assert next_version(tmp_path) == 9
    assert publish(lambda folder: (folder / "a").touch(), tmp_path).name == "9"


@pytest.mark.slow
def test_every_flipped_bit_of_a_model_is_read_right_or_named(whole, tmp_path):
    """Cases 31 and 52."""
    content, codings = whole
    path = tmp_path / "bad.keras"
    draw = random.Random(0)
    directory = content.find(b"PK\1\2")
    bits = [*draw.sample(range(8 * len(content)), 200)]
    bits += draw.sample(range(8 * directory, 8 * len(content)), 600)
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            model = load_model(path)
        except (ValueError, TypeError, OSError) as error:
            assert "bad.keras" in str(error), (bit, error)
            assert "\n" not in str(error), (bit, error)
            continue
        np.testing.assert_array_equal(model.encode(ROWS), codings, err_msg=str(bit))


@pytest.mark.slow
def test_every_flipped_bit_of_a_manifest_is_read_or_named(tmp_path):
    """Cases 31 and 53: no flip in the checksums, or in a file that has one, is overlooked."""
    folder = publish(lambda folder: (folder / "weights").write_bytes(bytes(99)), tmp_path / "demo")
    for file in (folder / MANIFEST, folder / "weights"):
        content = file.read_bytes()
        start = content.find(b"weights") if file.name == MANIFEST else 0
        for bit in range(8 * len(content)):
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            file.write_bytes(flipped)
            for read in (verify, read_manifest):
                try:
                    read(folder)
                except ValueError as error:
                    assert "demo/1" in str(error), (bit, error)
                    assert "\n" not in str(error), (bit, error)
                else:
                    blank = content[bit // 8 : bit // 8 + 1].isspace()
                    assert read is read_manifest or blank or bit < 8 * start, bit
        file.write_bytes(content)
    assert verify(folder) == 1
