"""The ways to train that `training_speed.py` compares; run by it, one process for each.

    python benchmarks/contenders.py NAME 300,100 128

A process builds its model and writes its memory. For each line of its input, a number, it trains as many
epochs and writes when they ended. At the end of the input it writes its error. All lines are JSON.
"""

import json
import os
import random
import resource
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

RATE, EPSILON = 1e-3, 1e-7  # of Adam; Keras's epsilon, for all


def load_rows(kind="float32", rows=None):
    """Rows of MNIST as bytes, or as pixels / 255, made without a second copy."""
    with np.load(Path(os.environ["KERASAE_DATA_DIR"]) / "mnist.npz") as file:
        x = file["x_train"].reshape(-1, 784)[:rows]
    if kind == "uint8":
        return x.copy()
    return np.divide(x, np.float32(255), out=np.empty(x.shape, "float32"))


def race(functions, repeats):
    """Seconds of each function's first call and of the others, the functions taking turns."""
    seconds = {key: [] for key in functions}
    for _ in range(repeats + 1):
        for key, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[key].append(time.perf_counter() - started)
    return {key: (values[0], values[1:]) for key, values in seconds.items()}


def widths(half):
    """The widths of all layers, the rows' own first and last."""
    return [784, *half, *half[-2::-1], 784]


def fit_trainer(model, x, targets, batch_size):
    """A function that trains a Keras model by one `fit` and returns when each epoch ended."""
    import keras

    def train(epochs):
        ends = []
        note = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
        )
        options = {"batch_size": batch_size, "epochs": epochs, "verbose": 0}
        model.fit(x, *targets, **options, callbacks=[note])
        return ends

    return train, lambda rows: model.predict(rows, verbose=0)


def loop_trainer(epoch):
    def train(epochs):
        ends = []
        for _ in range(epochs):
            epoch()
            ends.append(time.perf_counter())
        return ends

    return train


def kerasae_fit(half, batch_size, x):
    import kerasae

    random.seed(0)  # keras.utils.set_random_seed would load TensorFlow, too, on JAX
    model = kerasae.stacked_autoencoder((784,), half, scaler=None)
    model.compile("adam")
    model.optimizer.learning_rate = RATE
    return fit_trainer(model, x, (), batch_size)


def stock_keras(half, batch_size, x, **compiled):
    import keras

    random.seed(0)
    *hidden, out = widths(half)[1:]
    layers = [keras.layers.Dense(units, "tanh") for units in hidden]
    model = keras.Sequential([keras.Input((784,)), *layers, keras.layers.Dense(out)])
    model.compile(keras.optimizers.Adam(RATE), "mse", **compiled)
    return fit_trainer(model, x, (x,), batch_size)


def tuned_keras(half, batch_size, x):
    """Keras by the two switches that its documents name for speed."""
    return stock_keras(half, batch_size, x, steps_per_execution=50, jit_compile=True)


def compiled_torch(half, batch_size, x):
    return torch_loop(half, batch_size, x, compiled=True)


def torch_loop(half, batch_size, x, compiled=False):
    import torch

    torch.manual_seed(0)
    layers, dims = [], widths(half)
    for fan_in, fan_out in pairwise(dims):
        linear = torch.nn.Linear(fan_in, fan_out)
        torch.nn.init.xavier_uniform_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    model = torch.compile(model) if compiled else model
    adam = torch.optim.Adam(model.parameters(), RATE, eps=EPSILON, fused=True)
    mse, rows = torch.nn.MSELoss(), torch.from_numpy(x)

    def epoch():
        order, total = torch.randperm(len(rows)), 0.0
        for i in range(0, len(rows), batch_size):
            batch = rows[order[i : i + batch_size]]
            adam.zero_grad(set_to_none=True)
            loss = mse(model(batch), batch)
            loss.backward()
            adam.step()
            total += loss.detach() * len(batch)
        return float(total) / len(rows)

    def reconstruct(rows):
        with torch.inference_mode():
            return model(torch.from_numpy(rows)).numpy()

    return loop_trainer(epoch), reconstruct


