"""Files of any format, opened as sources, have the rows that they have when they are read whole."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import compute, feather, parquet

from kerasae import datasets
from kerasae.datasets.files import csv_parts, read_table
from kerasae.datasets.opened import hashed
from kerasae.datasets.sampling import Moments, sample
from kerasae.tables import Schema

ROWS = 1000


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    return pd.DataFrame({"n": np.arange(ROWS), "x": rng.normal(size=ROWS), "y": rng.random(ROWS)})


@pytest.fixture(scope="module")
def files(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    parquet.write_table(table, folder / "rows.parquet", row_group_size=90)
    feather.write_feather(table, str(folder / "rows.feather"), chunksize=90)
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_csv(folder / "rows.csv.gz", index=False)
    frame.to_csv(folder / "utf16.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    frame.to_json(folder / "rows.jsonl", orient="records", lines=True, double_precision=15)
    np.save(folder / "rows.npy", frame.to_numpy())
    for i in range(4):
        (folder / "several").mkdir(exist_ok=True)
        parquet.write_table(table.slice(250 * i, 250), folder / "several" / f"{i}.parquet")
    return folder


NAMES = [
    "rows.parquet",
    "rows.feather",
    "rows.csv",
    "rows.csv.gz",
    "utf16.csv",
    "rows.jsonl",
    "rows.npy",
    "several",
]


def together(pieces):
    return np.concatenate(
        [
            np.stack([one[name].to_numpy() for name in one.column_names], axis=1)
            if hasattr(one, "column_names")
            else one
            for one in pieces
        ]
    )


@pytest.mark.parametrize("name", NAMES)
def test_all_rows_come_in_their_order(files, frame, name):
    source = datasets.open(files / name)
    known = source.rows
    np.testing.assert_allclose(together(source), frame.to_numpy())
    assert source.rows == ROWS
    assert (known is None) == ("csv" in name or "json" in name)
    assert source.columns == (None if name == "rows.npy" else ("n", "x", "y"))


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_an_order_in_which_every_row_comes_once(files, frame, name):
    source = datasets.open(files / name)
    orders = [together(source.pieces(np.random.default_rng(seed)))[:, 0] for seed in (1, 1, 2)]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(np.sort(orders[0]), frame["n"])
    if name in ("rows.parquet", "rows.feather", "several"):
        assert (orders[0] != orders[2]).any()
        # Four parts are read in turns.
        assert len({n // (250 if name == "several" else 90) for n in orders[0][:500]}) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_the_same_rows_are_held_out_whatever_the_format(files, frame, name):
    train, test = datasets.open(files / name).split(0.2, seed=3)
    held = hashed(np.arange(ROWS, dtype="uint64"), 3) < 0.2
    assert {train.rows, test.rows} in ({None}, {int((~held).sum()), int(held.sum())})
    np.testing.assert_array_equal(together(train)[:, 0], frame["n"][~held])
    np.testing.assert_array_equal(together(test)[:, 0], frame["n"][held])
    mixed = together(train.pieces(np.random.default_rng(0)))[:, 0]
    np.testing.assert_array_equal(np.sort(mixed), frame["n"][~held])
    assert {train.rows, test.rows} == {int((~held).sum()), int(held.sum())}


@pytest.mark.parametrize("name", [one for one in NAMES if one != "rows.npy"])
def test_columns_and_rows_are_chosen(files, frame, name):
    wanted = frame[(frame["n"] < 400) & (frame["x"] > 0)][["y", "n"]]
    for predicate in (
        [("n", "<", 400), ("x", ">", 0)],
        (compute.field("n") < 400) & (compute.field("x") > 0),
    ):
        source = datasets.open(files / name, columns=["y", "n"], predicate=predicate)
        assert source.columns == ("y", "n")
        np.testing.assert_allclose(together(source), wanted.to_numpy())


def test_row_groups_without_such_rows_are_not_read(files):
    source = datasets.open(files / "rows.parquet", predicate=[("n", "<", 90)])
    read = [list(part.read(None, source.predicate)) for part in source.parts]
    assert [bool(one) for one in read] == [True] + 11 * [False]


def test_workers_have_parts_of_their_own(files, frame):
    source = datasets.open(files / "rows.parquet")
    shards = [together(source.shard(i, 3))[:, 0] for i in range(3)]
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), frame["n"])


@pytest.mark.parametrize(
    "make",
    [
        lambda frame: frame,
        pa.Table.from_pandas,
        lambda frame: frame.to_numpy(),
        lambda frame: [frame[:300], frame[300:]],
        lambda frame: frame.to_dict("list"),
        lambda frame: lambda: np.array_split(frame.to_numpy(), 7),
        lambda frame: lambda: (frame[i : i + 100] for i in range(0, ROWS, 100)),
    ],
)
def test_what_is_in_memory_or_made_anew_is_a_source(frame, make):
    source = datasets.open(make(frame))
    for _ in range(2):
        np.testing.assert_allclose(together(source), frame.to_numpy())


def test_partitions_are_a_column(tmp_path, frame):
    table = pa.Table.from_pandas(frame.assign(part=frame["n"] % 3), preserve_index=False)
    parquet.write_to_dataset(table, tmp_path / "data", partition_cols=["part"])
    source = datasets.open(tmp_path / "data")
    found = pd.concat([piece.to_pandas() for piece in source])
    assert (found["part"].astype(int) == found["n"] % 3).all()
    assert sum(map(len, datasets.open(tmp_path / "data", predicate=[("part", "=", 1)]))) == 333


def test_types_of_a_csv_become_wider_where_they_have_to(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_parts, "BLOCK", 4000)
    path = tmp_path / "late.csv"
    lines = [f"{i},{i},,a" for i in range(2000)]
    lines[1500:1502] = ["1500,1500.5,,a", "1501,x,7,b"]
    path.write_text("n,late,empty,text\n" + "\n".join(lines) + "\n")
    source = datasets.open(path)
    pieces = list(source)
    assert [n for piece in pieces for n in piece["n"].to_pylist()] == [*range(2000)]
    assert [str(one.schema.field("late").type) for one in (pieces[0], pieces[-1])] == [
        "int64",
        "string",
    ]
    again = pa.concat_tables(list(source))  # of one type from the first row on
    assert again["late"][1500].as_py() == "1500.5"
    assert again["empty"][1501].as_py() == 7


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (lambda folder: folder / "none.parquet", FileNotFoundError, "path must be a file"),
        (lambda folder: folder / "rows.txt", ValueError, "path must end in .parquet"),
        (lambda folder: folder, ValueError, "path must be a folder of files of one format"),
        (lambda folder: (row for row in [[1.0]]), TypeError, "Try lambda: rows"),
        (lambda folder: 3, TypeError, "source must be a path"),
    ],
)
def test_what_is_no_source_is_refused(files, source, error, message):
    with pytest.raises(error, match=message):
        datasets.open(source(files))


@pytest.mark.parametrize("name", ["rows.parquet", "rows.feather", "rows.npy", "rows.csv.gz"])
def test_a_damaged_file_is_named(files, tmp_path, name):
    content = (files / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"damaged one.*{name}"):
        list(datasets.open(tmp_path / name))


def test_options_that_cannot_be_are_refused(files):
    source = datasets.open(files / "rows.parquet")
    with pytest.raises(ValueError, match=r"share must lie in \(0, 1\)"):
        source.split(1.0)
    with pytest.raises(ValueError, match="no column 'z'"):
        source.select(["z"])
    with pytest.raises(ValueError, match="columns must go with a table"):
        datasets.open(files / "rows.npy", columns=["n"])


@pytest.mark.parametrize("parts", [1, 3, 10])
def test_moments_are_those_of_all_rows(parts):
    x = np.random.default_rng(1).normal(1e6, 2, (5000, 3))
    x[::7, 1] = np.nan
    moments = Moments()
    for part in np.array_split(x, parts):
        moments.add(part)
    np.testing.assert_allclose(moments.mean, np.nanmean(x, axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, np.nanvar(x, axis=0), rtol=1e-9)
    np.testing.assert_array_equal(moments.low, np.nanmin(x, axis=0))
    np.testing.assert_array_equal(moments.high, np.nanmax(x, axis=0))
    np.testing.assert_array_equal(moments.count, (~np.isnan(x)).sum(axis=0))


def test_a_sample_has_every_row_with_the_same_chance():
    x = np.arange(20_000.0)[:, None]
    source = datasets.open([x[:7], x[7:9000], x[9000:]])
    drawn = sample(source, 2000)[:, 0]
    assert len(drawn) == 2000
    assert (np.diff(drawn) > 0).all()
    shares = np.histogram(drawn, 10, (0, 20_000))[0] / 2000
    assert abs(shares - 0.1).max() < 4 * np.sqrt(0.09 / 2000)
    assert set(sample(source, 100)[:, 0]) <= set(drawn)
    assert len(sample(source, 2000, size=800)) == 100


def test_hashes_are_uniform_and_independent_of_the_seed():
    numbers = np.arange(100_000, dtype="uint64")
    one, other = hashed(numbers, 0), hashed(numbers, 1)
    for found in (one, other):
        counts = np.histogram(found, 100, (0, 1))[0]
        assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared of 99 degrees, p = 1e-4
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.02
    assert abs(np.corrcoef(one[:-1], one[1:])[0, 1]) < 0.02


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Columns of every type that pandas and Arrow write, in three formats."""
    rng, rows = np.random.default_rng(5), 1200
    frame = pd.DataFrame(
        {
            "real": rng.normal(size=rows),
            "level": pd.Categorical(rng.choice(list("xyz"), rows)),
            "zone": pd.date_range("2020", periods=rows, freq="h", tz="Europe/Berlin"),
            "gaps": pd.array(
                np.where(rng.random(rows) < 0.2, None, rng.integers(0, 50, rows)), dtype="Int64"
            ),
            "money": [f"${value:,.2f}" for value in rng.gamma(2, 1000, rows)],
            "yes": rng.random(rows) < 0.5,
            "byte": rng.integers(0, 255, rows).astype("uint8"),
        },
        index=np.arange(rows) * 3,
    )
    more = {
        "exact": pa.array([decimal.Decimal(f"{value:.2f}") for value in rng.random(rows)]),
        "list": pa.array([[1.0, 2.0]] * rows),
        "day": pa.array((np.arange(rows) % 900).astype("datetime64[D]")),
        "large": pa.array(rng.choice(["u", "v"], rows), pa.large_string()),
        "none": pa.nulls(rows),
        "clock": pa.array(rng.integers(0, 86400, rows).astype("int32"), pa.time32("s")),
    }
    table = pa.Table.from_pandas(frame)
    for name, cells in more.items():
        table = table.append_column(name, cells)
    folder = tmp_path_factory.mktemp("odd")
    parquet.write_table(table, folder / "odd.parquet", row_group_size=170)
    feather.write_feather(table, str(folder / "odd.feather"), chunksize=170)
    frame.drop(columns="zone").to_csv(folder / "odd.csv", sep=";", decimal=",")
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["odd.parquet", "odd.feather", "odd.csv"])
def test_a_schema_of_odd_columns_is_that_of_the_whole_file(odd, name):
    source = datasets.open(odd / name)
    found, whole = Schema.infer(source), Schema.infer(odd / name)
    assert found.columns == whole.columns
    assert found.left_out == whole.left_out
    codes = [found.codes(piece) for piece in source.select(found.names)]
    np.testing.assert_array_equal(np.concatenate(codes), whole.codes(read_table(odd / name)))
