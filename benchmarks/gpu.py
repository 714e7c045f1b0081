"""Seconds an epoch on an accelerator: kerasae on JAX, a bare JAX scan, PyTorch step by step, and a CUDA graph.

    python benchmarks/gpu.py [--cases 784-100:128:float32 784-1000-500-250-30:8192:bfloat16] [--epochs 10]

A case gives the columns and the encoder's widths, which the decoder mirrors, the rows of a batch, and the type
of the products: with bfloat16 the weights stay in float32. Rows are random. All train by Adam on the mean
squared error, in an order that is new in each epoch; the scan and PyTorch leave the short last batch out. Each
runs in a process of its own. The first epoch holds what is compiled. The products of an epoch are three times
those of a forward pass, less the gradient of the rows, which is not needed; the rate of products is that of
square matrices, in one program. Needs JAX with the accelerator's plugin and PyTorch with CUDA. Without CUDA,
PyTorch's two are skipped; on a processor, `--cases 64-32:128:float32 --rows 4096 --size 512` shows that it works.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import results

RATE, EPSILON = 1e-4, 1e-7
CASES = [
    *("784-100:128:float32", "784-300-100:128:float32", "784-1000-500-250-30:128:float32"),
    *(f"784-1000-500-250-30:{batch}:bfloat16" for batch in (512, 8192)),
    "8192-8192-8192:8192:bfloat16",
]
SKIPPED = 3  # the status of a contender that this machine has not what it needs for


def widths(layout):
    """The widths of all layers, the rows' own first and last."""
    columns, *half = map(int, layout.split("-"))
    return [columns, *half, *half[-2::-1], columns]


def operations(layout, rows):
    """Operations of the products of an epoch."""
    products = [a * b for a, b in pairwise(widths(layout))]
    return 2 * rows * (3 * sum(products) - products[0])


