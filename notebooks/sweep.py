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
# # A sweep over hidden layouts and the weight of the sparsity penalty
#
# `kerasae.tuning.search` trains a model for each combination and ranks them by the error on rows that were held out, without
# the penalty: `val_loss` would favour a small beta. Each trial is written as it ends. A sweep that was stopped goes on with
# `resume=True`; the command's name for it is `kerasae tune search`.

# %%
import tempfile
from pathlib import Path

import kerasae
from kerasae.tuning import best_model, search

folder = Path(tempfile.mkdtemp()) / "digits"
space = {"layout": ["16", "64-16-64"], "beta": [0.001, 0.01, 0.1], "rho": [-0.1]}
table = search("digits", space, folder, model="sparse", epochs=15, seed=0)
table[["layout", "beta", "val_mse", "test_mse", "epochs", "seconds"]].round(5)

# %%
names = [f"{row.layout}, beta {row.beta:g}" for row in table.itertuples()]
kerasae.plots.leaderboard(names, table["val_mse"])

# %% [markdown]
# The error alone prefers the weakest penalty. What the penalty is for shows in the codings: their mean activation comes
# near rho where beta is large.

# %%
model = best_model(folder)
codings = model.encode(kerasae.datasets.load("digits").x_test)
kerasae.plots.activation_histogram(codings, rho=-0.1)
