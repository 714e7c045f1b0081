"""Parzen-window log-likelihood of an adversarial autoencoder on the full MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/adversarial.py

The protocol of Makhzani et al. (2015): 784-1000-1000-8 with rectified units, a normal prior with a
standard deviation of 5 and a discriminator of 1000-1000; 10,000 generated images, a Gaussian window
whose width is chosen on held-out training images, and the mean log-likelihood, in nats, of the
10,000 test images on x / 255. The paper alternates the two updates with momentum; here both are made in
each step, by Adam. 10,000 training images instead of generated ones are measured for comparison.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results

import kerasae
from kerasae.methods import parzen_log_likelihood

MEASURE, PAPER = "Parzen log-likelihood, nats", "340 ± 2, Makhzani et al. 2015"
WIDTHS = (0.1, 0.12, 0.14, 0.16, 0.18, 0.2, 0.22, 0.25)


def train(x, settings):
    keras.utils.set_random_seed(settings.seed)
    model = kerasae.adversarial_autoencoder(
        784,
        (1000, 1000, 8),
        prior=kerasae.layers.GaussianPrior(8, stddev=5.0),
        discriminator_units=(1000, 1000),
        beta=settings.beta,
        output_activation="sigmoid",
    )
    steps = settings.epochs * -(-len(x) // 100)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, steps)
    model.compile(keras.optimizers.Adam(rate, beta_1=0.5))
    model.fit(x, epochs=settings.epochs, batch_size=100, verbose=settings.verbose)
    return model


def measure(model, samples, x, x_test):
    """A row for each measure, the generated images' log-likelihood first."""
    held_out = x[50_000:51_000]
    scores = {w: parzen_log_likelihood(samples, held_out, w).mean() for w in WIDTHS}
    width = max(scores, key=scores.get)
    likelihood = parzen_log_likelihood(samples, x_test, width)
    codings = model.encode(x_test)
    measured = {
        MEASURE: likelihood.mean(),
        "mse": model.reconstruction_error(x_test).mean(),
        "mean of the codings": codings.mean(),
        "standard deviation of the codings": codings.std(),
    }
    rows = [{"measure": name, "value": float(value)} for name, value in measured.items()]
    rows[0] |= {"standard error": float(likelihood.std() / len(x_test) ** 0.5), "width": width}
    real = parzen_log_likelihood(x[:10_000], x_test, width).mean()
    rows.append({"model": "10,000 training images", "measure": MEASURE, "value": float(real)})
    return rows


def main():
    parser = results.parser(__doc__, "adversarial")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--beta", type=float, default=0.01)
    parser.add_argument("--learning-rate", type=float, default=0.0005)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", type=int, default=2)
    parser.add_argument("--picture", help="Where to draw generated images, a .png.")
    settings = parser.parse_args()
    data = kerasae.datasets.load("mnist")
    x, x_test = data.x_train / np.float32(255), data.x_test / np.float32(255)
    started = time.perf_counter()
    model = train(x[:50_000], settings)
    seconds = time.perf_counter() - started
    samples = model.generate(10_000, seed=settings.seed)
    if settings.picture:
        kerasae.plots.images(samples[:50], (28, 28)).savefig(settings.picture, dpi=120)
    rows = measure(model, samples, x, x_test)
    rows[0] |= {"paper": PAPER, "seconds": seconds}
    name = f"adversarial, 8 codings, {settings.epochs} epochs"
    rows = [{"model": name, **row} for row in rows]
    for row in rows:
        print(row["model"], row["measure"], f"{row['value']:.4f}", sep=": ")
    print(f"paper: {PAPER}; {seconds:.0f} s")
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
