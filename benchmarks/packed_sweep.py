"""What packing the trials of a sweep into one compiled program gains, on MNIST, 784-100.

    KERASAE_DATA_DIR=FOLDER python benchmarks/packed_sweep.py

Four trials, each with its beta and seed, are to cost at most 1.5 of one. They do not, on two cores: one
trial spends most of its epoch in matrix products, and as many multiplications as four trials need take
2.3 of it in the shape that the library likes best, whatever packs them. An epoch of 60,000 float32 rows
in batches of 128, medians of 5 in shuffled turns, on JAX, 2026-11-25, two cores of a shared machine:

                          seconds   of one trial   in a run before
    one trial               0.430           1.00              1.00
    4, one by one           1.682           3.91              3.99
    4, in two threads       1.256           2.92              3.07
    vmap of 1               0.478           1.11              1.24
            2               0.861           2.00              2.01
            4               1.617           3.76              3.86
            8               3.522           8.19              7.80
    lax.map of 4            2.111           4.91              4.81
    unrolled, 4             1.332           3.10              3.27
    wide by hand, 1         0.451           1.05              1.03
                  4         1.428           3.32              3.49
    bare products of 1      0.400           0.93              0.93, NumPy's 0.68 and 0.85
                     4      1.231           2.86              3.14, NumPy's 2.71 and 2.88
    as one large product    0.998           2.32              2.48

Threads, lax.map and the unrolled program give the separate runs' weights to the bit. vmap and the wide
kernel lie 3e-7 from them after an epoch and 1e-6 after six, and the test mse 1e-7 of itself, at the rate
of 1e-3. At 3e-3, the second half of vmap of 8, training itself is unstable: after six epochs weights lie
0.1 apart and the mse 0.7%, and so they do (0.1, 0.4%) for separate runs begun one bit apart.

Verdict: no packing. What gains most, a quarter, is two separate trials at a time, each in its own thread.
"""

import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "jax"  # the stateless train_step is of this backend alone

import jax
import keras
import numpy as np
from jax import numpy as jnp

import kerasae

BATCH, EPOCHS, WIDTH = 128, 5, 100
BETAS, RATES = (0.0, 0.001, 0.01, 0.1), (1e-3, 3e-3)
TRIALS = [(beta, rate) for rate in RATES for beta in BETAS]  # each with its place as its seed
RHO, MOMENTUMS, EPSILON = -0.1, (0.9, 0.999), 1e-7  # of the model and of Adam, for `wide_step`


# The trials and their states ----------------------------------------------------------------------


def build(seed, x):
    """The model of a trial, and its state as `train_step` takes it."""
    beta, rate = TRIALS[seed]
    keras.utils.set_random_seed(seed)
    model = kerasae.sparse_autoencoder(x.shape[1], WIDTH, rho=RHO, beta=beta)
    model.compile(keras.optimizers.Adam(rate))
    model.optimizer.build(model.trainable_variables)
    model.evaluate(x[:BATCH], verbose=0)  # the metrics have no variables before
    model.reset_metrics()
    names = ("trainable_variables", "non_trainable_variables", "metrics_variables")
    trainable, fixed, metrics = ([v.value for v in getattr(model, name)] for name in names)
    return model, (trainable, fixed, [v.value for v in model.optimizer.variables], metrics)


def copied(tree):
    """The same values in arrays of their own, which a run may then overwrite."""
    return jax.tree.map(lambda leaf: jnp.array(leaf, copy=True), tree)


def stack(states):
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def unstack(state, k):
    return [jax.tree.map(itemgetter(i), state) for i in range(k)]


# A step of every formulation, and an epoch of steps -----------------------------------------------


def epoch(step):
    """Compiles an epoch in the given order of rows, its last and smaller batch included."""

    def run(state, x, order):
        whole = len(order) // BATCH * BATCH
        batches = order[:whole].reshape(-1, BATCH)
        state, _ = jax.lax.scan(lambda s, rows: (step(s, x[rows]), None), state, batches)
        return step(state, x[order[whole:]])

    return jax.jit(run, donate_argnums=0)


def packed_steps(one):
    """The generic ways from the step of one trial to the step of several."""
    return {
        "vmap": jax.vmap(one, in_axes=(0, None)),
        "lax.map": lambda state, x: jax.lax.map(lambda trial: one(trial, x), state),
        "unrolled": lambda states, x: [one(state, x) for state in states],
    }


def wide_state(states):
    """The same trials with the encoders side by side in one kernel (784, k * 100)."""
    kernels, biases, *decoder = zip(*(trainable for trainable, *_ in states), strict=True)
    weights = [jnp.concatenate(kernels, 1), jnp.concatenate(biases), *map(jnp.stack, decoder)]
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, zeros, copied(zeros), jnp.zeros(())


