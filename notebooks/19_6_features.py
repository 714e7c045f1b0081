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
# # 19.6 Features: convolutional, contractive and winner-take-all
#
# The book names these as further reading. They learn codings for other models: similar for similar
# images, stable under small changes, or each with one meaning.

# %%
import keras

import kerasae

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
scaler = keras.layers.Rescaling(1 / float(data.x_train.max()))
epochs, batch_size = 24, 32
len(data.x_train), len(data.x_test), data.image_shape

# %%
columns, image = data.x.shape[1], (*data.image_shape, 1)
wide = 128


def train(model, rate=0.002, epochs=epochs):
    model.compile(keras.optimizers.Adam(rate))
    model.fit(data.x_train, epochs=epochs, batch_size=batch_size, verbose=0)
    return model


def linear_accuracy(codings, codings_test):
    """Accuracy of a linear classifier that sees the codings only."""
    head = keras.Sequential([keras.Input(codings.shape[1:]), keras.layers.Dense(10)])
    head.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=40,
    )
    head.fit(codings, data.y_train, epochs=40, batch_size=128, verbose=0)
    return head.evaluate(codings_test, data.y_test, verbose=0)[1]


def report(model):
    accuracy = linear_accuracy(model.encode(data.x_train), model.encode(data.x_test))
    error = model.reconstruction_error(data.x_test).mean()
    print(f"{model.name}: test mse {error:.5f}, linear classifier {100 * accuracy:.1f}%")


# %% [markdown]
# ## Convolutional
#
# The model takes images, (height, width, channels), and flat rows of them too.

# %%
convolutional = train(kerasae.convolutional_autoencoder(image, (16, 32, 16), scaler=scaler))
report(convolutional)
shown = data.x_test[:8]
kerasae.plots.reconstructions(shown, convolutional.reconstruct(shown), data.image_shape)

# %% [markdown]
# ## Contractive
#
# A penalty on the encoder's Jacobian: where a row moves a little, the codings should hardly move. The
# norm is exact, not sampled; here it is measured for the same stack with the penalty and without.

# %%
from keras import ops

from kerasae.layers.contraction import jacobian_norm

for beta in (0.0, 0.001):
    keras.utils.set_random_seed(0)
    model = train(kerasae.contractive_autoencoder(columns, (wide,), beta=beta, scaler=scaler))
    report(model)
    scaled = data.x_test.astype("float32") / data.x_train.max()
    norm = ops.convert_to_numpy(jacobian_norm(model.encoder.layers, scaled)).mean()
    print(f"  beta {beta}: squared norm of the Jacobian {norm:.2f}")

# %% [markdown]
# What the contractive codings respond to: the kernel of the encoder, the strongest first.

# %%
kernel = ops.convert_to_numpy(model.encoder.get_layer("codings").kernel)
kerasae.plots.filters(kernel.T, data.image_shape)

# %% [markdown]
# ## k-sparse and winner-take-all
#
# A row keeps its k largest codings; or a coding keeps the few rows of a batch that excite it most. Each
# then learns a part of a digit, which shows in what it adds to a reconstruction.

# %%
sparse = train(kerasae.k_sparse_autoencoder(columns, (wide,), k=10, scaler=scaler))
report(sparse)
kernel = ops.convert_to_numpy(sparse.decoder.get_layer("output").kernel)
kerasae.plots.filters(kernel, data.image_shape)

# %%
winners = train(kerasae.winner_take_all_autoencoder(columns, (wide,), winners=0.05, scaler=scaler))
report(winners)
kernel = ops.convert_to_numpy(winners.decoder.get_layer("output").kernel)
kerasae.plots.filters(kernel, data.image_shape)

# %% [markdown]
# On images the codings are feature maps: each map passes on its strongest place only.

# %%
spatial = train(
    kerasae.winner_take_all_autoencoder(image, (16, 16), winners=0.3, scaler=scaler),
    epochs=epochs // 4,
)
error = spatial.reconstruction_error(data.x_test).mean()
print(f"codings {spatial.encode(shown).shape}, test mse {error:.5f}")
kerasae.plots.reconstructions(shown, spatial.reconstruct(shown), data.image_shape)
