"""Missing cells are filled, and nothing else changes."""

import numpy as np
import pytest

import kerasae
from kerasae.tables import impute

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_only_missing_cells_change(model, table, library):
    holes = table.assign(other="kept").copy()
    holes.iloc[:40, holes.columns.get_loc("size")] = np.nan
    holes.iloc[20:60, holes.columns.get_loc("colour")] = None
    holes.iloc[5:9, holes.columns.get_loc("grade")] = np.nan
    make = {
        "pandas": lambda x: x,
        "polars": pl.from_pandas,
        "pyarrow": lambda x: pa.Table.from_pandas(x, preserve_index=False),
    }[library]
    with pytest.warns(UserWarning, match="left out"):
        out = impute(model, make(holes))
    assert type(out) is type(make(holes))
    frame = out if library == "pandas" else out.to_pandas()
    assert not frame.isna().any().any()
    assert (frame.other == "kept").all()
    was = holes.reset_index(drop=True).notna()
    back, given = frame.reset_index(drop=True), holes.reset_index(drop=True)
    for name in table:
        seen = was[name]
        assert (back[name][seen].astype(object) == given[name][seen].astype(object)).all(), name
    if library == "pandas":
        assert out.index.equals(holes.index)
        assert (out.dtypes == holes.dtypes).all()
    # The other columns tell the size.
    truth = table["size"].reset_index(drop=True)[:40].fillna(0)
    error = np.abs(back["size"][:40] - truth)[truth != 0].mean()
    assert error < 0.5 * np.abs(truth - table["size"].mean()).mean()


def test_rounds_see_what_was_filled(model, table):
    codes = model.schema.codes(table)
    codes[:, 0] = np.nan
    first = impute(model, codes)
    second = np.where(np.isnan(codes), model.predict(first, verbose=0), codes)
    np.testing.assert_allclose(impute(model, codes, rounds=2), second, rtol=1e-5)
    with pytest.raises(ValueError, match="without a schema"):
        impute(kerasae.stacked_autoencoder((4,), (2,)), np.zeros((1, 4)))
