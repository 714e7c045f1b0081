"""The cases of bad data, by their number: through the command, and through the library."""

import gzip
import io
import re
import struct
import warnings
import zipfile

import keras
import numpy as np
import pandas as pd
import pytest

import kerasae
from kerasae import anomaly
from kerasae.datasets import load

ROWS = "".join(f"{i},{i * i % 7},{(i * 5) % 11}\n" for i in range(2, 12))


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def with_cell(frame, value):
    frame.loc[5, "b"] = value
    return frame


def first_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("use", ["fit", "evaluate", "reconstruct", "encode", "predict"])
def test_case_01_missing_and_infinite_cells(model, frame, use, value):
    with pytest.raises(ValueError) as error:
        getattr(model, use)(with_cell(frame, value))
    assert "Received: 1 NaN or infinite cells, the first in row 5, column 1 'b'" in first_line(
        error
    )


def test_case_01_in_a_file(mistake, write):
    write("x.csv", "a,b,c\n" + ROWS + "1,inf,3\n")
    assert "1 NaN or infinite cells, the first in row 10, column 1 'b'" in mistake("train", "x.csv")


def test_case_02_values_whose_square_overflows(frame):
    made = kerasae.stacked_autoencoder((3,), (2,))
    with pytest.raises(ValueError) as error:
        made.fit(with_cell(frame, 1e25).to_numpy(), verbose=0)
    assert "column 1 whose square overflows float32" in first_line(error)
    assert "Try a scaler" in str(error.value)


@pytest.mark.parametrize("content", ["", "a,b,c", "a,b,c\n", "\n\n"])
def test_case_03_files_without_rows(mistake, write, content):
    write("x.csv", content)
    assert "x.csv" in mistake("train", "x.csv")


def test_case_03_arrays_without_rows(mistake, write, model):
    write("x.npy", npy(np.empty((0, 3))))
    assert "at least one row" in mistake("train", "x.npy")
    for use in (model.fit, model.encode, model.predict, model.reconstruction_error):
        with pytest.raises(ValueError, match="at least one row"):
            use(np.empty((0, 3)))


@pytest.mark.parametrize("rows", [1, 2, 33])
def test_case_04_few_rows_and_a_short_batch(model, frame, rows):
    x = frame.to_numpy()[:rows]
    model.fit(x, batch_size=32, epochs=1, verbose=0)
    assert model.encode(x).shape == (rows, 2)
    alone = np.concatenate([model.reconstruction_error(x[i : i + 1]) for i in range(rows)])
    np.testing.assert_allclose(model.reconstruction_error(x), alone, rtol=1e-4, atol=1e-7)


def test_case_05_a_constant_column(frame):
    frame["b"] = 7.0
    scaler = kerasae.RangeScaling()
    with pytest.warns(UserWarning, match="constant") as caught:
        scaler.adapt(frame)
    assert len(caught) == 1
    drifted = np.asarray(scaler(np.array([[10.0, 7.0, 10.0], [10.0, 9.0, 10.0]])))
    np.testing.assert_allclose(drifted[:, 1], [0, 2])


def test_case_06_a_row_of_zeros(model):
    assert np.isfinite(model.reconstruction_error(np.zeros((1, 3)))).all()
    assert np.isfinite(anomaly.score(model, np.zeros((1, 3))).anomaly_score).all()


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64", "float16", "float64"])
def test_case_07_every_type_of_numbers(model, frame, dtype):
    x = frame.round().to_numpy()
    expected = model.encode(x.astype("float32"))
    for same in (x.astype(dtype), x.astype(dtype).tolist(), frame.round().astype(dtype)):
        np.testing.assert_allclose(model.encode(same), expected, atol=1e-6)
    np.testing.assert_allclose(model.encode(x > 10), model.encode((x > 10).astype(float)))


@pytest.mark.parametrize(
    "cells", [["red"] * 3, [object()] * 3, [1j] * 3], ids=["text", "object", "complex"]
)
def test_case_08_cells_that_are_not_numbers(model, frame, cells):
    for x in (np.array([cells]), pd.DataFrame([cells], columns=list(frame))):
        with pytest.raises(TypeError, match=r"must hold real numbers. Received: .* in column"):
            model.encode(x)


def test_case_08_in_a_file(mistake, write):
    write("x.csv", "a,b,c\n" + ROWS + "1,red,3\n")
    assert "column 'b' must hold real numbers. Received: 'red' in row 10" in mistake(
        "train", "x.csv"
    )


