"""Texts that are numbers or dates, as people write them in tables."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kerasae.tables import Schema
from kerasae.tables.texts import form_of


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,234", "12", "1,000,000"], [1234, 12, 1000000]),
        (["$1,234.50", "$7", "-$8"], [1234.5, 7, -8]),
        (["(5.00)", "7.25"], [-5, 7.25]),
        (["45.5%", "3 %"], [45.5, 3]),
        (["1.234,50 €", "12,5 €"], [1234.5, 12.5]),
        (["1'234.5", "12"], [1234.5, 12]),
        (["1 234,5", "1\u00a0000"], [1234.5, 1000]),
        (["5.5 cm", "7 cm"], [5.5, 7]),
        (["?", "3", "-4e2"], [np.nan, 3, -400]),
        (["R$ 3,50", "R$ 4"], [3.5, 4]),
        (["2.5", "None", "n/a", "unknown"], [2.5, np.nan, np.nan, np.nan]),
    ],
)
def test_numbers_as_people_write_them(texts, numbers):
    schema = Schema.infer({"x": texts})
    assert schema["x"].kind == "number"
    np.testing.assert_allclose(schema.codes({"x": texts})[:, 0] + schema["x"].origin, numbers)


@pytest.mark.parametrize(
    "texts",
    [
        ["5 cm", "7 kg"],  # two units
        ["1st", "2nd"],
        ["A1", "A2"],
        ["007", "?"],
        ["7", "8"],  # somebody wanted texts
        ["10-20", "20-30"],
        ["red", "$7"],
        ["", "?"],
    ],
)
def test_other_texts_stay_texts(texts):
    assert form_of(pa.array(texts)) is None


@pytest.mark.parametrize(
    "form",
    ["%m/%d/%Y", "%d.%m.%Y", "%d %b %Y", "%b %d, %Y", "%m/%d/%Y %I:%M %p", "%d-%m-%Y %H:%M:%S"],
)
def test_dates_come_back_as_they_were_written(form):
    days = [
        datetime.datetime(2020, 1, 13, 15, 30) + datetime.timedelta(days=3 * i) for i in range(9)
    ]
    texts = [day.strftime(form) for day in days]
    schema = Schema.infer({"when": texts})
    assert (schema["when"].kind, schema["when"].form) == ("datetime", form)
    codes = schema.codes({"when": texts})
    np.testing.assert_allclose(np.diff(codes[:, 0]), 3, rtol=1e-5)
    assert schema.table(codes)["when"].to_pylist() == texts


def test_a_schema_reads_other_tables_as_the_first():
    schema = Schema.infer({"x": ["1.234,5", "3"]})
    again = Schema.from_json(schema.to_json())
    assert again.codes({"x": ["1.234"]}).tolist() == [[1234.0]]
    assert again.codes({"x": [1234.0]}).tolist() == [[1234.0]]
    with pytest.raises(TypeError, match=r"real numbers\. Received: 'oops' in column 'x'"):
        again.codes({"x": ["oops"]})


def test_dates_of_another_form_are_refused():
    schema = Schema.infer({"when": ["31.12.2021", "?"]})
    assert np.isnan(schema.codes({"when": ["?"]})).all()
    with pytest.raises(TypeError, match="Received: '2021-12-31'"):
        schema.codes({"when": ["2021-12-31"]})


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_numbers_come_back_as_numbers(make):
    table = make({"price": ["$1,200.50", "$7"], "c": ["x", "y"]})
    schema = Schema.infer(table)
    back = schema.table(schema.codes(table), like=table)
    assert list(np.asarray(back["price"])) == [1200.5, 7.0]
    assert list(back["c"].to_numpy() if make is not pa.table else back["c"].to_pylist()) == [
        "x",
        "y",
    ]


def test_many_levels_of_which_a_few_are_most_cells():
    names = [f"city{i}" for i in range(3000)]
    often = ["here", "there"] * 4000
    column = Schema.infer({"city": often + names})["city"]
    assert (len(column.levels), column.rare) == (100, 2902)


def test_an_empty_file_with_a_header(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"at least one row\. Received: 0 rows"):
        Schema.infer(tmp_path / "t.csv")
