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
# # Photographs: denoising, folders of images, anomaly maps
#
# Two photographs that come with scikit-learn stand for a collection of one's own: one to learn from,
# one to be restored. Nothing is downloaded.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from scipy.ndimage import median_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means
from sklearn.datasets import load_sample_images

import kerasae
from kerasae.plots.figure import Figure

china, flower = (image.astype("float32") for image in load_sample_images().images)
china.shape, flower.shape


# %%
def patches(photograph, count, height, width, seed=0):
    """Parts of a photograph at random places."""
    generator = np.random.default_rng(seed)
    tops = generator.integers(0, photograph.shape[0] - height + 1, count)
    lefts = generator.integers(0, photograph.shape[1] - width + 1, count)
    return np.stack(
        [photograph[t : t + height, a : a + width] for t, a in zip(tops, lefts, strict=True)]
    )


# %% [markdown]
# ## Denoising
#
# A denoising model of images has convolutions that keep height and width, and corrects the image that it
# gets. A bottleneck would blur what it lets through; here the noise alone keeps the model from the
# identity. It learns from patches of the first photograph, with Gaussian noise of a standard deviation
# of 25 on pixels from 0 to 255. One photograph has few colours: half of the patches get others.

# %%
STDDEV = 25


def denoiser(shape):
    return kerasae.denoising_autoencoder(
        shape,
        (32, 32, 32, 32),
        scaler=keras.layers.Rescaling(1 / 255),
        corruption=kerasae.GaussianCorruption(STDDEV / 255),
    )


def recoloured(x, seed=0):
    generator = np.random.default_rng(seed)
    gain = generator.uniform(-1, 1, (len(x), 1, 1, 3))
    shift = generator.uniform(0, 1, gain.shape) * (1 - np.abs(gain)) + np.maximum(0, -gain)
    return (x * gain + 255 * shift).astype("float32")


x = patches(china, 4000, 32, 32)
x[2000:] = recoloured(x[2000:])
keras.utils.set_random_seed(0)
small = denoiser((32, 32, 3))
history = small.fit(
    x,
    validation_data=patches(china, 100, 32, 32, seed=1),
    epochs=6,
    batch_size=16,
    verbose=0,
)
kerasae.plots.loss_curve(history.history)

# %% [markdown]
# Weights of convolutions fit images of any size: a second model, of the size of the other photograph,
# takes them over.

# %%
whole = denoiser(flower.shape)
whole.set_weights(small.get_weights())
noisy = flower + np.random.default_rng(0).normal(0, STDDEV, flower.shape).astype("float32")
sigma = STDDEV / 255
means = denoise_nl_means(
    noisy / 255,
    h=0.6 * sigma,
    sigma=sigma,
    patch_size=5,
    patch_distance=6,
    fast_mode=True,
    channel_axis=-1,
)
images = {
    "noise": noisy,
    "median": median_filter(noisy, (3, 3, 1)),
    "non-local means": 255 * means,
    "kerasae": whole.reconstruct(noisy[None])[0],
    "clean": flower,
}


def measures(image):
    image = np.clip(image, 0, 255)
    similarity = structural_similarity(flower, image, channel_axis=-1, data_range=255)
    return peak_signal_noise_ratio(flower, image, data_range=255), similarity


part = np.s_[120:280, 200:360]
figure = Figure(figsize=(13, 3.1), layout="constrained")
for axes, (name, image) in zip(figure.subplots(1, 5), images.items(), strict=True):
    axes.imshow(np.clip(image[part] / 255, 0, 1))
    axes.set_axis_off()
    numbers = "" if name == "clean" else "\n{:.2f} dB, SSIM {:.3f}".format(*measures(image))
    axes.set_title(name + numbers, fontsize=10)
figure

# %% [markdown]
# ## A folder of images
#
# `kerasae.datasets.load(folder)` reads PNG and JPEG files into memory; `ImageFolder` reads them batch by
# batch, for more than memory holds. Both turn photographs upright as the camera noted. The command
# does the same: `kerasae train photos/ --size 37x45`. The parts below overlap, so that the test images
# are less new to the model than another photograph would be.

# %%
folder = Path(tempfile.mkdtemp())
for i, patch in enumerate(patches(flower, 600, 90, 74)):
    Image.fromarray(patch.astype("uint8")).save(folder / f"{i:03}.png")
data = kerasae.datasets.load(folder, image_shape=(45, 37))
stream = kerasae.datasets.ImageFolder(folder, (45, 37), batch_size=32, shuffle=True)
data.image_shape, len(data.x_train), len(stream)

# %% [markdown]
# 45 x 37 pixels are halved to 23 x 19 and to 12 x 10. On the way back, what is too much is cropped.

# %%
keras.utils.set_random_seed(0)
model = kerasae.convolutional_autoencoder(
    data.image_shape, (16, 32, 64), scaler=keras.layers.Rescaling(1 / 255)
)
print([layer.output.shape[1:] for layer in model.encoder.layers])
model.compile(keras.optimizers.Adam(0.002))
x_train = data.x_train.reshape(-1, *data.image_shape)
x_test = data.x_test.reshape(-1, *data.image_shape)
history = model.fit(x_train, validation_data=x_test, epochs=20, verbose=0)
print(f"error of the test images {history.history['val_mse'][-1]:.5f}")
kerasae.plots.reconstructions(x_test[:8], model.reconstruct(x_test[:8]), data.image_shape)

# %% [markdown]
# ## Where is an image anomalous?
#
# Some of the test images get a scratch. Its errors are large where it is: the map shows them, smoothed,
# over the image, and `worst_region` names the place.

# %%
kerasae.anomaly.calibrate(model, x_test[60:], "p99")
scratched = x_test[:6].copy()
places = [(8, 5), (20, 18), (30, 6)]
for image, (top, left) in zip(scratched, places, strict=False):
    for i in range(12):
        image[top + i // 2 : top + i // 2 + 2, left + i] = (40, 90, 230)
scores = kerasae.anomaly.score(model, scratched)
maps = kerasae.anomaly.anomaly_maps(model, scratched)
titles = [
    f"score {score:.4f}" + (", anomaly" if flag else "")
    for score, flag in zip(scores.anomaly_score, scores.is_anomaly, strict=True)
]
kerasae.plots.anomaly_maps(scratched, maps, titles)

# %%
[kerasae.anomaly.worst_region(one) for one in maps]

# %% [markdown]
# The maps of photographs that were shrunk can be brought to the size of the files.

# %%
large = kerasae.anomaly.anomaly_maps(model, scratched, size=(90, 74))
maps.shape, large.shape