def wide_step(k):
    """A step of the first k trials by hand: one wide product to encode, a batched one to decode."""
    betas, rates = (jnp.array(of, "float32") for of in zip(*TRIALS[:k], strict=True))
    columns = jnp.repeat(rates, WIDTH)
    rates = [columns, columns, rates[:, None, None], rates[:, None]]

    def loss(weights, x):
        kernel, bias, decoder, output = weights
        codings = jnp.tanh(x @ kernel + bias)
        by_trial = codings.reshape(len(x), k, WIDTH).transpose(1, 0, 2)
        errors = jnp.square(x - by_trial @ decoder - output[:, None])
        p, q = (1e-6 + (1 - 2e-6) * (h + 1) / 2 for h in (RHO, codings.mean(0)))
        kl = p * (jnp.log(p) - jnp.log(q)) + (1 - p) * (jnp.log1p(-p) - jnp.log1p(-q))
        # The sum over the trials: the gradient of each one's weights is of its own term alone.
        return errors.mean((1, 2)).sum() + betas @ kl.reshape(k, WIDTH).sum(1)

    def step(state, x):
        weights, means, squares, count = state
        (b1, b2), count = MOMENTUMS, count + 1
        grads = jax.grad(loss)(weights, x)
        means = [m + (g - m) * (1 - b1) for m, g in zip(means, grads, strict=True)]
        squares = [v + (g * g - v) * (1 - b2) for v, g in zip(squares, grads, strict=True)]
        rise = jnp.sqrt(1 - b2**count) / (1 - b1**count)
        moves = zip(weights, means, squares, rates, strict=True)
        weights = [w - r * rise * m / (jnp.sqrt(v) + EPSILON) for w, m, v, r in moves]
        return weights, means, squares, count

    return step


def of_wide(weights, k):
    """The weights of every trial, as a model has them."""
    kernel, bias, *decoder = weights
    encoder = jnp.split(kernel, k, 1), jnp.split(bias, k)
    return [list(trial) for trial in zip(*encoder, *decoder, strict=True)]


# The products alone -------------------------------------------------------------------------------


def bare_epoch(k):
    """The five products of every step of k trials in JAX, and nothing that could be left out."""

    def body(carry, batch):
        x, kernel, decoder = batch, *carry[0]
        codings = (x @ kernel).reshape(BATCH, k, WIDTH).transpose(1, 0, 2)
        output = codings @ decoder
        back = (output @ decoder.mT).transpose(1, 0, 2).reshape(BATCH, k * WIDTH)
        return (carry[0], (x.T @ back, codings.mT @ output)), None

    return jax.jit(lambda weights, batches: jax.lax.scan(body, (weights, weights), batches)[0][1])


def numpy_epoch(k, batches):
    """The same by NumPy's library, from arrays that lie as each product likes them."""
    draw = np.random.default_rng(0).standard_normal
    kernel, decoder = (draw(s, "float32") for s in ((784, k * WIDTH), (k, WIDTH, 784)))
    output, codings = (draw((k, BATCH, n), "float32") for n in (784, WIDTH))
    wide = draw((BATCH, k * WIDTH), "float32")
    outs = [np.empty_like(a) for a in (wide, output, codings, kernel, decoder)]

    def run():
        for x in batches:
            np.matmul(x, kernel, out=outs[0])
            np.matmul(codings, decoder, out=outs[1])
            np.matmul(output, decoder.mT, out=outs[2])
            np.matmul(x.T, wide, out=outs[3])
            np.matmul(codings.mT, output, out=outs[4])

    return run


