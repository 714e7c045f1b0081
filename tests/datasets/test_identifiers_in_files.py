"""Columns of files that number or name the rows: left out by name, with a way to keep them.

Case 40 of faults.md.
"""

import uuid
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasae.datasets import load

N = 60
RNG = np.random.default_rng(0)
SHUFFLED = RNG.permutation(N)
MEASURED = {
    "height": RNG.normal(170, 10, N),
    "noise": RNG.uniform(size=N),
    "seconds": 1.7e9 + RNG.exponential(50, N).cumsum(),
    "grams": 100 + 7 * SHUFFLED,  # near-unique whole numbers
    "year": np.arange(1960, 1960 + N),
    "heat index": 50 + 3 * SHUFFLED,
    "store_id": SHUFFLED % 5,
    "paid": 10 + 3 * SHUFFLED,
}
NUMBERING = {
    "": np.arange(N),
    "Unnamed: 0": SHUFFLED,
    "id": 7 * SHUFFLED,
    "customer_id": 90_000 + 7 * SHUFFLED,
    "PassengerId": np.arange(1, N + 1),
    "line": np.arange(1, N + 1),
    "serial number": 5000 + 3 * np.arange(N),
}
NAMING = {
    "uuid": [str(uuid.UUID(int=int(i), version=4)) for i in RNG.integers(2**62, size=N)],
    "name": [f"machine {i}" for i in range(N)],
    "sku": [f"{i:04d}-A" for i in range(N)],
}
FORMATS = ["csv", "parquet"]


def write(table, path):
    table = pd.DataFrame(table)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", [*NUMBERING, *NAMING])
def test_what_numbers_or_names_the_rows_is_left_out(tmp_path, name, suffix):
    table = {**MEASURED, name: {**NUMBERING, **NAMING}[name]}
    path = write(table, tmp_path / f"rows.{suffix}")
    with pytest.warns(UserWarning, match=r"1 column is left out \(.*rows\..*--keep") as caught:
        data = load(path, test_fraction=0)
    assert f"'{name}', " in str(caught[0].message)
    assert data.columns == [*MEASURED]
    np.testing.assert_allclose(data.x, np.stack([*MEASURED.values()], axis=1), rtol=1e-6)


@pytest.mark.parametrize("suffix", FORMATS)
def test_measurements_stay_however_different_they_are(tmp_path, suffix):
    path = write(MEASURED, tmp_path / f"rows.{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path).columns == [*MEASURED]


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_to_be_kept_is_kept(tmp_path, suffix):
    path = write({**NUMBERING, **MEASURED}, tmp_path / f"rows.{suffix}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path, keep=list(NUMBERING)).columns == [*NUMBERING, *MEASURED]
    with pytest.raises(
        ValueError, match=r"keep must be one of .*keep='idd' \(.*, --keep\). Try id"
    ):
        load(path, keep=["idd"])
    path = write({**NAMING, **MEASURED}, tmp_path / f"texts.{suffix}")
    texts = pytest.raises(TypeError, match="column 'name' must hold real numbers")
    with pytest.warns(UserWarning, match="2 columns are left out"), texts:
        load(path, keep=["name"])


def test_a_column_of_quantities_or_dates_is_an_error_rather_than_a_name(tmp_path):
    """Cases 8 and 14: a cell that spoils a column of numbers does not make names of them."""
    number = MEASURED["height"]
    for cells, shown in (
        ([*map(str, number[:-1]), "broken"], "broken"),
        ([f"{one:.3f} kg" for one in number], "kg"),
        ([f"${one:,.4f}" for one in number], r"\$"),
        ([*map("{:.4f}%".format, number)], "%"),
        ([f"{day % 28 + 1:02d}.{day % 12 + 1:02d}.{1960 + day}" for day in range(N)], "1960"),
    ):
        path = write({"a": cells, "b": number}, tmp_path / "rows.csv")
        with pytest.raises(TypeError, match=f"column 'a' must hold real numbers. .*{shown}"):
            load(path)


def test_a_file_of_nothing_else_is_an_error(tmp_path):
    path = write({"id": SHUFFLED, "name": NAMING["name"]}, tmp_path / "rows.csv")
    with pytest.raises(ValueError, match=r"describes the rows. Received: 'id', a.*--keep"):
        load(path)
    assert load(path, columns=["id"]).columns == ["id"]


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_arrays_with_named_fields_are_tables(tmp_path, suffix):
    """Cases 15 and 39."""
    fields = [("id", int), ("a", float), ("b", float), ("kind", "U4")]
    x = np.array([(i * 7, i / 2, -i, "good") for i in range(30)], fields)
    path = tmp_path / f"rows.{suffix}"
    np.save(path, x) if suffix == "npy" else np.savez(path, x=x)
    with pytest.warns(UserWarning, match="'id', an identifier"):
        data = load(path, label="kind", test_fraction=0)
    assert (data.columns, set(data.y)) == (["a", "b"], {"good"})
    np.testing.assert_array_equal(data.x[:, 1], -np.arange(30))
    with pytest.warns(UserWarning, match="does not know is left out|do not know|not know are"):
        assert load(path, columns=["b", "a"], test_fraction=0).x[4].tolist() == [-4, 2]
    with pytest.raises(TypeError, match="column 'kind' must hold real numbers. Received: 'good'"):
        load(path, keep=["id"])


def test_there_is_nothing_to_keep_where_columns_have_no_names(tmp_path):
    np.save(tmp_path / "rows.npy", np.ones((4, 2)))
    for data in ("digits", tmp_path / "rows.npy"):
        with pytest.raises(ValueError, match=r"keep \(--keep\) must go with named columns"):
            load(data, keep=["id"])


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_model_takes_its_columns_by_name_from_files_with_and_without_an_identifier(kerasae):
    """Cases 15 and 40: through the command, from training to scores."""
    here = Path()
    named = {"": np.arange(N), "id": 7 * SHUFFLED, **MEASURED, "uuid": NAMING["uuid"]}
    write(named, here / "rows.csv")
    write(dict(reversed(MEASURED.items())), here / "plain.parquet")
    train = ("train", "rows.csv", "--hidden", "2", "--epochs", "30", "--name")
    status, _, err = kerasae(*train, "m")
    assert status == 0, err
    assert err.count("3 columns are left out") == 1
    assert all(f"'{name}', " in err for name in ("", "id", "uuid"))
    for data in ("rows.csv", "plain.parquet"):
        status, _, err = kerasae("features", "saved_models/m", data, "-o", f"{data}.npy")
        assert status == 0, err
        assert "does not know" not in err  # the model knows what it leaves out
    codings = [np.load(f"{data}.npy") for data in ("rows.csv", "plain.parquet")]
    np.testing.assert_allclose(*codings, atol=1e-5)
    status, _, err = kerasae(*train, "kept", "--keep", "id", "--keep", "")
    assert status == 0, err
    assert "1 column is left out" in err
    status, _, err = kerasae("features", "saved_models/kept", "plain.parquet", "-o", "x.npy")
    assert (status, "no column ''" in err) == (2, True)
