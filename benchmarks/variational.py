"""Evidence lower bound and importance-weighted log-likelihood of a variational autoencoder, MNIST.

    KERASAE_DATA_DIR=FOLDER python benchmarks/variational.py

784-500-500-20 with a Bernoulli likelihood, 40 epochs of Adam, batch 128. Binarized: each pixel drawn
once with its intensity as the probability, by a fixed seed, as in the data set that the literature
uses. Nats an image on the 10,000 test images: the bound with ten draws, the log-likelihood with 200.
"""

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import results

import kerasae

PAPERS = {"binarized": {"paper": "-107.05, Flax's example, 784-500-20"}}


def train(x, epochs, verbose):
    keras.utils.set_random_seed(0)
    model = kerasae.variational_autoencoder(784, (500, 500, 20), activation="elu")
    rate = keras.optimizers.schedules.CosineDecay(0.001, epochs * -(-len(x) // 128))
    model.compile(keras.optimizers.Adam(rate))
    model.fit(x, epochs=epochs, batch_size=128, verbose=verbose)
    return model


def main():
    parser = results.parser(__doc__, "variational")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--verbose", type=int, default=0)
    settings, rows = parser.parse_args(), []
    data = kerasae.datasets.load("mnist")
    intensity = [x / np.float32(255) for x in (data.x_train, data.x_test)]
    rng = np.random.default_rng(0)
    binary = [(rng.random(x.shape, "float32") < x).astype("float32") for x in intensity]
    for name, (x, x_test) in {"binarized": binary, "intensities": intensity}.items():
        started = time.perf_counter()
        model = train(x, settings.epochs, settings.verbose)
        seconds = time.perf_counter() - started
        bound = float(kerasae.evidence_lower_bound(model, x_test, samples=10).mean())
        weighted = float(kerasae.log_likelihood(model, x_test, samples=200).mean())
        on_training = float(kerasae.evidence_lower_bound(model, x[:10000], samples=10).mean())
        print(
            f"{name}: test ELBO {bound:.2f}, log-likelihood {weighted:.2f}, "
            f"ELBO on training rows {on_training:.2f}; {seconds:.0f} s",
            flush=True,
        )
        of_model = {"model": f"variational, 784-500-500-20, {name}"}
        elbo = {"measure": "ELBO, nats", **PAPERS.get(name, {}), "value": bound}
        rows += [
            {**of_model, **elbo, "seconds": seconds},
            {**of_model, "measure": "log-likelihood by 200 draws, nats", "value": weighted},
            {**of_model, "measure": "ELBO, nats, training rows", "value": on_training},
        ]
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
