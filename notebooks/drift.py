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
# # Drift in production: has the data changed, and what to do then
#
# A model watches six sensors of a machine. After some weeks one sensor is replaced by another that reads in other units,
# and later the whole machine slowly warms up. `drift` compares new rows with the rows of the calibration; `partial_fit`
# lets the model follow.

# %%
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import kerasae
from kerasae.anomaly import calibrate, drift, partial_fit, score

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
names = ["speed", "load", "oil", "bearing", "exhaust", "vibration"]
mixing = rng.normal(size=(2, 6))


def week(warmer=0.0, rows=1000):
    causes = rng.normal(size=(rows, 2))
    x = causes @ mixing + 0.1 * rng.normal(size=(rows, 6)) + np.array([0, 0, 1, 1, 1, 0]) * warmer
    return pd.DataFrame(x, columns=names)


train, held_out = week(rows=4000), week()
scaler = keras.layers.Normalization()
scaler.adapt(train.to_numpy())
model = kerasae.stacked_autoencoder(6, (16, 2), scaler=scaler, columns=names)
model.fit(train, epochs=30, verbose=0)
threshold = calibrate(model, held_out)
# %% [markdown]
# A week like the others: no alarm. The p-values are corrected for the number of columns.

# %%
found = drift(model, week())
found.is_drift, found.p_value, found.drifted()

# %% [markdown]
# The sensor of the oil's temperature is replaced. As all columns go through the same codings, the errors of others change
# with it; the one that changed most comes first.

# %%
replaced = week()
replaced["oil"] = 1.8 * replaced["oil"] + 0.5
found = drift(model, replaced)
errors = pd.DataFrame(found.columns._asdict()).set_index("name")
errors.sort_values("statistic", ascending=False).round(3)

# %% [markdown]
# The machine warms up week by week. A model that stays as it is flags more and more rows; one that goes on with
# `partial_fit` keeps to the one in a hundred that its threshold stands for.

# %%
path = Path(tempfile.mkdtemp()) / "machine.keras"
model.save(path)
kept = kerasae.load_model(path)
flagged = []
for number in range(12):
    rows = week(warmer=0.08 * number)
    flagged.append([100 * score(one, rows).is_anomaly.mean() for one in (kept, model)])
    partial_fit(model, rows, memory=2000)
pd.DataFrame(flagged, columns=["as it was", "partial_fit"]).round(1).rename_axis("week").T

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for label, values in zip(("as it was", "with partial_fit"), np.transpose(flagged), strict=True):
    axes.plot(values, marker="o", label=label)
axes.set(xlabel="week", ylabel="rows flagged [%]", ylim=(0, None))
axes.legend()
plt.show()
