import datetime

import numpy as np
import pytest

from kerasae.cli.cells import shown_cells
from kerasae.datasets.files.writing import without_formulas
from kerasae.plots.row_columns import shown
from kerasae.text import as_cell

pa = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_read_as_one_by_one(dtype):
    rng = np.random.default_rng(0)
    odd = [0, -0.0, 9999.5, 1e4, 99999.5, 1e15, 9.9996, 0.99995, 0.000099996, 1e-15, 9.9996e-16]
    x = np.concatenate(
        [
            rng.normal(size=5000) * 10.0 ** rng.integers(-20, 20, 5000),
            rng.normal(size=2000).round(4),  # ties, but for the last bit
            rng.integers(-(10**5), 10**5, 2000) / 16,
            [*odd, np.inf, -np.inf, np.nan],
        ]
    ).astype(dtype)
    cells = x.astype(object)
    assert shown_cells(cells).to_pylist() == [*map(shown, cells)]


def test_cells_of_any_types():
    cells = [1.5, None, 1, True, "x" * 50, datetime.date(2024, 1, 2), 1.0, "red", False, 10**18]
    cells = np.array(cells, object)
    assert shown_cells(cells).to_pylist() == [*map(shown, cells)]
    assert len(shown_cells(cells[:0])) == 0


def test_formulas_are_those_of_one_cell():
    cells = ["=1", "+1", "-1", "@x", "\tx", "\rx", "'=1", "''-1", "a=1", "'a", "", None, "a\n=1"]
    found = without_formulas(pa.table({"=x": cells, "n": range(13)}))
    assert found.column_names == ["'=x", "n"]
    assert found[0].to_pylist() == [one if one is None else as_cell(one) for one in cells]
