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
# # A table of mixed columns, from a CSV file to a served explanation
#
# Numbers, texts, dates and empty cells go into a model as they are, by the names of their columns. The table
# here is made up: rents of flats, with a mistyped size and a mistyped rent.

# %%
import json
import urllib.request

import keras
import numpy as np
import pandas as pd

import kerasae
from kerasae.tables import Schema, impute

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
rows = 1500
town = rng.integers(0, 3, rows)
size = np.exp(rng.normal(4.2, 0.4, rows))
rooms = np.clip((size / 25 + rng.normal(0, 0.4, rows)).round(), 1, None)
flats = pd.DataFrame(
    {
        "flat_id": [f"F{number:05d}" for number in rng.permutation(rows)],
        "town": np.array(["Bonn", "Essen", "Ulm"], object)[town],
        "size": size.round(1),
        "rooms": rooms.astype(int),
        "rent": (size * np.array([14.0, 9.0, 11.5])[town] + rng.normal(0, 30, rows)).round(),
        "heating": np.where(rng.random(rows) < 0.3 + 0.2 * town, "gas", "district"),
        "since": pd.Timestamp("2019-01-01") + pd.to_timedelta(rng.integers(0, 1800, rows), "D"),
    }
)
flats.loc[rng.random(rows) < 0.05, "size"] = np.nan
flats.loc[rng.random(rows) < 0.05, "heating"] = None
flats.loc[7, "size"], flats.loc[8, "rent"] = 7500, 45
flats.to_csv("flats.csv", index=False)
flats.head()

# %% [markdown]
# `Schema.infer` reads what the columns are. The column that identifies the rows is left out, with a warning, and is
# carried along by `kerasae anomalies` and `kerasae features`.

# %%
schema = Schema.infer("flats.csv")
schema

# %% [markdown]
# The family "denoising" has a fifth of the cells wrong in training, so that it learns to expect a cell from the others of
# its row. `kerasae train flats.csv` takes it, too.

# %%
table = pd.read_csv("flats.csv", parse_dates=["since"])
model = kerasae.table_autoencoder(table, family="denoising", schema=schema)
history = model.fit(table, epochs=60, verbose=0, validation_split=0.2)
kerasae.plots.loss_curve(history.history)

# %% [markdown]
# The loss is 1 for a model that knows nothing of a row: every column counts alike, and cells that are missing are left
# out. A reconstruction is a table again, without missing cells.

# %%
model.reconstruct(table).head()

# %% [markdown]
# `impute` fills missing cells and leaves all others as they are. A model that was trained with cells missing does it best.

# %%
filler = kerasae.table_autoencoder(table, (64, 6), schema=schema, corruption="missing:0.2")
filler.fit(table, epochs=60, verbose=0)
missing = table["size"].isna()
filled = impute(filler, table.drop(columns="flat_id"))
filled[missing].head()

# %% [markdown]
# Which rows are unusual, and why? The bars are errors beside what is usual for their column.


# %%
def worst_rows(model, table, count=5):
    kerasae.anomaly.calibrate(model, table, threshold=0.01)
    scores = kerasae.anomaly.score(model, table, top=3)
    worst = np.argsort(-scores.anomaly_score)[:count]
    parts = [part[worst] for part in scores.worst[:4]]
    return kerasae.plots.worst_columns(*parts, titles=table["flat_id"].iloc[worst].to_list())


worst_rows(model, table)

# %% [markdown]
# The mistyped size comes first. It is so large that it also makes the spread of the sizes several times as large, beside
# which all other sizes look alike. So the cell is made missing, and the model is trained anew. Now the mistyped rent, 45, is
# beside the dearest flats.

# %%
table.loc[table["size"].idxmax(), "size"] = np.nan
model = kerasae.table_autoencoder(table, family="denoising", schema=schema)
model.fit(table, epochs=60, verbose=0)
worst_rows(model, table)

# %% [markdown]
# The SavedModel takes columns by name. Here `kerasae serve` runs within the notebook; TF Serving takes the same folder
# and the same requests. A missing cell is `null` here and NaN in TF Serving, or an empty text.

# %%
folder = kerasae.export_saved_model(model, "saved_models/flats")
flat = {"town": "Ulm", "size": 60.0, "rooms": 9, "rent": None, "heating": "gas", "since": 1.6e9}
body = {"signature_name": "explain", "instances": [flat]}
with kerasae.serving.Server("saved_models", rest_port=0, grpc_port=0) as server:
    url = f"{server.url}/v1/models/flats:predict"
    request = urllib.request.Request(url, json.dumps(body).encode())
    response = json.loads(urllib.request.urlopen(request).read())
response["predictions"][0]