@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 4), (2, 3, 3), ()])
def test_case_09_wrong_rank_or_width(model, shape):
    with pytest.raises(ValueError) as error:
        model.encode(np.zeros(shape))
    assert "3" in first_line(error)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_case_10_pickled_objects(mistake, write, name):
    array = np.array([{"a": 1}], object)
    write(name, npy(array, allow_pickle=True) if name == "x.npy" else npz(x=array))
    assert "pickled objects, which can run code" in mistake("train", name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x-ubyte", "x.csv.gz"])
def test_case_11_foreign_and_truncated_files(mistake, write, frame, tmp_path, name):
    content = {"x.npy": npy(frame.to_numpy()), "x.npz": npz(x=frame.to_numpy())}
    content["x-ubyte"] = struct.pack(">HBBII", 0, 8, 2, 4, 4) + bytes(16)
    content["x.csv.gz"] = gzip.compress(frame.to_csv(index=False).encode())
    frame.to_parquet(tmp_path / "whole")
    content["x.parquet"] = (tmp_path / "whole").read_bytes()
    for damaged in (b"", b"no such format", content[name][:-7], content[name][: 2**6 // 3]):
        write(name, damaged)
        assert name in mistake("train", name)


def test_case_12_an_array_that_is_not_there(mistake, write):
    write("x.npz", npz(first=np.eye(3), second=np.eye(3)))
    assert "key (--key) must be one of first, second. Received: no key" in mistake("train", "x.npz")
    assert "Received: key='x'" in mistake("train", "x.npz", "--key", "x")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (struct.pack(">HBBI", 1, 8, 1, 4) + b"abcd", "Received: 0x00010801"),
        (struct.pack(">HBBI", 0, 7, 1, 4) + b"abcd", "Received: 0x00000701"),
        (struct.pack(">HBBII", 0, 8, 2, 3, 3) + b"abcd", "have 21 bytes .*Received: 16 bytes"),
    ],
)
def test_case_13_damaged_idx(write, content, said):
    with pytest.raises(ValueError, match=said + r" \(.*x\.idx\)"):
        load(write("x.idx", content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n3,4,5\n", "Received: 3 in line 3"),
        ("a,b\n1,2\n3\n", "Received: 1 in line 3"),
        ("a,b\n" + 9 * "1,2\n" + "3,x\n", "'x' in row 9"),
        ("a,a\n1,2\n", "columns of different names. Received: 2 columns 'a'"),
        ("1,2\n3,4\n", "header must hold the names of the columns. Received: '1,2' in line 1"),
        ("a;b\n1;2;3\n", "separated by semicolons, .*Received: 3 in line 2"),
    ],
)
def test_case_14_csv_that_is_no_table(mistake, write, content, said):
    write("x.csv", content)
    err = mistake("train", "x.csv")
    assert re.search(said, err), err


@pytest.mark.tensorflow
def test_case_15_columns_when_scoring(kerasae, mistake, saved, frame):
    command = ("features", saved / "m", "x.csv", "-o", "x.npy")
    codings = []
    for extra in ((), ("d",)):
        for name in extra:
            frame[name] = 1.0
        frame[frame.columns[::-1]].to_csv("x.csv", index=False)
        status, _, err = kerasae(*command)
        assert status == 0
        assert ("warning: 1 column that the model does not know is left out" in err) is bool(extra)
        codings.append(np.load("x.npy"))
    np.testing.assert_array_equal(*codings)
    frame.rename(columns={"b": "B "}).to_csv("x.csv", index=False)
    assert "no column 'b', 1 missing in all. Try renaming 'B '" in mistake(*command)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_case_39_frames_of_every_library(model, frame, library):
    module = pytest.importorskip(library)
    make = {"pandas": lambda f: f, "polars": lambda f: module.DataFrame(f.to_dict("list"))}
    make["pyarrow"] = lambda f: module.Table.from_pandas(f, preserve_index=False)
    turn = make[library]
    other = turn(frame[["c", "a", "b"]])
    for method in ("encode", "reconstruct", "predict", "reconstruction_error", "predict_on_batch"):
        use = getattr(model, method)
        np.testing.assert_allclose(use(other), use(turn(frame)), atol=1e-6)
        with pytest.raises(ValueError, match="no column 'b'"):
            use(turn(frame.rename(columns={"b": "x"})))
    twice = pd.concat([frame, frame[["a"]]], axis=1)
    with pytest.raises(ValueError, match="columns of different names"):
        model.test_on_batch(twice)


def test_case_40_a_row_index_and_an_id(kerasae, frame):
    frame.insert(0, "customer_id", 100 + 7 * np.random.default_rng(0).permutation(len(frame)))
    frame.to_csv("x.csv")
    with pytest.warns(UserWarning, match=r"2 columns are left out \(x.csv\): '', a row index; 'cu"):
        assert load("x.csv").columns == ["a", "b", "c"]
    with pytest.warns(UserWarning, match="1 column is left out"):
        assert load("x.csv", keep=["customer_id"]).columns == ["customer_id", "a", "b", "c"]


@pytest.mark.tensorflow
def test_case_41_a_dataset_with_labels(model, frame):
    import tensorflow as tf

    labelled = tf.data.Dataset.from_tensor_slices((frame.to_numpy("float32"), np.arange(80)))
    for use in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="must"):
            use(labelled.batch(8), verbose=0)


