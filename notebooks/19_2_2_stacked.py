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
# # 19.2.2 Stacked autoencoders
#
# One hidden layer with a linear output cannot reconstruct better than PCA with as many components.
# More layers can: the encoder then learns a curved summary, and the decoder, its mirror image, how to
# unfold it. `hidden_units` is the encoder's half: `(300, 100)` is 784-300-100-300-784 on MNIST.
#
# The book trains five layouts with H2O and sorts them by their error: 0.01245 for [50], 0.00675 for
# [100], 0.00831 for [300, 100, 300], 0.01122 for [100, 50, 100], 0.01441 for [250, 100, 50, 100, 250].

# %%
import time

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
# On the small digits we scale the book's widths down with the number of columns. Hidden layers of a
# stack train faster with elu than with tanh, and a learning rate that falls to 0
# ends with a smaller error than a constant one.

# %%
book = [(50,), (100,), (300, 100), (100, 50), (250, 100, 50)]
width = data.x.shape[1]
layouts = [tuple(max(2, units * width // 784) for units in layout) for layout in book]
steps = epochs * -(-len(data.x_train) // batch_size)


def train(layout):
    keras.utils.set_random_seed(0)
    activation = "tanh" if len(layout) == 1 else "elu"
    model = kerasae.stacked_autoencoder((width,), layout, activation=activation, scaler=scaler)
    rate = keras.optimizers.schedules.CosineDecay(0.003, steps)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


models, errors, pca_errors = {}, [], []
scaled, scaled_test = (np.asarray(scaler(x)) for x in (data.x_train, data.x_test))
for layout in layouts:
    start = time.perf_counter()
    name = "-".join(map(str, layout + layout[-2::-1]))
    models[name] = train(layout)
    errors.append(float(models[name].reconstruction_error(data.x_test).mean()))
    pca = PCA(layout[-1], random_state=0).fit(scaled)
    projected = pca.inverse_transform(pca.transform(scaled_test))
    pca_errors.append(float(np.square(projected - scaled_test).mean()))
    print(
        f"{name:20} test error {errors[-1]:.5f}, PCA at that width {pca_errors[-1]:.5f}, "
        f"{time.perf_counter() - start:.1f} s"
    )

# %% [markdown]
# Compare a layout with PCA at its own number of codings, not with wider layouts: more codings always
# reconstruct better.

# %%
kerasae.plots.leaderboard(list(models), errors, references={"PCA, narrowest": max(pca_errors)})