def jax_step(dtype="float32", rate=RATE):
    """The model, whose products are of a type, and one step of Adam on a batch."""
    import jax
    import jax.numpy as jnp

    def forward(weights, rows):
        rows = rows.astype(dtype)
        for layer, (kernel, bias) in enumerate(weights):
            rows = jnp.tanh(rows) if layer else rows
            rows = rows @ kernel.astype(dtype) + bias.astype(dtype)
        return rows.astype("float32")

    def step(state, batch):
        weights, mean, square, count = state
        loss = lambda weights: jnp.mean((forward(weights, batch) - batch) ** 2)  # noqa: E731
        value, slopes = jax.value_and_grad(loss)(weights)
        count += 1
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, slopes)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, square, slopes)
        now = rate * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        update = lambda w, m, v: w - now * m / (jnp.sqrt(v) + EPSILON)  # noqa: E731
        return (jax.tree.map(update, weights, mean, square), mean, square, count), value

    return forward, step


def jax_scan(half, batch_size, x):
    import jax
    import jax.numpy as jnp

    forward, step = jax_step()

    def whole_epoch(state, key, rows):
        order, whole = jax.random.permutation(key, len(rows)), len(rows) // batch_size * batch_size
        batches = order[:whole].reshape(-1, batch_size)
        state, losses = jax.lax.scan(lambda s, i: step(s, rows[i]), state, batches)
        if whole < len(rows):
            state, _ = step(state, rows[order[whole:]])
        return state, losses.mean()

    glorot, dims = jax.nn.initializers.glorot_uniform(), widths(half)
    key, *keys = jax.random.split(jax.random.key(0), len(dims))
    shapes = pairwise(dims)
    weights = [(glorot(k, s), jnp.zeros(s[1])) for k, s in zip(keys, shapes, strict=True)]
    mean, square = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    state, rows = (weights, mean, square, jnp.zeros(())), jnp.asarray(x)
    compiled = jax.jit(whole_epoch, donate_argnums=0)

    def epoch():
        nonlocal state, key
        key, drawn = jax.random.split(key)
        state, loss = jax.block_until_ready(compiled(state, drawn, rows))
        return float(loss)

    return loop_trainer(epoch), lambda rows: np.asarray(forward(state[0], rows))


def tensorflow_loop(half, batch_size, x, jit=True):
    """A loop over the steps in one function; with XLA Adam is written out, without it is one operation."""
    import tensorflow as tf

    tf.random.set_seed(0)
    glorot = tf.keras.initializers.GlorotUniform(seed=0)
    shapes = list(pairwise(widths(half)))
    layers = [(tf.Variable(glorot(s)), tf.Variable(tf.zeros(s[1]))) for s in shapes]
    weights = [weight for layer in layers for weight in layer]
    means, squares = ([tf.Variable(tf.zeros_like(w)) for w in weights] for _ in range(2))
    count, rows = tf.Variable(0.0), tf.constant(x)

    def forward(h):
        for kernel, bias in layers[:-1]:
            h = tf.tanh(tf.nn.bias_add(h @ kernel, bias))
        return tf.nn.bias_add(h @ layers[-1][0], layers[-1][1])

    def step(batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.math.squared_difference(forward(batch), batch))
        count.assign_add(1.0)
        powers = 0.9**count, 0.999**count
        slopes = tape.gradient(loss, weights)
        for w, m, v, g in zip(weights, means, squares, slopes, strict=True):
            if jit:
                m.assign(0.9 * m + 0.1 * g)
                v.assign(0.999 * v + 0.001 * g * g)
                rate = RATE * tf.sqrt(1 - powers[1]) / (1 - powers[0])
                w.assign_sub(rate * m / (tf.sqrt(v) + EPSILON))
            else:
                tf.raw_ops.ResourceApplyAdam(
                    var=w.handle, m=m.handle, v=v.handle, beta1_power=powers[0],
                    beta2_power=powers[1], lr=RATE, beta1=0.9, beta2=0.999, epsilon=EPSILON, grad=g,
                )  # fmt: skip
        return loss

    @tf.function(autograph=False, jit_compile=jit)
    def run(order):
        def body(i, total):
            index = tf.slice(order, [i * batch_size], [batch_size])
            return i + 1, total + step(tf.gather(rows, index))

        whole = len(x) // batch_size
        start = tf.constant(0), tf.constant(0.0)
        loop = tf.while_loop(lambda i, _: i < whole, body, start, parallel_iterations=1)
        if len(x) % batch_size:
            step(tf.gather(rows, order[whole * batch_size :]))
        return loop[1] / whole

    def epoch():
        return float(run(tf.random.shuffle(tf.range(len(x)))))

    return loop_trainer(epoch), lambda rows: forward(tf.constant(rows)).numpy()