def test_case_42_nan_that_arrives_late(model, frame):
    x = frame.to_numpy("float32")
    broken = x.copy()
    broken[3, 1] = np.nan
    row = model.anomaly(keras.ops.array([[0.1]]), keras.ops.array([np.nan]))
    assert bool(np.asarray(row["is_anomaly"])[0])
    batches = (broken[i : i + 8] for i in range(0, 80, 8))
    with pytest.raises(ValueError, match="NaN or infinite cells"):
        model.fit(batches, verbose=0)
    with pytest.raises(ValueError, match="NaN or infinite cells"):
        anomaly.calibrate(model, broken)
    with pytest.raises(ValueError, match="NaN or infinite"):
        model.fit(x, sample_weight=broken[:, 1], verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "encode", "predict", "reconstruct"])
def test_case_43_masked_and_sparse(model, frame, method):
    x = frame.to_numpy()
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(x)
    with pytest.raises(TypeError, match=r"Received: a .*csr_matrix. Try x.toarray\(\)"):
        getattr(model, method)(sparse)
    with pytest.raises(ValueError, match="Received: 1 masked cells, the first in row 2"):
        getattr(model, method)(np.ma.masked_array(x, np.arange(240).reshape(80, 3) == 7))
    with pytest.raises(ValueError, match="Received: a Series of 80 values"):
        getattr(model, method)(frame["a"])


def test_case_44_values_that_float32_cannot_tell_apart():
    x = np.stack([1.7e9 + 0.5 * np.arange(300.0), np.arange(300.0)], axis=1)
    with pytest.raises(ValueError, match="300 values of column 0 that become"):
        kerasae.stacked_autoencoder((2,), (1,)).fit(x, verbose=0)
    scaler = kerasae.RangeScaling()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaler.adapt(x)
    if keras.backend.backend() == "tensorflow":
        np.testing.assert_allclose(np.ptp(np.asarray(scaler(x)), axis=0), [1, 1], rtol=1e-5)


def test_case_45_sums_that_overflow():
    wide = np.array([[-3e38, 1.0], [3e38, 2.0]])
    with pytest.raises(ValueError, match="column 0"):
        kerasae.RangeScaling().adapt(wide)


def test_case_52_bombs_and_boasts(mistake, write):
    boast = b"{'descr':'<f8','fortran_order':False,'shape':(1000000000000,4)}\n"
    write("x.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(boast)) + boast)
    assert "x.npy" in mistake("train", "x.npy")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy(np.zeros(20 << 20)))
    write("bomb.npz", file.getvalue())
    assert "bomb.npz" in mistake("train", "bomb.npz")
    write("bomb.keras", file.getvalue())
    assert "bomb.keras" in mistake("info", "bomb.keras")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latin-1.csv", ("größe,b\n" + "1.5,2.5\n3.5,4.5\n").encode("latin-1")),
        ("utf-16.csv", "größe,b\n1.5,2.5\n3.5,4.5\n".encode("utf-16")),
        ("comma.csv", "größe;b\n1,5;2,5\n3,5;4,5\n".encode()),
        ("packed.csv.gz", gzip.compress("größe,b\n1.5,2.5\n3.5,4.5\n".encode())),
    ],
    ids=["latin-1", "utf-16", "decimal commas", "gzip"],
)
def test_case_57_forms_of_csv(write, name, content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load(write(name, content), test_fraction=0)
    assert data.columns == ["größe", "b"]
    assert data.x.tolist() == [[1.5, 2.5], [3.5, 4.5]]


def test_case_57_a_line_over_a_megabyte(write):
    names = [f"column {i} {'x' * 50}" for i in range(20_000)]
    content = ",".join(names) + "\n" + ",".join(["1.5"] * 20_000) + "\n"
    assert load(write("x.csv", content), test_fraction=0).x.shape == (1, 20_000)


def test_case_41_labels_and_weights_of_arrays(model, frame):
    labels = np.arange(len(frame))
    for given in ({"y": labels}, {"validation_data": (frame, labels)}):
        with pytest.raises(ValueError, match="trained to give. .*Try leaving the labels out"):
            model.fit(frame, verbose=0, **given)
    for use in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="class_weight must be None"):
            use(frame, class_weight={0: 1.0})
        with pytest.raises(ValueError, match=r"one weight a row. Received: shape \(80, 3\)"):
            use(frame, sample_weight=np.ones((80, 3)))
    model.fit(frame, sample_weight=np.ones((80, 1)), verbose=0)
