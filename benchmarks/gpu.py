"""Share of an accelerator's own rate of matrix products that `fit` reaches, on the JAX backend.

    python benchmarks/gpu.py [--layouts 784-1000-500-250-30 8192-8192-8192] [--batch 8192]

A layout gives the columns and the encoder's widths; the decoder mirrors them. Rows are random, training is in
`mixed_bfloat16`, and an epoch's products are counted as three times those of a forward pass, less the gradient
of the rows themselves, which is not needed. The rate is that of products of two square bfloat16 matrices,
measured in the same process. Needs JAX with the accelerator's plugin, `pip install 'jax[cuda12]'` for example. It
has not been run on an accelerator yet. On a processor, --size 512 --layouts 64-32 --rows 4096 shows that it works.
"""

import os
import statistics
import time
from itertools import pairwise

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
import numpy as np
import results
from contenders import fit_trainer
from jax import numpy as jnp

import kerasae


def product_rate(size, repeats=20):
    """Operations a second of bfloat16 products, one after the other in one program."""
    a = jax.random.normal(jax.random.key(0), (size, size), "bfloat16")

    @jax.jit
    def run(a):
        return jax.lax.fori_loop(0, repeats, lambda _, b: (a @ b) / jnp.bfloat16(size**0.5), a)

    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        run(a).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return repeats * 2 * size**3 / min(seconds[1:])


def train(columns, half, rows, batch_size, epochs):
    """Seconds of each epoch but the first, which compiles, and the operations of an epoch."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    x = np.random.default_rng(0).standard_normal((rows, columns), "float32")
    model = kerasae.stacked_autoencoder((columns,), half, scaler=None)
    model.compile(keras.optimizers.Adam(1e-4))
    ends = fit_trainer(model, x, (), batch_size)[0](epochs + 1)
    products = [a * b for a, b in pairwise((columns, *half, *half[-2::-1], columns))]
    operations = 2 * rows * (3 * sum(products) - products[0])
    return [end - start for start, end in pairwise(ends)], operations


def main():
    parser = results.parser(__doc__, "gpu")
    layouts = ["784-1000-500-250-30", "8192-8192-8192"]
    parser.add_argument("--layouts", nargs="+", default=layouts)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--batch", type=int, default=8192)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=8192, help="Of the products' matrices.")
    settings, found = parser.parse_args(), []
    rate, device = product_rate(settings.size), jax.devices()[0].device_kind
    print(f"{device}: {rate / 1e12:.3g} TFLOP/s in bfloat16 products")
    for layout in settings.layouts:
        columns, *half = map(int, layout.split("-"))
        seconds, count = train(columns, tuple(half), settings.rows, settings.batch, settings.epochs)
        median = statistics.median(seconds)
        print(
            f"{layout}: {median:.3f} s an epoch, {min(seconds):.3f}-{max(seconds):.3f}, "
            f"{count / median / 1e12:.3g} TFLOP/s, {count / median / rate:.1%} of the products'",
            flush=True,
        )
        found.append(
            {
                "layout": layout,
                "device": device,
                "seconds": seconds,
                "TFLOP/s": count / median / 1e12,
                "TFLOP/s of products": rate / 1e12,
            }
        )
    results.write(settings.output, found)


if __name__ == "__main__":
    main()
