"""Denoising of a photograph: PSNR and SSIM beside a median filter and non-local means.

    python benchmarks/denoising.py [--epochs N] [--patches N]

The photographs are scikit-learn's two. A denoising autoencoder at its defaults learns from recoloured patches
of one, with Gaussian noise of each standard deviation, and restores the whole other one, which nothing was chosen
on. The strengths of the other two are chosen on the first photograph, too: the size of the median, and how
much non-local means filter. Writes a table and the picture benchmarks/denoising.png.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results
from matplotlib.figure import Figure
from scipy.ndimage import median_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import denoise_nl_means
from sklearn.datasets import load_sample_images

import kerasae

SIDE = 32
MEDIANS = (3, 5)
STRENGTHS = (0.4, 0.6, 0.8, 1.0)


def patches(photograph, count, seed=0):
    """Squares of a photograph at random places."""
    generator = np.random.default_rng(seed)
    tops, lefts = (generator.integers(0, size - SIDE + 1, count) for size in photograph.shape[:2])
    pairs = zip(tops, lefts, strict=True)
    return np.stack([photograph[top : top + SIDE, left : left + SIDE] for top, left in pairs])


def recoloured(x, seed=0):
    """The same patches, half of them with a contrast and a brightness of their own in each colour.

    One photograph has few colours; a model that knew no others would give these to the next one.
    """
    generator = np.random.default_rng(seed)
    kept, x = np.split(x, 2)
    inverted = generator.random((len(x), 1, 1, 1)) < 0.5
    gain = generator.uniform(0, 1, (len(x), 1, 1, 3))
    shift = 255 * generator.uniform(0, 1, (len(x), 1, 1, 3)) * (1 - gain)
    changed = np.where(inverted, 255 - x, x) * gain + shift
    return np.concatenate([kept, changed]).astype("float32")


def model_of(shape, stddev):
    return kerasae.denoising_autoencoder(
        shape,
        (32, 32, 32, 32),
        scaler=keras.layers.Rescaling(1 / 255),
        corruption=kerasae.GaussianCorruption(stddev / 255),
    )


def denoiser(photograph, stddev, settings):
    """A function that restores photographs of any size."""
    keras.utils.set_random_seed(settings.seed)
    small = model_of((SIDE, SIDE, 3), stddev)
    x = recoloured(patches(photograph, settings.patches))
    small.fit(x, epochs=settings.epochs, batch_size=16, verbose=0)

    def restore(noisy):
        whole = model_of(noisy.shape, stddev)
        whole.set_weights(small.get_weights())
        return whole.reconstruct(noisy[None])[0]

    return restore


def medians(noisy, size):
    return median_filter(noisy, (size, size, 1))


def non_local_means(noisy, strength, stddev):
    options = {"patch_size": 5, "patch_distance": 6, "fast_mode": True, "channel_axis": -1}
    sigma = stddev / 255
    return 255 * denoise_nl_means(noisy / 255, h=strength * sigma, sigma=sigma, **options)


def measures(image, clean):
    image = np.clip(image, 0, 255)
    similar = structural_similarity(clean, image, channel_axis=-1, data_range=255)
    return float(peak_signal_noise_ratio(clean, image, data_range=255)), float(similar)


def best(function, choices, noisy, clean):
    return max(choices, key=lambda choice: measures(function(noisy, choice), clean)[0])


def with_noise(photograph, stddev, seed):
    noise = np.random.default_rng(seed).normal(0, stddev, photograph.shape)
    return (photograph + noise).astype("float32")


def compared(development, reported, stddev, settings):
    """The images by name, and the seconds that each took."""
    noisy = with_noise(development, stddev, seed=1)
    size = best(medians, MEDIANS, noisy, development)
    strength = best(lambda x, h: non_local_means(x, h, stddev), STRENGTHS, noisy, development)
    started = time.perf_counter()
    restore = denoiser(development, stddev, settings)
    print(f"stddev {stddev}: trained in {time.perf_counter() - started:.0f} s", flush=True)
    noisy = with_noise(reported, stddev, seed=2)
    ways = {
        "noise": lambda x: x,
        f"median, {size}x{size}": lambda x: medians(x, size),
        f"non-local means, h = {strength} sigma": lambda x: non_local_means(x, strength, stddev),
        "kerasae": restore,
    }
    return {name: restored(noisy) for name, restored in ways.items()}


def picture(images, clean, stddev):
    """A part of each image, with its measures over it."""
    part = np.s_[120:280, 200:360]
    figure = Figure(figsize=(2.6 * (len(images) + 1), 3.1), layout="constrained")
    grid = figure.subplots(1, len(images) + 1)
    for axes, (name, image) in zip(grid, [*images.items(), ("clean", clean)], strict=True):
        axes.imshow(np.clip(image[part] / 255, 0, 1))
        axes.set_axis_off()
        title = name.split(",")[0]
        if name != "clean":
            title += "\n{:.2f} dB, SSIM {:.3f}".format(*measures(image, clean))
        axes.set_title(title, fontsize=10)
    figure.suptitle(f"Gaussian noise of standard deviation {stddev}", fontsize=11)
    figure.savefig(Path(__file__).with_name("denoising.png"), dpi=110)


def main():
    parser = results.parser(__doc__, "denoising")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--patches", type=int, default=4000)
    parser.add_argument("--stddevs", type=int, nargs="+", default=[25, 50])
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    development, reported = (image.astype("float32") for image in load_sample_images().images)
    rows = []
    for stddev in settings.stddevs:
        images = compared(development, reported, stddev, settings)
        for name, image in images.items():
            psnr, ssim = measures(image, reported)
            print(f"  {name}: {psnr:.2f} dB, SSIM {ssim:.3f}", flush=True)
            rows.append({"stddev": stddev, "by": name, "PSNR": psnr, "SSIM": ssim})
        if stddev == settings.stddevs[0]:
            picture(images, reported, stddev)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
