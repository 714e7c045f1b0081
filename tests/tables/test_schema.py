"""What is read of a table, and its cells as codes and back."""

import json
from datetime import date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from kerasae.tables import Schema

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")


def frames(table):
    return {
        "pandas": table,
        "polars": pl.from_pandas(table),
        "pyarrow": pa.Table.from_pandas(table, preserve_index=False),
    }


def test_kinds_of_columns(table):
    schema = Schema.infer(table)
    kinds = {column.name: column.kind for column in schema}
    assert kinds == {
        "size": "number",
        "count": "number",
        "colour": "category",
        "sold": "boolean",
        "when": "datetime",
        "grade": "category",
    }
    assert schema["colour"].levels == ("blue", "green", "red")
    assert (schema["size"].missing, schema["colour"].missing) == (1, 1)


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_codes_and_back_in_every_library(table, library):
    schema = Schema.infer(table)
    x = frames(table)[library]
    codes = schema.codes(x)
    np.testing.assert_array_equal(codes, schema.codes(table))
    back = schema.table(codes, like=x)
    assert type(back) is type(x)
    if library == "pandas":
        assert back.index.equals(table.index)
        pd.testing.assert_frame_equal(
            back.drop(columns=["when"]), table.drop(columns=["when"]), rtol=1e-6
        )
        assert (back.when - table.when).abs().max() < pd.Timedelta("1min")
        assert (back.dtypes == table.dtypes).all()
    else:
        assert back.schema == x.schema


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_columns_are_found_by_name(table, library):
    schema = Schema.infer(table)
    reversed_ = frames(table[table.columns[::-1]])[library]
    np.testing.assert_array_equal(schema.codes(reversed_), schema.codes(table))
    without = frames(table.drop(columns=["size"]))[library]
    with pytest.raises(ValueError, match="no column 'size'"):
        schema.codes(without)
    with pytest.warns(UserWarning, match="left out"):
        schema.codes(frames(table.assign(more=1))[library])


def test_unseen_and_missing_levels_have_codes_of_their_own():
    schema = Schema.infer({"colour": ["red", "blue", "red"], "old": [True, False, True]})
    codes = schema.codes({"colour": ["blue", "green", None, ""], "old": [None, True, False, True]})
    np.testing.assert_array_equal(
        codes, np.array([[0, np.nan], [2, 1], [np.nan, 0], [np.nan, 1]], "float32")
    )
    back = schema.table(codes).to_pydict()
    assert back == {"colour": ["blue", None, None, None], "old": [None, True, False, True]}


def test_whole_numbers_are_levels_where_asked():
    table = {"year": [2007, 2008, 2009, None], "size": [1.0, 2.0, 3.0, 4.0]}
    schema = Schema.infer(table, categorical=["year"])
    assert schema["year"].levels == (2007, 2008, 2009)
    assert schema.table(schema.codes(table)).to_pydict()["year"] == table["year"]
    # Pandas makes floats of integers with missing cells.
    frame = pd.DataFrame(table)
    again = Schema.infer(frame, categorical=["year"])
    np.testing.assert_array_equal(again.codes(frame), schema.codes(table))


def test_identifiers_and_texts_are_left_out_with_a_warning():
    rng = np.random.default_rng(0)
    n = 60
    table = {
        "id": np.arange(n) * 7,
        "name": [f"person {i}" for i in range(n)],
        "note": [f"note {i % 40}" for i in range(n)],
        "nothing": [None] * n,
        "size": rng.normal(size=n),
        "same": [1.0] * n,
    }
    with pytest.warns(UserWarning, match="4 columns are left out.*Try keep=.*--keep") as seen:
        schema = Schema.infer(pd.DataFrame(table))
    assert len(seen) == 1
    assert schema.names == ("size", "same")
    assert set(schema.left_out) == {"id", "name", "note", "nothing"}
    assert set(schema.ids) == {"id", "name"}
    kept = Schema.infer(pd.DataFrame(table), columns=["note", "size", "id"])
    assert kept.names == ("note", "size", "id")


def test_options_name_columns_that_there_are(table):
    with pytest.raises(ValueError, match="drop, --drop.*Try colour"):
        Schema.infer(table, drop=["color"])
    with pytest.raises(ValueError, match="given once"):
        Schema.infer(table, drop=["size"], ids=["size"])
    schema = Schema.infer(table, drop=["size"], ids=["count"])
    assert "size" not in schema.names
    assert schema.ids == ("count",)


def test_json(table):
    schema = Schema.infer(table)
    text = schema.to_json()
    assert Schema.from_json(text) == schema
    assert [one["name"] for one in json.loads(text)["columns"]] == list(schema.names)
    np.testing.assert_array_equal(Schema.from_json(text).codes(table), schema.codes(table))


def test_numbers_far_from_zero_keep_their_digits():
    numbers = 1.7e9 + np.arange(1000) * 0.5
    schema = Schema.infer({"seconds": numbers})
    codes = schema.codes({"seconds": numbers})
    assert len(np.unique(codes)) == 1000
    back = np.array(schema.table(codes)["seconds"])
    np.testing.assert_allclose(back - 1.7e9, numbers - 1.7e9, atol=1e-3)


def test_types_of_arrow_come_back():
    start = datetime(2024, 3, 1, 12)
    table = pa.table(
        {
            "price": pa.array([Decimal("1.50"), Decimal("2.25"), None], pa.decimal128(6, 2)),
            "day": pa.array([date(2024, 1, 1), date(2024, 5, 1), None]),
            "took": pa.array([timedelta(seconds=5), timedelta(seconds=9), None], pa.duration("s")),
            "at": pa.array([start, start + timedelta(days=99), None], pa.timestamp("ms", "UTC")),
            "small": pa.array([1, 2, None], pa.uint8()),
            "of": pa.array(["a", "b", None]).dictionary_encode(),
        }
    )
    schema = Schema.infer(table)
    back = schema.table(schema.codes(table), like=table)
    assert back.schema == table.schema
    assert back.drop_columns(["at"]) == table.drop_columns(["at"])
    assert Schema.from_json(schema.to_json()).table(schema.codes(table))["day"] == table["day"]


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        ({"size": ["big"], "colour": ["red"]}, TypeError, "'big' in column 'size'"),
        ({"size": [np.inf], "colour": ["red"]}, ValueError, "column 'size'"),
        ({"size": [1e300], "colour": ["red"]}, ValueError, "column 'size'"),
    ],
)
def test_cells_of_another_kind_are_refused(cells, error, message):
    schema = Schema.infer({"size": [1.0, 2.0], "colour": ["red", "blue"]})
    with pytest.raises(error, match=message):
        schema.codes(cells)


def test_arrays_of_codes_are_checked():
    schema = Schema.infer({"size": [1.0, 2.0], "colour": ["red", "blue"]})
    assert schema.codes([[1.0, np.nan]]).dtype == "float32"
    for wrong in ([[1.0, 3.0]], [[1.0, 0.5]], [[1.0]], [[np.inf, 0]]):
        with pytest.raises(ValueError):
            schema.codes(wrong)


def test_many_levels_keep_the_most_frequent():
    texts = [f"town {min(i % 300, 40)}" for i in range(6000)]
    schema = Schema.infer({"town": texts}, max_levels=10)
    assert len(schema["town"].levels) == 10
    assert "town 40" in schema["town"].levels
    assert schema["town"].rare == 31
    assert (schema.codes({"town": ["town 40", "town 39"]})[:, 0] <= 10).all()
