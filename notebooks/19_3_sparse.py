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
# # 19.3 Sparse autoencoders
#
# When there are many codings, each can represent something that few rows have, if most of them stay
# inactive for most rows. A penalty brings that about: it compares the mean activation rho_hat of each
# coding over a batch with a target rho and adds beta times the Kullback-Leibler divergence between the
# two. For tanh, which lies between -1 and 1, inactive means near -1.
#
# In the book, H2O's 100 codings have a mean activation of -0.0068 without the penalty and -0.108 with
# rho = -0.1.

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


def train(model):
    model.compile(keras.optimizers.Adam(0.002))
    model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


plain = train(kerasae.stacked_autoencoder((width,), (units,), scaler=scaler))
activation = kerasae.average_activation(plain, data.x_test)
print(f"mean activation without a penalty {activation.overall:.4f}")
kerasae.plots.activation_histogram(plain.encode(data.x_test))

# %% [markdown]
# How large should beta be? Too small, and rho is ignored; too large, and the reconstruction suffers.
# The loss contains the penalty, so that models are compared by the error alone.

# %%
models = {}
for beta in (0.0001, 0.001, 0.01, 0.1):
    keras.utils.set_random_seed(0)
    model = train(
        kerasae.sparse_autoencoder((width,), (units,), rho=-0.1, beta=beta, scaler=scaler)
    )
    models[beta] = model
    activation = kerasae.average_activation(model, data.x_test)
    error = model.reconstruction_error(data.x_test).mean()
    farthest = np.abs(activation.per_coding + 0.1).max()
    print(
        f"beta {beta:<6} mean activation {activation.overall:+.4f}, "
        f"farthest coding {farthest:.4f} from rho, test error {error:.5f}"
    )

# %%
kerasae.plots.activation_histogram(models[0.01].encode(data.x_test), rho=-0.1)

# %% [markdown]
# A target near the lower bound leaves each coding active for a few rows only. The reconstructions show
# what that costs, first those of the plain model, then those of the sparse one.

# %%
keras.utils.set_random_seed(0)
strong = train(kerasae.sparse_autoencoder((width,), (units,), rho=-0.75, beta=0.01, scaler=scaler))
shown = data.x_test[:8]
kerasae.plots.reconstructions(shown, plain.reconstruct(shown), data.image_shape)

# %%
kerasae.plots.reconstructions(shown, strong.reconstruct(shown), data.image_shape)
