"""Kernels of a training step on an H200, kerasae on JAX beside the bare scan, compiled without a GPU.

    pip install 'jax[cuda12]'
    KERAS_BACKEND=jax python benchmarks/gpu_kernels.py [--cases 784-100:128:float32]

Time on an accelerator with small batches goes by how many kernels a step starts. XLA compiles for a GPU that it
is given a description of, and that need not be there: the kernels of the innermost loop of an epoch are counted in
what it compiles. It does not try kernels out then, so that the seconds to compile say nothing of a GPU. Cases are
those of `gpu.py`.
"""

import os
import re
import time
from collections import Counter
from functools import partial

import gpu
import numpy as np
import results

# Of an NVIDIA H200, as the compiler wants it.
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 151397597184 device_address_bits: 64 pcie_bandwidth: 34359738368
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  name: "NVIDIA H200 141GB HBM3e" driver_version: "13.0.0" runtime_version: "12.8.0"
  compile_time_toolkit_version: "12.8.0" dnn_version: "9.10.0" cub_version: "3.1.2"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200 141GB HBM3e"
"""
# What the device does nothing for.
FREE = "parameter", "get-tuple-element", "tuple", "constant", "bitcast"


def scan(dims, rows, batch_size, dtype):
    """The bare scan's epoch and its arguments."""
    import jax

    epoch, state = gpu.scan_of(dims, rows, batch_size, dtype)
    return epoch, (blank((rows, dims[0])), state, jax.random.key(0))


def kerasae_loop(dims, rows, batch_size, dtype):
    """The whole batches of an epoch of kerasae and their arguments."""
    import keras

    import kerasae
    from kerasae.models import jax_programs, programs
    from kerasae.models.scaled_outputs import scaled_outputs

    programs.on_processor = lambda: False
    keras.config.set_dtype_policy("mixed_bfloat16" if dtype == "bfloat16" else "float32")
    half = tuple(dims[1 : len(dims) // 2 + 1])
    model = kerasae.stacked_autoencoder((dims[0],), half, scaler=None)
    model.compile(keras.optimizers.Adam(gpu.RATE))
    model.optimizer.build(model.trainable_variables)
    parts = blank((rows, dims[0])), None, None
    model._build_metrics((parts[0][:2], None, None))
    groups = model.trainable_variables, model.non_trainable_variables
    groups = *groups, model.optimizer.variables, model.metrics_variables
    state = tuple([variable.value for variable in group] for group in groups)
    step, batch_of = scaled_outputs(model.train_step), partial(programs._batch, True)
    one = jax_programs.one_step(step, jax_programs._taken, batch_of)
    block = programs.block_of(rows // batch_size)
    loop = jax_programs.loop_of(one, batch_size, 0, block)
    order = np.zeros(rows, "int32")
    return loop, (state, (parts, order), 0, rows // batch_size // block, False)


def blank(shape):
    """Rows that take no memory: only their shape counts."""
    return np.broadcast_to(np.float32(0), shape)


def compiled(function, arguments):
    """What XLA makes of a function for an H200, as text, and the seconds that it took."""
    import jax
    from jax.experimental import topologies

    target = {"topology": "1x1x1", "target_config": H200}
    described = topologies.get_topology_desc(platform="cuda", topology_name="h200", **target)
    there = jax.sharding.SingleDeviceSharding(described.devices[0])
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=there)  # noqa: E731
    specs = jax.tree.map(lambda x: place(x) if hasattr(x, "shape") else x, arguments)
    lowered = function.trace(*specs).lower(lowering_platforms=("cuda",))
    started = time.perf_counter()
    return lowered.compile().as_text(), time.perf_counter() - started


def kernels(text):
    """The kernels of the innermost loop by kind: it is the one that has the most."""
    bodies, lines = {}, []
    for line in text.splitlines():
        if found := re.match(r"(?:ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{", line):
            bodies[found[1]] = lines = []
        elif found := re.search(r" = .*? ([\w\-]+)\(", line):
            kind = re.search(r"kind=k(\w+)", line)
            lines += [] if found[1] in FREE else [f"{found[1]} {kind[1]}" if kind else found[1]]
    loops = re.findall(r" while\(.*?body=%?([\w.\-]+)", text)
    return max((Counter(bodies[loop]) for loop in loops), key=Counter.total)


def main():
    parser = results.parser(__doc__, "gpu_kernels")
    parser.add_argument("--cases", nargs="+", default=gpu.CASES)
    parser.add_argument("--rows", type=int, default=60_000)
    settings, rows = parser.parse_args(), []
    # Values are on the processor; the plugin is not to ask a GPU for its driver.
    os.environ.update(JAX_PLATFORMS="cpu", JAX_SKIP_CUDA_CONSTRAINTS_CHECK="1")
    for case in settings.cases:
        layout, batch, dtype = case.split(":")
        row = {"layout": layout, "batch": int(batch), "type": dtype}
        for name, make in (("kerasae", kerasae_loop), ("JAX scan", scan)):
            text, seconds = compiled(*make(gpu.widths(layout), settings.rows, int(batch), dtype))
            found = kernels(text)
            print(f"{case} {name}: {found.total()} kernels a step, {dict(found)}", flush=True)
            row[name] = {"kernels": found.total(), "by kind": found, "seconds to compile": seconds}
        rows.append(row)
    results.write(settings.output, rows)


if __name__ == "__main__":
    main()