def kerasae_fit(dims, x, batch_size, dtype, epochs):
    os.environ["KERAS_BACKEND"] = "jax"
    import keras
    from contenders import fit_trainer

    import kerasae

    if dtype == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    half = tuple(dims[1 : len(dims) // 2 + 1])
    model = kerasae.stacked_autoencoder((dims[0],), half, scaler=None)
    model.compile(keras.optimizers.Adam(RATE))
    return fit_trainer(model, x, (), batch_size)[0](epochs)


def scan_of(dims, rows, batch_size, dtype):
    """An epoch as one scan, a function of rows, state and key, and the state it begins with."""
    import jax
    import jax.numpy as jnp
    from contenders import jax_step

    glorot = jax.nn.initializers.glorot_uniform()
    keys, shapes = jax.random.split(jax.random.key(1), len(dims) - 1), pairwise(dims)
    weights = [(glorot(k, s), jnp.zeros(s[1])) for k, s in zip(keys, shapes, strict=True)]
    steps = rows // batch_size

    _, step = jax_step(dtype, RATE)

    @jax.jit
    def epoch(x, state, key):
        order = jax.random.permutation(key, rows)[: steps * batch_size]
        batches = order.reshape(steps, batch_size)
        return jax.lax.scan(lambda state, index: step(state, x[index]), state, batches)

    mean, square = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return epoch, (weights, mean, square, jnp.zeros(()))


def jax_scan(dims, x, batch_size, dtype, epochs):
    import jax
    import jax.numpy as jnp

    epoch, state = scan_of(dims, len(x), batch_size, dtype)
    rows, ends = jnp.asarray(x), []
    for drawn in jax.random.split(jax.random.key(0), epochs):
        state, losses = epoch(rows, state, drawn)
        float(losses.mean())  # waits for the device
        ends.append(time.perf_counter())
    return ends


def torch_loop(dims, x, batch_size, dtype, epochs, *, graph=False):
    import torch

    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device", file=sys.stderr)
        sys.exit(SKIPPED)
    torch.backends.cuda.matmul.allow_tf32 = True
    layers = [layer for s in pairwise(dims) for layer in (torch.nn.Linear(*s), torch.nn.Tanh())]
    model = torch.nn.Sequential(*layers[:-1]).cuda()
    rows = torch.from_numpy(x).cuda()
    adam = torch.optim.Adam(model.parameters(), RATE, eps=EPSILON, fused=True, capturable=True)

    def step(batch):
        adam.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=dtype == "bfloat16"):
            output = model(batch)
        loss = torch.nn.functional.mse_loss(output.float(), batch)
        loss.backward()
        adam.step()
        return loss.detach()

    train = _as_graph(step, rows[:batch_size].clone()) if graph else step
    ends = []
    for _ in range(epochs):
        order, total = torch.randperm(len(x), device="cuda"), torch.zeros((), device="cuda")
        for first in range(0, len(x) - batch_size + 1, batch_size):
            total += train(rows[order[first : first + batch_size]])
        float(total)
        ends.append(time.perf_counter())
    return ends


def _as_graph(step, batch):
    """The step, recorded once and replayed for each batch."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(batch)

    def replay(given):
        batch.copy_(given)
        graph.replay()
        return loss

    return replay


def cuda_graph(*arguments):
    return torch_loop(*arguments, graph=True)


def product_rate(size, dtype, repeats=20):
    """Operations a second of square products, one after the other in one program."""
    import jax
    from jax import numpy as jnp

    a = jax.random.normal(jax.random.key(0), (size, size), dtype)

    @jax.jit
    def run(a):
        return jax.lax.fori_loop(
            0, repeats, lambda _, b: (a @ b) / jnp.sqrt(a.shape[0]).astype(dtype), a
        )

    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        run(a).block_until_ready()
        seconds.append(time.perf_counter() - started)
    return {
        "device": jax.devices()[0].device_kind,
        "rate": repeats * 2 * size**3 / min(seconds[1:]),
    }


CONTENDERS = {
    "kerasae": kerasae_fit,
    "JAX scan": jax_scan,
    "PyTorch": torch_loop,
    "PyTorch, CUDA graph": cuda_graph,
}


def one(name, layout, *numbers):
    """Runs one contender in this process and writes the seconds of its epochs."""
    batch_size, dtype, rows, epochs = numbers
    if name == "products":
        return print(json.dumps(product_rate(int(batch_size), dtype)))
    dims = widths(layout)
    x = np.random.default_rng(0).standard_normal((int(rows), dims[0]), "float32")
    started = time.perf_counter()
    ends = CONTENDERS[name](dims, x, int(batch_size), dtype, int(epochs))
    print(json.dumps([end - start for start, end in pairwise([started, *ends])]))


def apart(*arguments):
    """What a contender writes, run in a process of its own, or why it was skipped."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == SKIPPED:
        return done.stderr.strip().splitlines()[-1]
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def measured(case, settings):
    """The row of a case: seconds of each contender's first epoch and of the others."""
    layout, batch, dtype = case.split(":")
    products = apart("products", layout, settings.size, dtype, 0, 0)
    row = {"layout": layout, "batch": int(batch), "type": dtype, "device": products["device"]}
    row["TFLOP/s of products"] = products["rate"] / 1e12
    for name in CONTENDERS:
        seconds = apart(name, layout, batch, dtype, settings.rows, settings.epochs)
        if isinstance(seconds, str):
            print(f"{case} {name}: skipped, {seconds}", flush=True)
            row[name] = {"skipped": seconds}
            continue
        median = statistics.median(seconds[1:])
        rate = operations(layout, settings.rows) / median
        print(
            f"{case} {name}: first {seconds[0]:.2f} s, then {median:.4f} s an epoch, "
            f"{rate / 1e12:.3g} TFLOP/s, {rate / products['rate']:.1%} of the products'",
            flush=True,
        )
        row[name] = {"first": seconds[0], "seconds": seconds[1:], "median": median}
    return row


def main():
    if sys.argv[1:2] == ["--one"]:
        return one(*sys.argv[2:])
    parser = results.parser(__doc__, "gpu")
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--size", type=int, default=8192, help="Of the products' matrices.")
    settings = parser.parse_args()
    if settings.epochs < 2:
        parser.error("--epochs must be at least 2: the first compiles")
    results.write(settings.output, [measured(case, settings) for case in settings.cases])


if __name__ == "__main__":
    main()