def bare_ways(x):
    """Name to function of the products of one trial and of four, and of one large product."""
    batches = x[: len(x) // BATCH * BATCH].reshape(-1, BATCH, x.shape[1])
    on_device, ways = jnp.asarray(batches), {}
    for k in (1, 4):
        weights = jnp.ones((784, k * WIDTH)), jnp.ones((k, WIDTH, 784))
        bare, by_numpy = partial(bare_epoch(k), weights, on_device), numpy_epoch(k, batches)
        ways[f"products, {k}"] = lambda _, bare=bare: bare()
        ways[f"products in NumPy, {k}"] = lambda _, bare=by_numpy: bare()
    # As many multiplications as those of four trials, in the shape that the library likes best.
    square, times = np.ones((4096, 4096), "float32"), 4 * 5 * batches.size * WIDTH / 4096**3
    ways["as one large product, 4"] = lambda _: np.matmul(square, square)
    return ways, {"as one large product, 4": times}


# The comparison -----------------------------------------------------------------------------------


class Way:
    """A way to train an epoch, and what it has trained so far."""

    def __init__(self, run, start, rows):
        self.run, self.state, self.rows = run, copied(start), rows

    def __call__(self, order):
        self.state = self.run(self.state, self.rows, order)
        return self.state


def nudged(state):
    """A state whose weights differ in their last bit, to tell noise that grows from an error."""
    return [jnp.nextafter(w, jnp.inf) for w in state[0]], *state[1:]


def training_ways(one, states, rows):
    """Name to `Way`."""
    steps, single, pool = packed_steps(one), epoch(one), ThreadPoolExecutor(2)

    def waited(state, *arguments):
        return jax.block_until_ready(single(state, *arguments))

    def in_turn(several, *arguments):
        return [waited(state, *arguments) for state in several]

    def in_threads(several, *arguments):
        return list(pool.map(lambda state: waited(state, *arguments), several))

    ways = {
        "one trial": (single, states[0]),
        "one by one, 4": (in_turn, states[:4]),
        "one by one, 8": (in_turn, states),
        "one by one, nudged, 8": (in_turn, [nudged(state) for state in states]),
        "two threads, 4": (in_threads, states[:4]),
        **{f"vmap, {k}": (epoch(steps["vmap"]), stack(states[:k])) for k in (1, 2, 4, 8)},
        "lax.map, 4": (epoch(steps["lax.map"]), stack(states[:4])),
        "unrolled, 4": (epoch(steps["unrolled"]), states[:4]),
        **{f"wide by hand, {k}": (epoch(wide_step(k)), wide_state(states[:k])) for k in (1, 4)},
    }
    return {name: Way(*way, rows) for name, way in ways.items()}


def timed(ways, rows):
    """Seconds of every epoch of every way, the ways in another sequence every time."""
    seconds = {name: [] for name in ways}
    for number in range(1, EPOCHS + 1):
        draw = np.random.default_rng(number)
        order = draw.permutation(rows).astype("int32")
        for name in draw.permutation(list(ways)):
            started = time.perf_counter()
            jax.block_until_ready(ways[name](order))
            seconds[name].append(time.perf_counter() - started)
    return seconds


def weights_of(name, state):
    """The weights of every trial that a way trained, trial by trial."""
    if name == "one trial":
        return [state[0]]
    if isinstance(state, list):
        return [trainable for trainable, *_ in state]
    if name.startswith("wide"):
        return of_wide(state[0], int(name[-1]))
    return [trainable for trainable, *_ in unstack(state, int(name[-1]))]


def agreement(mse, trained):
    """Prints how far each trial's weights and test mse lie from those of the separate runs."""
    separate = weights_of("", trained["one by one, 8"].state)
    errors = [float(mse(weights)) for weights in separate]
    print("test mse of the separate runs", *(f"{error:.5f}" for error in errors))
    for name, way in trained.items():
        apart, of_mse = [], 0.0
        for weights, own, error in zip(weights_of(name, way.state), separate, errors, strict=False):
            pairs = zip(weights, own, strict=True)
            apart.append(max(float(jnp.abs(a - b).max()) for a, b in pairs))
            of_mse = max(of_mse, abs(float(mse(weights)) / error - 1))
        print(f"{name:24s} mse {of_mse:.0e} of it; weights", *(f"{gap:.0e}" for gap in apart))


def report(seconds, factors):
    """Prints the medians, and their ratios to that of one trial."""
    one = statistics.median(seconds["one trial"])
    for name, values in seconds.items():
        low, median, high = (
            factors.get(name, 1) * of(values) for of in (min, statistics.median, max)
        )
        print(f"{name:24s} {median:.3f} s ({low:.3f} to {high:.3f}), {median / one:.2f} of one")


def main():
    data = kerasae.datasets.load("mnist")
    x, x_test = (rows.astype("float32") / 255 for rows in (data.x_train, data.x_test))
    (model, *_), states = zip(*(build(seed, x) for seed in range(len(TRIALS))), strict=True)
    trained = training_ways(lambda s, rows: model.train_step(s, rows)[1], [*states], jnp.asarray(x))
    fixed, x_test = states[0][1], jnp.asarray(x_test)
    mse = jax.jit(
        lambda weights: jnp.square(x_test - model.stateless_call(weights, fixed, x_test)[0]).mean()
    )
    bare, factors = bare_ways(x)
    for way in (*trained.values(), *bare.values()):
        way(np.random.default_rng(0).permutation(len(x)).astype("int32"))  # compiles
    print("After one epoch:")
    agreement(mse, trained)
    report(timed({**trained, **bare}, len(x)), factors)
    print(f"After {1 + EPOCHS} epochs:")
    agreement(mse, trained)


if __name__ == "__main__":
    main()
