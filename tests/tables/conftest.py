import numpy as np
import pytest

import kerasae


def mixed(rows=200, seed=0):
    """A table of mixed columns that depend on each other, with missing cells."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, rows)
    size = kind * 2.0 + rng.normal(0, 0.2, rows)
    table = pandas.DataFrame(
        {
            "size": size,
            "count": (10 * size + rng.normal(0, 1, rows)).round().astype("int64"),
            "colour": np.array(["red", "green", "blue"], object)[kind],
            "sold": size > 2,
            "when": pandas.Timestamp("2024-01-01") + pandas.to_timedelta(size * 50 + 1, "D"),
            "grade": pandas.Categorical(np.array(["low", "mid", "high"], object)[kind]),
        },
        index=np.arange(1000, 1000 + rows),
    )
    table.loc[table.index[3], "size"] = np.nan
    table.loc[table.index[5], "colour"] = None
    return table


@pytest.fixture(scope="module")
def table():
    return mixed()


@pytest.fixture(scope="module")
def model(table):
    import keras

    keras.utils.set_random_seed(0)
    model = kerasae.table_autoencoder(table, (32, 3))
    model.fit(table, epochs=60, verbose=0)
    return model
