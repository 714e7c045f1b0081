# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Larger than memory: files in pieces
#
# `kerasae.datasets.open` reads Parquet, CSV, Feather and NumPy files in pieces, the next one while the model trains on the
# last. The files here are small, so that the notebook runs in a minute; nothing in it depends on their size.

# %%
import tempfile
from pathlib import Path

import keras
import numpy as np
import pyarrow as pa
from pyarrow import parquet

import kerasae
from kerasae.layers import RangeScaling

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp()) / "rows"
folder.mkdir()
mixing = rng.normal(size=(3, 12))
for number in range(4):
    x = rng.normal(size=(50_000, 3)) @ mixing + 0.1 * rng.normal(size=(50_000, 12))
    table = pa.table({f"c{i}": x[:, i].astype("float32") for i in range(12)})
    parquet.write_table(table, folder / f"part-{number}.parquet", row_group_size=10_000)
rows = kerasae.datasets.open(folder)
rows

# %% [markdown]
# A share is held out by the position of the rows, the same whenever the files are opened. The scaler learns its range in
# one pass, and `fit` shuffles the pieces and the rows within them by its seed.

# %%
train, held_out = rows.split(0.1)
scaler = RangeScaling()
scaler.adapt(train)
model = kerasae.stacked_autoencoder(12, (32, 3), scaler=scaler, columns=rows.columns)
history = model.fit(train, validation_data=held_out, epochs=5, batch_size=256, verbose=0)
kerasae.plots.loss_curve(history.history)

# %% [markdown]
# Scores and codings come piece by piece as well; the command writes them to a file as they come:
# `kerasae train rows/`, `kerasae anomalies saved_models/rows-stacked rows/ --output scores.parquet`.

# %%
kerasae.anomaly.calibrate(model, held_out)
sizes = [len(codings) for codings in model.encode(held_out)]
len(sizes), sum(sizes)
