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
# # 19.5 Anomaly detection
#
# A model that has learnt what rows usually look like reconstructs unusual ones badly. The error of a
# row therefore measures how unusual it is. In the book's MNIST example the mean error is 0.006 and
# the worst rows are above 0.03.

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
width, units = data.x.shape[1], 16
model = kerasae.stacked_autoencoder((width,), (units,), scaler=scaler)
model.compile(keras.optimizers.Adam(0.002))
model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
errors = model.reconstruction_error(data.x_train)
print(f"errors from {errors.min():.4f} to {errors.max():.4f}, mean {errors.mean():.4f}")
kerasae.plots.error_histogram(errors)

# %% [markdown]
# The five rows with the largest errors, and where they differ from their reconstructions:

# %%
kerasae.plots.worst_rows(data.x_train, model.reconstruct(data.x_train), errors, 5, data.image_shape)

# %% [markdown]
# From unusual rows among the training data, the model learns that they are normal. So we train again, on the
# three quarters of the rows with the smallest errors, and score everything with the new model.

# %%
trimmed = kerasae.anomaly.trim_and_refit(
    model, data.x_train, quantile=0.75, epochs=epochs, batch_size=batch_size, verbose=0
)
after = trimmed.model.reconstruction_error(data.x_train)
print(f"{trimmed.kept.sum()} of {len(after)} rows kept, errors up to {trimmed.cutoff:.4f}")
print(f"mean error of the rows left out: before {errors[~trimmed.kept].mean():.4f}, ", end="")
print(f"after {after[~trimmed.kept].mean():.4f}")

# %% [markdown]
# Above which score is a row an anomaly? `calibrate` takes normal rows that the model was not trained on.
# It keeps a threshold with the model, and turns each later score into a p-value, the share of normal
# rows with a score at least as high.

# %%
half = len(data.x_test) // 2
threshold = kerasae.anomaly.calibrate(trimmed.model, data.x_test[:half], threshold="p95")
scores = kerasae.anomaly.score(trimmed.model, data.x_test[half:])
print(f"{scores.is_anomaly.sum()} of {len(scores.p_value)} new rows flagged")
kerasae.plots.error_histogram(scores.reconstruction_error, threshold)

# %% [markdown]
# Rows of another kind should be flagged. Here are the same digits with inverted greys: every pixel v
# becomes max - v.

# %%
inverted = data.x.max() - data.x_test[half:]
flagged = kerasae.anomaly.score(trimmed.model, inverted).is_anomaly
print(f"{np.mean(flagged):.0%} of the inverted digits flagged")
