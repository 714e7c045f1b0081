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
# # 19.2.3 Looking at reconstructions
#
# A mean squared error is one number; a picture shows where it comes from. We train a stack, take four
# test digits and put the reconstructions under them.

# %%
import keras
import numpy as np

import kerasae

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
scaler = kerasae.RangeScaling()
scaler.adapt(data.x_train)
epochs, batch_size = 30, 32
len(data.x_train), len(data.x_test), data.image_shape

# %%
width = data.x.shape[1]
units = 48, 12
model = kerasae.stacked_autoencoder((width,), units, activation="elu", scaler=scaler)
model.compile(keras.optimizers.Adam(0.002))
model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
model.reconstruction_error(data.x_test).mean()

# %% [markdown]
# `reconstruct` returns rows in the units of the input, so that the two share one grey scale. What is
# lost is what few digits have: the loop that is not quite closed, the stroke that is unusually thick.

# %%
shown = np.random.default_rng(0).choice(len(data.x_test), 4, replace=False)
kerasae.plots.reconstructions(
    data.x_test[shown],
    model.reconstruct(data.x_test[shown]),
    data.image_shape,
    titles=[str(label) for label in data.y_test[shown]],
)

# %% [markdown]
# Each coding adds a pattern of its own to the picture: the weights that lead from it to the next
# layer. For a model with a single layer these are images.

# %%
single = kerasae.stacked_autoencoder((width,), (16,), scaler=scaler)
single.compile(keras.optimizers.Adam(0.003))
single.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
kerasae.plots.filters(
    np.asarray(single.decoder.get_layer("output").kernel), data.image_shape, count=16
)
