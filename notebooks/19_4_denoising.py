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
# # 19.4 Denoising autoencoders
#
# Corrupt the inputs, keep the targets clean: to undo the noise, the model must know what clean rows
# look like. The corruption is a layer before the first hidden one. It acts in training only, so that
# `evaluate`, `predict` and an exported model see what you give them.
#
# The book corrupts MNIST with Gaussian noise, or sets 30% of the pixels to their extremes, and reports
# an error of 0.02048 on clean rows.

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
width, units = data.x.shape[1], 32
scaled = np.asarray(scaler(data.x_train))
noises = {
    "Gaussian": kerasae.GaussianCorruption(0.2, seed=0),
    "salt and pepper": kerasae.SaltPepperDropout(
        0.3, low=float(scaled.min()), high=float(scaled.max()), seed=0
    ),
}
models = {}
for name, noise in noises.items():
    keras.utils.set_random_seed(0)
    model = kerasae.denoising_autoencoder((width,), (units,), corruption=noise, scaler=scaler)
    model.compile(keras.optimizers.Adam(0.002))
    history = model.fit(
        data.x_train,
        validation_data=data.x_test,
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
    )
    models[name] = model
    print(f"{name}: error on clean test rows {history.history['val_mse'][-1]:.5f}")

# %% [markdown]
# The layer's `corrupt` adds noise in training and at inference alike, as a picture needs. The noise is
# for scaled values, so we scale the rows, corrupt them, and scale them back.

# %%
shown = data.x_test[:8]


def corrupted(name):
    return np.asarray(scaler.inverse(noises[name].corrupt(scaler(shown))))


noisy = corrupted("Gaussian")
kerasae.plots.corrupted_triples(
    shown, noisy, models["Gaussian"].reconstruct(noisy), data.image_shape
)

# %%
noisy = corrupted("salt and pepper")
kerasae.plots.corrupted_triples(
    shown, noisy, models["salt and pepper"].reconstruct(noisy), data.image_shape
)

# %% [markdown]
# With more codings than columns a plain model may learn to copy its input, noise and all. A denoising
# one cannot: copying does not remove the noise.

# %%
wide = 100
noise = noises["salt and pepper"]
noisy = np.asarray(scaler.inverse(noise.corrupt(scaler(data.x_test))))
clean = np.asarray(scaler(data.x_test))
for name, corruption in {"plain": kerasae.GaussianCorruption(0.0), "denoising": noise}.items():
    keras.utils.set_random_seed(0)
    model = kerasae.denoising_autoencoder((width,), (wide,), corruption=corruption, scaler=scaler)
    model.compile(keras.optimizers.Adam(0.001))
    model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
    error = np.square(np.asarray(scaler(model.reconstruct(noisy))) - clean).mean()
    print(f"{wide} codings, {name}: error of noisy rows against the clean ones {error:.5f}")