def tensorflow_operations(half, batch_size, x):
    return tensorflow_loop(half, batch_size, x, jit=False)


def products(half, batch_size, x):
    """The matrix products of an epoch and nothing else, by NumPy into arrays that are kept."""
    draw = np.random.default_rng(0).standard_normal
    dims = widths(half)
    kernels = [draw(s, dtype="float32") for s in pairwise(dims)]
    slopes = [np.empty_like(kernel) for kernel in kernels]
    values = [draw((batch_size, width), dtype="float32") for width in dims]
    results = [np.empty_like(value) for value in values]

    def epoch():
        for i in range(0, len(x), batch_size):
            first = x[i : i + batch_size]
            inputs = [first, *(value[: len(first)] for value in values[1:])]
            outputs = [result[: len(first)] for result in results]
            for layer, kernel in enumerate(kernels):
                np.matmul(inputs[layer], kernel, out=outputs[layer + 1])
                np.matmul(inputs[layer].T, inputs[layer + 1], out=slopes[layer])
                if layer:
                    np.matmul(inputs[layer + 1], kernel.T, out=outputs[layer])

    return loop_trainer(epoch), None


def h2o_estimator(half, batch_size, x):
    """H2O's own autoencoder: another optimizer, ADADELTA, and rows in batches of its own."""
    import h2o
    from h2o.estimators import H2OAutoEncoderEstimator

    h2o.init(log_level="ERRR")
    h2o.no_progress()
    frame, model = h2o.H2OFrame(x), None

    def train(epochs):
        nonlocal model
        model = H2OAutoEncoderEstimator(
            activation="Tanh", hidden=widths(half)[1:-1], epochs=epochs, ignore_const_cols=False
        )
        model.train(x=frame.columns, training_frame=frame)
        return [time.perf_counter()]

    def reconstruct(rows):
        return model.predict(frame[: len(rows), :]).as_data_frame().to_numpy("float32")

    return train, reconstruct


MAKERS = {
    "kerasae": (kerasae_fit, {"KERAS_BACKEND": "tensorflow"}),
    "kerasae JAX": (kerasae_fit, {"KERAS_BACKEND": "jax"}),
    "Keras": (stock_keras, {"KERAS_BACKEND": "tensorflow"}),
    "Keras tuned": (tuned_keras, {"KERAS_BACKEND": "tensorflow"}),
    "PyTorch": (torch_loop, {}),
    "PyTorch compiled": (compiled_torch, {}),
    "JAX scan": (jax_scan, {}),
    "TensorFlow loop": (tensorflow_loop, {}),
    "TensorFlow loop, no XLA": (tensorflow_operations, {}),
    "products": (products, {}),
    "H2O": (h2o_estimator, {}),
}


def megabytes():
    """The most memory that this process has had."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main():
    name, half, batch_size = sys.argv[1:]
    # What libraries print must not mix with the replies.
    replies, sys.stdout = sys.stdout, sys.stderr
    x, (make, _) = load_rows(), MAKERS[name]
    train, reconstruct = make([int(width) for width in half.split(",")], int(batch_size), x)
    print(json.dumps({"megabytes": megabytes()}), file=replies, flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        ends = [end - started for end in train(json.loads(line))]
        wall = time.perf_counter() - started
        print(json.dumps({"ends": ends, "wall": wall}), file=replies, flush=True)
    peak, rows = megabytes(), x[:10_000]
    mse = float(np.mean((reconstruct(rows) - rows) ** 2)) if reconstruct else None
    print(json.dumps({"megabytes": peak, "mse": mse}), file=replies, flush=True)


if __name__ == "__main__":
    main()
