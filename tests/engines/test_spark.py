import os
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from kerasae import anomaly, stacked_autoencoder
from kerasae.engines import Scorer

COLUMNS = """order bigint, anomaly_score float, reconstruction_error float, p_value float,
    is_anomaly boolean, worst_column string"""


@pytest.mark.slow
def test_the_recipe_gives_the_scores_of_one_process(tmp_path, monkeypatch):
    pytest.importorskip("pyspark", reason="needs the extra spark")
    if shutil.which("java") is None:
        pytest.skip("needs Java")
    from pyspark.sql import SparkSession

    rows = np.random.default_rng(0).normal(size=(300, 3)).astype("float32")
    frame = pd.DataFrame(rows, columns=list("abc")).assign(order=np.arange(300))
    model = stacked_autoencoder((3,), (2,))
    model.fit(frame[list("abc")], verbose=0)
    anomaly.calibrate(model, frame[list("abc")])
    model.save(tmp_path / "model.keras")
    frame.to_parquet(tmp_path / "rows.parquet")
    scorer = Scorer(tmp_path / "model.keras", ids=["order"])

    def scored(batches):
        for batch in batches:
            yield scorer(batch)

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    spark = (
        SparkSession.builder.master("local[1]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.executorEnv.PYTHONPATH", os.environ.get("PYTHONPATH", ""))
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "64")
        .getOrCreate()
    )
    try:
        table = spark.read.parquet(str(tmp_path / "rows.parquet"))
        found = table.mapInPandas(scored, COLUMNS).toPandas().sort_values("order")
    finally:
        spark.stop()
    wanted = anomaly.score(model, frame[list("abc")])
    np.testing.assert_allclose(found.anomaly_score, wanted.anomaly_score, rtol=1e-5)
    assert found.is_anomaly.tolist() == wanted.is_anomaly.tolist()
