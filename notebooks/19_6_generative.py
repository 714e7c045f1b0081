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
# # 19.6 Generative autoencoders: variational and adversarial
#
# The book names these as further reading. Both give the codings a known distribution, so that decoding
# draws from it makes new rows.

# %%
import keras
import numpy as np

import kerasae

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
scaler = keras.layers.Rescaling(1 / float(data.x_train.max()))
epochs, batch_size = 40, 32
len(data.x_train), len(data.x_test), data.image_shape

# %%
columns, image = data.x.shape[1], (*data.image_shape, 1)
wide = 128


def train(model, rate=0.002, epochs=epochs):
    model.compile(keras.optimizers.Adam(rate))
    model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


# %% [markdown]
# ## Variational
#
# Each row's codings are a normal distribution. The loss is the negative evidence lower bound, in nats:
# how badly the row is reconstructed from a draw, plus how far its distribution is from the standard
# normal one.

# %%
vae = train(kerasae.variational_autoencoder(columns, (wide, 2), scaler=scaler))
bound = kerasae.evidence_lower_bound(vae, data.x_test, samples=10).mean()
weighted = kerasae.log_likelihood(vae, data.x_test, samples=100).mean()
print(f"evidence lower bound {bound:.2f} nats, importance-weighted log-likelihood {weighted:.2f}")
kerasae.plots.codings_beside_prior(
    vae.encode(data.x_test), vae.prior.sample(len(data.x_test), seed=0), data.y_test
)

# %% [markdown]
# With two codings the whole plane can be decoded. From left to right and from bottom to top, each step
# is as likely as the next.

# %%
levels = keras.ops.convert_to_numpy(
    np.sqrt(2) * keras.ops.erfinv(np.linspace(-0.95, 0.95, 12, dtype="float32"))
)
plane = np.array([(right, up) for up in levels[::-1] for right in levels])
kerasae.plots.images(vae.decode(plane), data.image_shape, across=12)

# %% [markdown]
# New rows, and a walk between two rows of the data. The shape of an image as `input_shape` makes a
# convolutional stack.

# %%
deep = train(kerasae.variational_autoencoder(image, (16, 32, 8), scaler=scaler), epochs=epochs // 2)
kerasae.plots.images(deep.generate(20, seed=0), data.image_shape)

# %%
walk = kerasae.interpolate(vae, data.x_test[0], data.x_test[1], steps=10)
kerasae.plots.images(walk, data.image_shape)

# %% [markdown]
# ## Adversarial
#
# Here a discriminator learns to distinguish codings from draws of a prior, and the encoder learns to
# fool it: in the end it is right for about half of them. The prior can be any distribution that one can
# draw from, a mixture of ten here.

# %%
aae = kerasae.adversarial_autoencoder(columns, (wide, 2), prior="mixture", scaler=scaler, beta=0.1)
aae.compile(keras.optimizers.Adam(0.002, beta_1=0.5))
aae.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
history = aae.history.history
for name in ("discriminator_loss", "discriminator_accuracy"):
    print(f"{name} {history[name][-1]:.3f} after {history[name][0]:.3f}")
kerasae.plots.codings_beside_prior(
    aae.encode(data.x_test), aae.prior.sample(len(data.x_test), seed=0), data.y_test
)

# %%
kerasae.plots.images(aae.generate(20, seed=0), data.image_shape)
