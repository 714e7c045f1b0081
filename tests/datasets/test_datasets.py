import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae.datasets import load

ROWS = np.arange(30, dtype="float32").reshape(10, 3)


def written(path, content):
    (path.write_bytes if isinstance(content, bytes) else path.write_text)(content)
    return path


def idx(array, magic=None):
    codes = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}
    magic = magic or struct.pack(">HBB", 0, codes[array.dtype.name], array.ndim)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return magic + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_digits_are_the_real_ones():
    data = load("digits")
    assert data.x.shape == (1797, 64)
    assert data.x.dtype == "uint8"
    assert data.x.max() == 16
    assert data.image_shape == (8, 8)
    assert np.bincount(data.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert len(data.x_train) == len(data.y_train) == 1438
    assert len(data.x_test) == len(data.y_test) == 359
    np.testing.assert_array_equal(load("digits").is_test, data.is_test)


def test_mnist_is_the_real_one(mnist):
    assert mnist.x_train.shape == (60000, 784)
    assert mnist.x_test.shape == (10000, 784)
    assert mnist.x.dtype == "uint8"
    assert mnist.image_shape == (28, 28)
    assert mnist.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.x_train.mean() == pytest.approx(0.1307 * 255, rel=1e-3)


def test_mnist_says_what_to_do_where_it_cannot_be_had(monkeypatch):
    import keras

    def offline():
        raise OSError("no network")

    monkeypatch.delenv("KERASAE_DATA_DIR", raising=False)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", offline)
    with pytest.raises(FileNotFoundError, match="no network.*KERASAE_DATA_DIR"):
        load("mnist")


def files(tmp_path):
    """The same ten rows in every format."""
    frame = pd.DataFrame(ROWS, columns=["a", "b", "c"])
    np.save(tmp_path / "rows.npy", ROWS)
    np.savez(tmp_path / "rows.npz", X=ROWS, y=np.arange(10))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    written(tmp_path / "rows.idx", idx(ROWS))
    written(tmp_path / "rows-idx2-ubyte.gz", gzip.compress(idx(ROWS.astype("uint8"))))
    return sorted(tmp_path.iterdir())


@pytest.mark.parametrize("name", range(6))
def test_every_format_gives_the_same_rows_in_their_order(tmp_path, name):
    path = files(tmp_path)[name]
    data = load(path)
    np.testing.assert_array_equal(data.x, ROWS)
    assert len(data.x_train) == 8
    assert len(data.x_test) == 2
    assert data.columns == (["a", "b", "c"] if path.suffix in (".csv", ".parquet") else None)


@pytest.mark.parametrize("name", range(6))
@pytest.mark.parametrize("damage", ["truncated", "foreign", "empty", "flipped"])
def test_damaged_files_are_named(tmp_path, name, damage):
    path = files(tmp_path)[name]
    content = path.read_bytes()
    if path.suffix == ".csv" and damage in ("truncated", "flipped"):
        content = b"a,b,c\n1,2" if damage == "truncated" else b"a,b,c\n1,2,\xff\n"
    elif damage == "flipped":
        if path.suffix not in (".npz", ".gz"):
            pytest.skip("the format holds no checksum")
        middle = content.find(ROWS.tobytes()) + 8 if path.suffix == ".npz" else len(content) // 2
        content = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
    elif damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content = b"" if damage == "empty" else b"<html>not found</html>"
    with pytest.raises((ValueError, TypeError), match=path.name.replace(".", r"\.")):
        load(written(path, content))


def test_images_are_flattened_and_their_shape_is_kept(tmp_path):
    images = np.arange(5 * 4 * 3, dtype="uint8").reshape(5, 4, 3)
    for path in (
        written(tmp_path / "train-images-idx3-ubyte", idx(images)),
        written(tmp_path / "t10k-images.idx3-ubyte", idx(images)),
    ):
        data = load(path)
        assert data.image_shape == (4, 3)
        np.testing.assert_array_equal(data.x, images.reshape(5, 12))


def test_train_and_test_of_an_npz_stay_separate(tmp_path):
    path = tmp_path / "split.npz"
    np.savez(path, x_train=ROWS, x_test=ROWS[:4] + 100, y_train=np.arange(10), y_test=np.arange(4))
    data = load(path)
    np.testing.assert_array_equal(data.x_train, ROWS)
    np.testing.assert_array_equal(data.x_test, ROWS[:4] + 100)
    assert data.y_test.tolist() == [0, 1, 2, 3]


def test_the_key_of_an_npz(tmp_path):
    path = tmp_path / "rows.npz"
    np.savez(path, one=ROWS, two=2 * ROWS)
    np.testing.assert_array_equal(load(path, key="two").x, 2 * ROWS)
    for key, received in ((None, "no key"), ("three", "key='three'")):
        with pytest.raises(ValueError, match=f"must be one of one, two. Received: {received}"):
            load(path, key=key)


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("unpickled"),)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([[Bomb()]], dtype=object)
    np.save("rows.npy", objects, allow_pickle=True)
    np.savez("rows.npz", X=objects)
    written(tmp_path / "bare.npy", pickle.dumps(Bomb()))
    for name in ("rows.npy", "rows.npz", "bare.npy"):
        with pytest.raises(ValueError, match="pickle"):
            load(name)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"\x12\x34\x08\x01\x00\x00\x00\x01\x07",
            "magic number must be 0x0000, .*Received: 0x12340801",
        ),
        (b"\x00\x00\x0f\x01\x00\x00\x00\x01\x07", "0x08, .*Received: 0x00000f01"),
        (idx(ROWS)[:-1], "132 bytes for shape \\(10, 3\\) of float32. Received: 131 bytes"),
        (idx(ROWS) + b"x", "132 bytes.* Received: 133 bytes"),
        (b"\x00\x00", "damaged"),
    ],
)
def test_idx_faults(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        load(written(tmp_path / "rows.idx", content))


def test_labels_are_taken_out_of_a_table(tmp_path):
    path = written(tmp_path / "iris.csv", "a,b,kind\n1,2,red\n3,4,blue\n5,6,red\n")
    data = load(path, label="kind", test_fraction=0)
    assert data.columns == ["a", "b"]
    assert data.y.tolist() == ["red", "blue", "red"]
    with pytest.raises(
        ValueError, match=r"label must be one of .*label='kin' \(.*iris.csv, --label\). Try kind"
    ):
        load(path, label="kin")


def test_few_rows_are_tested_on_themselves(tmp_path):
    np.save(tmp_path / "one.npy", ROWS[:1])
    data = load(tmp_path / "one.npy")
    assert len(data.x_train) == len(data.x_test) == 1


def test_unknown_names_and_formats(tmp_path):
    with pytest.raises(ValueError, match="data set must be one of .*'digit'. Try digits"):
        load("digit")
    with pytest.raises(ValueError, match="path must end in .npz, .*rows.xlsx"):
        load(written(tmp_path / "rows.xlsx", "x"))
    with pytest.raises(FileNotFoundError, match="path must be a file that exists.*nowhere.csv"):
        load(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match="test_fraction"):
        load("digits", test_fraction=1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rows.csv", "pyarrow must be installed for .csv files. Try pip install pyarrow"),
        ("rows.parquet", "pyarrow must be installed for .parquet files. Try pip install pyarrow"),
        (
            "digits",
            "sklearn must be .* the data set digits. Try pip install scikit-learn",
        ),
    ],
)
def test_a_missing_package_comes_with_its_command(tmp_path, monkeypatch, name, message):
    files(tmp_path)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=message):
        load(name if name == "digits" else tmp_path / name)
    np.testing.assert_array_equal(load(tmp_path / "rows.npy").x, ROWS)


def test_pyarrow_and_scikit_learn_are_imported_where_they_are_used(tmp_path, run_python):
    np.save(tmp_path / "rows.npy", ROWS)
    code = """
import sys
from kerasae.datasets import load
load("rows.npy")
print({"pyarrow", "sklearn"} & {name.split(".")[0] for name in sys.modules})
"""
    assert run_python(code) == "set()"


def test_labels_must_be_one_a_row(tmp_path):
    np.savez(tmp_path / "rows.npz", X=ROWS, y=np.arange(9))
    with pytest.raises(ValueError, match="y must hold one label a row. Received: 9 labels for 10"):
        load(tmp_path / "rows.npz")


def test_an_empty_archive_is_refused(tmp_path):
    np.savez(tmp_path / "rows.npz")
    with pytest.raises(ValueError, match="an array. Received: an empty archive .*rows.npz"):
        load(tmp_path / "rows.npz")
