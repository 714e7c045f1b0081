"""CSV as spreadsheets and programs write it: read to the right values, or refused by line."""

import codecs
import gzip
import re
import warnings

import numpy as np
import pytest

from kerasae.datasets import load
from kerasae.datasets.files import read_table

VALUES = [[1.5, 2.5], [-3, 4], [5, 1e5]]
POINTS = "größe,b\n1.5,2.5\n-3,4\n5,1e5\n"
COMMAS = "größe;b\n1,5;2,5\n-3;4\n5;1e5\n"

READ = {
    "utf-8": POINTS.encode(),
    "utf-8 with a mark": codecs.BOM_UTF8 + POINTS.encode(),
    "utf-16": POINTS.encode("utf-16"),
    "utf-16 little-endian without a mark": POINTS.encode("utf-16-le"),
    "utf-16 big-endian without a mark": POINTS.encode("utf-16-be"),
    "utf-16 big-endian": codecs.BOM_UTF16_BE + COMMAS.encode("utf-16-be"),
    "utf-32": POINTS.encode("utf-32"),
    "semicolons and decimal commas": COMMAS.encode(),
    "semicolons and points": POINTS.replace(",", ";").encode(),
    "tabs": POINTS.replace(",", "\t").encode(),
    "tabs and decimal commas": COMMAS.replace(";", "\t").encode(),
    "bars": POINTS.replace(",", "|").encode(),
    "lines of Windows": POINTS.replace("\n", "\r\n").encode(),
    "lines of old Macs": POINTS.replace("\n", "\r").encode(),
    "blank lines": POINTS.replace("\n", "\n\n").encode(),
    "quotes": 'größe,"b"\n"1.5","2.5"\n-3,4\n5,1e5\n'.encode(),
    "semicolons in quotes": '"größe";b\n1,5;2,5\n"-3";4\n5;1e5\n'.encode(),
    "decimal commas that come late": COMMAS.replace("1,5;2,5", "1,5;2,5").encode(),
}


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("case", READ)
def test_files_of_other_programs_are_read(write, case, packed):
    """Cases 14 and 57."""
    content = gzip.compress(READ[case]) if packed else READ[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(write("rows.csv.gz" if packed else "rows.csv", content))
    assert data.columns == ["größe", "b"]
    np.testing.assert_array_equal(data.x, np.float32(VALUES))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("text", [POINTS, COMMAS], ids=["points", "commas"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_latin_1_is_read_with_a_warning(write, encoding, text, packed):
    """Case 57."""
    content = text.replace("b", "wäre" if encoding == "latin-1" else "€").encode(encoding)
    content = gzip.compress(content) if packed else content
    name = "rows.csv.gz" if packed else "rows.csv"
    with pytest.warns(UserWarning, match=f"a guess .*{name}, not UTF-8, read as Windows-1252"):
        data = load(write(name, content))
    assert data.columns == ["größe", "wäre" if encoding == "latin-1" else "€"]
    np.testing.assert_array_equal(data.x, np.float32(VALUES))


def test_labels_in_latin_1(write):
    """Case 57."""
    content = "a;kind\n1,5;café\n2;naïve\n".encode("latin-1")
    with pytest.warns(UserWarning, match="Windows-1252"):
        data = load(write("rows.csv", content), label="kind", test_fraction=0)
    assert data.y.tolist() == ["café", "naïve"]


@pytest.mark.slow
def test_lines_over_a_megabyte_are_read(write):
    """Case 57."""
    count = 50_000
    names = ",".join(f"c{i}" for i in range(count))
    line = ",".join(["1.25" + "0" * 20] * count)
    assert len(line) > 1 << 20
    data = load(write("wide.csv", f"{names}\n{line}\n{line}\n"))
    assert data.x.shape == (2, count)
    assert (data.x == 1.25).all()
    with pytest.raises(ValueError, match=f"{count} cells .*Received: 2 in line 3 .*wide.csv"):
        load(write("wide.csv", f"{names}\n{line}\n1,2\n"))


@pytest.mark.parametrize("late", ["2.5", "1e5", "-7"])
def test_a_column_whose_type_shows_late_is_read(write, late):
    data = load(write("rows.csv", "a,b\n" + "1,2\n" * 400_000 + f"{late},2\n"), test_fraction=0)
    assert data.x[-1].tolist() == [float(late), 2]


LINES = "".join(f"{i},{2 * i},{i % 3}\n" for i in range(9))
NO_HEADER = [
    *("1,2,3", "1,2,", ",2,3", "1,2,NA", "null,2,nan", "N/A,2,3", "true,2,3", "1,FALSE,3"),
    *("inf,-1,2", ".5,5.,-3", "+1,2e5,3", '"1","2","3"', " 1 , 2 ,3", "0,1,2", "2019,2020,2021"),
    *(",,", "1,1,1"),
]


@pytest.mark.parametrize("first", NO_HEADER)
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_first_line_of_values_never_becomes_the_header(write, first, separator):
    """Cases 14 and 57: whatever the values are, no row is lost to the names."""
    content = f"{first}\n{LINES}".replace(",", separator)
    with pytest.raises(ValueError, match="header must hold the names .*in line 1 .*rows.csv.*Try"):
        load(write("rows.csv", content))


def test_a_first_line_of_values_and_a_class_is_no_header(write):
    rows = "5.1,3.5,setosa\n4.9,3.0,setosa\n6,2,virginica\n"
    with pytest.raises(ValueError, match="header must .*'5.1,3.5,setosa' in line 1"):
        load(write("iris.csv", rows), label="setosa")
    with pytest.raises(ValueError, match="header must .*'5,3,setosa' in line 1"):
        load(write("iris.csv", rows.replace("5.1,3.5", "5,3")), label="setosa")


@pytest.mark.parametrize(
    ("first", "columns"),
    [
        ("kind,2019,2020,2021", ["2019", "2020", "2021"]),
        ("kind,0,1,2", ["0", "1", "2"]),
        ("kind,a,2,3", ["a", "2", "3"]),
        ("kind,n,nan,true", ["n", "nan", "true"]),
    ],
)
def test_names_that_look_like_numbers_are_names(write, first, columns):
    data = load(write("rows.csv", f"{first}\nx,1,2,3\ny,4,5,6\n"), label="kind", test_fraction=0)
    assert data.columns == columns
    assert len(data.x) == 2


def test_the_index_of_pandas_beside_texts_alone(write):
    path = write("rows.csv", ",name,start\n1,Kennedy,1961-01-20\n2,Nixon,1969-01-20\n")
    assert read_table(path).column_names == ["", "name", "start"]
    headless = write("rows.csv", ",red,big\n1,red,big\n2,blue,big\n")
    with pytest.raises(ValueError, match="header must hold the names"):
        read_table(headless)


@pytest.mark.parametrize("header", [",a,b", "Unnamed: 0,a,b", ",0,1"])
def test_the_index_of_pandas_is_left_out_with_a_warning(write, header):
    """Case 40."""
    path = write("rows.csv", f"{header}\n0,1.5,2\n1,3,4\n")
    with pytest.warns(UserWarning, match="left out .*rows.csv.*, a row index. Try keep=.*--keep"):
        data = load(path, test_fraction=0)
    assert data.columns == header.split(",")[1:]
    assert data.x.tolist() == [[1.5, 2], [3, 4]]


FAULTS = {
    "long line": ("a,b\n1,2\n3,4,5\n", ValueError, "have 2 cells .*commas.*Received: 3 in line 3 "),
    "short line": ("a,b\n1,2\n3\n", ValueError, "have 2 cells .*commas.*Received: 1 in line 3 "),
    "after blank lines": ("a,b\n\n\n1,2\n\n1,2,3\n1,2\n", ValueError, "Received: 3 in line 6 "),
    "after a cell of lines": ('a,b\n"x\ny",2\n1,2,3\n', ValueError, "Received: 3 in line 4 "),
    "late in the file": ("a,b\n" + "1,2\n" * 300_000 + "1\n", ValueError, "1 in line 300002 "),
    "semicolons": ("a;b\n1;2\n3;4;5\n", ValueError, "by semicolons, .*Received: 3 in line 3 "),
    "text": ("a,b\n1,2\n3,red\n", TypeError, "column 'b' must .*'red' in row 1, line 3 "),
    "text after gaps": ("a,b\nNA,2\n,2\n\nred,3\n", TypeError, "'red' in row 2, line 5 "),
    "dates": ("a,b\n2020-01-01,1\n", TypeError, "column 'a' must .*'2020-01-01' in row 0, line 2 "),
    "thousands": ("a;b\n1,5;2\n1.234;4\n", TypeError, "column 'a' .*'1.234' in row 1, line 3 "),
    "decimal commas": ('a,b\n"1,5",2\n', TypeError, "column 'a' must .*'1,5' in row 0, line 2 "),
    "one column": ("a\n1,5\n", ValueError, "have 1 cells .*Received: 2 in line 2 "),
    "twice": ("a,a\n1,2\n", ValueError, "must differ. Received: 'a' more than once"),
    "latin-1": ("a,b\n1,é\n".encode("latin-1"), TypeError, "'é' in row 0, line 2 .*not UTF-8"),
    "half of UTF-16": ("a,b\n1,2\n".encode("utf-16")[:-1], ValueError, "damaged.*utf-16"),
    "binary": (bytes(range(256)) * 9, ValueError, "must be text"),
    "header only": ("a,b\n", ValueError, "Received: 0 rows"),
    "header without a newline": ("a,b", ValueError, "Received: 0 rows"),
    "empty": ("", ValueError, "header.*an empty file"),
    "blank": ("\n\n", ValueError, "header.*an empty file"),
    "missing": ("a,b\n1,2\n3,\n", ValueError, "1 NaN.*row 1, column 1 'b'"),
}


@pytest.mark.filterwarnings("ignore:the encoding is a guess")
@pytest.mark.parametrize(("content", "kind", "message"), FAULTS.values(), ids=FAULTS)
def test_faults_are_named_with_file_and_line(write, content, kind, message):
    """Cases 1, 3, 8, 14 and 57."""
    with pytest.raises(kind, match=message) as raised:
        load(write("rows.csv", content))
    assert "rows.csv" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["b", "n" * 5000, "a\nb", "[red]", "$x$", "=1+1"])
def test_long_and_strange_cells_and_names_stay_on_one_short_line(write, name):
    """Cases 8 and 51."""
    quoted = '"' + name.replace('"', '""') + '"'
    with pytest.raises(TypeError) as raised:
        load(write("rows.csv", f"{quoted},c\n{'x' * 5000},2\n"))
    message = str(raised.value).replace(str(raised.value).split("(")[1].split(")")[0], "")
    assert len(message) < 300
    assert repr(name)[:20] in message


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "'", "'a", "it's", '"a"', "[b]"])
def test_names_are_literal(write, name):
    """Case 51."""
    quoted = '"' + name.replace('"', '""') + '"'
    assert load(write("rows.csv", f"{quoted},c\n1,2\n")).columns == [name, "c"]


@pytest.mark.parametrize("name", ["=1+1", "+a", "-a", "@a", "'=a"])
def test_the_apostrophe_before_a_formula_is_taken_off(write, name):
    """Case 51: as `kerasae generate` writes it, so that the file can be scored."""
    assert load(write("rows.csv", f"'{name},c\n1,2\n")).columns == [name, "c"]


@pytest.mark.parametrize("content", ["x" * 9, "2020-01-01", "", "1;5"])
def test_columns_that_are_not_wanted_are_not_read(write, content):
    """Case 15."""
    path = write("rows.csv", f"a,z,b\n1,{content},2\n")
    with pytest.warns(UserWarning, match="1 column .* left out .*rows.csv.*: z"):
        data = load(path, columns=["b", "a"])
    assert data.columns == ["b", "a"]
    assert data.x.tolist() == [[2, 1]]
    with pytest.raises(ValueError, match=re.escape("no column 'q'")):
        load(path, columns=["a", "q"])
