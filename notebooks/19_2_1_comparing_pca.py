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
# # 19.2.1 An autoencoder beside PCA
#
# Principal components are the best *linear* summary of rows: no other pair of linear codings lets you
# reconstruct them with a smaller squared error. A network that is squeezed through two units learns a
# summary too. With linear units it can only find the plane that PCA finds (Bourlard and Kamp, 1988);
# with a bounded activation such as tanh it bends that plane a little. Here we put the two side by
# side.

# %%
import keras
import numpy as np
from sklearn.decomposition import PCA

import kerasae

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
scaler = kerasae.RangeScaling()
scaler.adapt(data.x_train)
epochs, batch_size = 30, 32
len(data.x_train), len(data.x_test), data.image_shape

# %% [markdown]
# Two codings, one layer, tanh. `fit(x)` is enough: the target is the input. The scaler is part of the
# model, so that it takes the pixels as they are; the error is measured on the scaled values.

# %%
width = data.x.shape[1]
model = kerasae.stacked_autoencoder((width,), (2,), scaler=scaler)
model.compile(keras.optimizers.Adam(0.003))
history = model.fit(
    data.x_train,
    validation_data=data.x_test,
    epochs=epochs,
    batch_size=batch_size,
    verbose=0,
)
kerasae.plots.loss_curve(history.history)

# %%
scaled, scaled_test = (np.asarray(scaler(x)) for x in (data.x_train, data.x_test))
pca = PCA(2, random_state=0).fit(scaled)
pca_error = np.square(pca.inverse_transform(pca.transform(scaled_test)) - scaled_test).mean()
error = model.reconstruction_error(data.x_test).mean()
print(f"test error with 2 codings {error:.5f}, with 2 principal components {pca_error:.5f}")

# %% [markdown]
# Neither sees the labels, which only colour the picture. PCA's components are uncorrelated and
# ordered; the codings are neither, and tanh keeps them between -1 and 1.

# %%
kerasae.plots.codings_beside_pca(model.encode(data.x_test), pca.transform(scaled_test), data.y_test)
