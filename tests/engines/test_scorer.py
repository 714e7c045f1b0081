import pickle

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from kerasae import anomaly, stacked_autoencoder, table_autoencoder
from kerasae.engines import Scorer
from kerasae.engines.ray import tables, units_of
from kerasae.tables import Schema

NAMES = list("abcde")


def draw(n, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 5)).astype("float32"), columns=NAMES)
    return frame.assign(order=rng.permutation(n))


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = stacked_autoencoder((5,), (4, 2), codings_activation="linear")
    model.fit(draw(200)[NAMES], epochs=2, verbose=0)
    anomaly.calibrate(model, draw(300, 1)[NAMES])
    return model


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_scores_are_those_of_one_process(model, library, tmp_path):
    model.save(tmp_path / "model.keras")
    frame = draw(500, 2)
    scorer = pickle.loads(pickle.dumps(Scorer(tmp_path / "model.keras", ids=["order"])))
    parts = np.array_split(np.arange(500), 7)
    given = [frame[["order", *NAMES[::-1]]].iloc[part] for part in parts]
    if library == "pyarrow":
        given = [pa.Table.from_pandas(one, preserve_index=False) for one in given]
    found = [scorer(one) for one in given]
    assert all(type(one) is type(other) for one, other in zip(found, given, strict=True))
    found = pd.concat([one if library == "pandas" else one.to_pandas() for one in found])
    wanted = anomaly.score(model, frame[NAMES], top=1)
    np.testing.assert_array_equal(found.order, frame.order)
    np.testing.assert_allclose(found.anomaly_score, wanted.anomaly_score, rtol=1e-5)
    np.testing.assert_allclose(found.p_value, wanted.p_value, atol=1e-3)
    assert (found.worst_column == wanted.worst.column[:, 0]).mean() > 0.99


def test_features_and_parts(model):
    frame = draw(50, 3)
    found = Scorer(model, "features")(frame[NAMES])
    np.testing.assert_allclose(found.to_numpy(), model.encode(frame[NAMES]), rtol=1e-5)
    detector = anomaly.Detector(steps=100).fit(frame[NAMES], verbose=0)
    found = Scorer(detector.model)(frame)
    by_column = detector.explain(frame[NAMES]).contributions
    assert found.worst_column.tolist() == np.array(NAMES)[by_column.argmax(axis=1)].tolist()


def test_tables_carry_the_ids_of_their_schema():
    rows = {"size": [1.0, 2.0, None, 4.0], "kind": ["x", "y", "x", "x"], "order": [4, 3, 2, 1]}
    model = table_autoencoder(rows, (4, 1), schema=Schema.infer(rows, ids=["order"]))
    anomaly.calibrate(model, rows)
    found = Scorer(model)(pa.table(rows))
    assert found["order"].to_pylist() == [4, 3, 2, 1]
    assert set(found["worst_column"].to_pylist()) <= {"size", "kind"}


def test_what_is_missing_is_named(model):
    with pytest.raises(ValueError, match="what must be one of"):
        Scorer(model, "scores")
    with pytest.raises(ValueError, match="column must be one of .* Received: column='c'"):
        Scorer(model)(draw(5).drop(columns="c"))
    with pytest.raises(ValueError, match="id must be one of"):
        Scorer(model, ids=["number"])(draw(5))


def test_units_hold_all_rows_once_in_their_order(tmp_path):
    table = pa.Table.from_pandas(draw(1000))
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=90)
    csv.write_csv(table, tmp_path / "b.csv")
    for file in ("a.parquet", "b.csv"):
        units = units_of([str(tmp_path / file)])
        read = pa.concat_tables([part for unit in units for part in tables(*unit, ["order"])])
        assert read["order"].to_pylist() == table["order"].to_pylist()
    (tmp_path / "c.parquet").write_bytes(b"no")
    with pytest.raises(ValueError, match="must be a whole .parquet file"):
        units_of([str(tmp_path / "c.parquet")])
