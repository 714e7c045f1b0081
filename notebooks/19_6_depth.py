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
# # 19.6 Depth
#
# Beyond the chapter: four things to do with more than one hidden layer. Deep stacks can be learned one
# pair of layers at a time before they are trained as a whole; decoder and encoder can share their
# weights; a trained encoder is a start for a network with labels; and an autoencoder can split rows
# into what it can learn and what is sparse.

# %%
import keras
import numpy as np

import kerasae

keras.utils.set_random_seed(0)
data = kerasae.datasets.load("digits")
scaler = keras.layers.Rescaling(1 / data.x.max())
batch_size = 128 if data.x.shape[1] == 784 else 32
width, shown = data.x.shape[1], data.x_test[:8]


def deep(**arguments):
    keras.utils.set_random_seed(0)
    layout = (width * 3 // 4, width // 2, width // 3, 12)
    model = kerasae.stacked_autoencoder(
        (width,), layout, activation="sigmoid", scaler=scaler, **arguments
    )
    model.compile(keras.optimizers.Adam(0.003))
    return model


# %% [markdown]
# ## Pretraining
#
# In a deep stack of sigmoids the gradient fades on its way down. From scratch, the model first learns
# the mean row, and little else for a while.

# %%
scratch = deep()
history = scratch.fit(
    data.x_train, validation_data=data.x_test, epochs=12, batch_size=batch_size, verbose=0
)
kerasae.plots.loss_curve(history.history)

# %% [markdown]
# `pretrain` trains each layer of the encoder with the decoder's that mirrors it, from the outside in, on
# the features of the pair before. Then `fit` starts from these weights.

# %%
pretrained = deep()
pairs = kerasae.pretrain(
    pretrained,
    data.x_train,
    epochs=6,
    batch_size=batch_size,
    optimizer=lambda: keras.optimizers.Adam(0.01),
)
for pair in pairs:
    loss = pair.history["loss"]
    print(f"{pair.encoder_layer} and {pair.decoder_layer}: {loss[0]:.4f} to {loss[-1]:.4f}")
history = pretrained.fit(
    data.x_train, validation_data=data.x_test, epochs=12, batch_size=batch_size, verbose=0
)
kerasae.plots.loss_curve(history.history)

# %%
for name, model in (("from scratch", scratch), ("pretrained", pretrained)):
    print(f"{name}: test error {model.reconstruction_error(data.x_test).mean():.4f}")
kerasae.plots.reconstructions(shown, scratch.reconstruct(shown), data.image_shape)

# %%
kerasae.plots.reconstructions(shown, pretrained.reconstruct(shown), data.image_shape)

# %% [markdown]
# ## Tied weights
#
# With `tied=True` the decoder's kernels are the encoder's, transposed: about half the parameters.

# %%
for tied in (False, True):
    keras.utils.set_random_seed(0)
    model = kerasae.stacked_autoencoder((width,), (width // 2, 12), scaler=scaler, tied=tied)
    model.compile(keras.optimizers.Adam(0.003))
    model.fit(data.x_train, epochs=12, batch_size=batch_size, verbose=0)
    error = model.reconstruction_error(data.x_test).mean()
    print(
        f"{'tied' if tied else 'free'}: {model.count_params():,} parameters, test error {error:.4f}"
    )

# %% [markdown]
# ## Few labels
#
# A denoising autoencoder sees every training row, but no label. On 200 labels, its frozen codings with
# one layer on top, and the whole network trained from that start, are compared with the same network
# from scratch. With so few labels, the frozen codings do best on the digits.

# %%
keras.utils.set_random_seed(0)
denoising = kerasae.denoising_autoencoder((width,), (width * 3 // 4, 24), scaler=scaler)
denoising.compile(keras.optimizers.Adam(0.003))
denoising.fit(data.x_train, epochs=20, batch_size=batch_size, verbose=0)
untrained = kerasae.stacked_autoencoder((width,), (width * 3 // 4, 24), scaler=scaler)
for name, start, freeze, rate in (
    ("frozen codings", denoising, True, 0.02),
    ("from the autoencoder", denoising, False, 0.003),
    ("from scratch", untrained, False, 0.003),
):
    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(10, activation="softmax")
    network = kerasae.supervised_from(start, head, freeze=freeze)
    network.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    network.fit(data.x_train[:200], data.y_train[:200], epochs=30, verbose=0)
    metrics = network.evaluate(data.x_test, data.y_test, verbose=0, return_dict=True)
    print(f"{name}: test accuracy {metrics['accuracy']:.3f}")

# %% [markdown]
# ## Robust decomposition
#
# A twentieth of the pixels are broken: dark or light whatever the digit. The model is trained, what it
# cannot reconstruct is split off, x = L + S, and both steps are repeated.

# %%
rng = np.random.default_rng(0)
clean = data.x_train[:1000].astype("float32")
broken = rng.uniform(size=clean.shape) < 0.05
x = np.where(broken, rng.choice([0, clean.max()], size=clean.shape), clean).astype("float32")
keras.utils.set_random_seed(0)
model = kerasae.stacked_autoencoder((width,), (width // 2, 16), scaler=scaler)
model.compile(keras.optimizers.Adam(0.003))
split = kerasae.robust_decomposition(
    model, x, penalty=0.25, rounds=6, epochs=6, batch_size=batch_size
)
learned = model.reconstruct(split.low_dimensional)
for name, rows in (("x", x), ("L", split.low_dimensional), ("the model's L", learned)):
    distance = np.sqrt(np.mean((rows - clean) ** 2)) / clean.max()
    print(f"{name}: {distance:.3f} from the clean rows, root mean square")
print(f"broken pixels split off: {(split.sparse != 0)[broken & (x != clean)].mean():.0%}")
print(f"whole pixels split off: {(split.sparse != 0)[x == clean].mean():.1%}")

# %% [markdown]
# The rows x, L = x - S, and the absolute values of S. L keeps an error as large as the penalty at a
# broken pixel.

# %%
figure = kerasae.plots.corrupted_triples(
    x[:8], split.low_dimensional[:8], np.abs(split.sparse[:8]), data.image_shape
)
for axes, label in zip(figure.axes[::8], ("x", "L", "|S|"), strict=True):
    axes.set_ylabel(label)
figure

# %% [markdown]
# The model's reconstruction of L is below x: the broken pixels are gone, and some of the digit's detail
# with them.

# %%
kerasae.plots.reconstructions(x[:8], learned[:8], data.image_shape)
