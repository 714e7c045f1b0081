"""The programs of `Programs` on JAX, through which the state goes."""

import math
import threading
from collections.abc import Callable
from typing import Any

from kerasae.models.chunks import each, on_processor
from kerasae.models.programs import Programs, block_of
from kerasae.models.xla import convolves

# Rows times weights of a short last batch up to which no kernels are tried out for it on a GPU,
# which takes most of the compiler's time: on an H200, 1.4 s and then 1.9 ms a step of 2,656 rows of
# 1000-500-250-30, against 11.5 s and 1.5 ms. With 90 times the weights it took a third of a second.
UNTUNED = 2e10


class JaxPrograms(Programs):
    """Loops that JAX compiles. The state is not donated: other threads may use these weights."""

    def _run(self, kind, chunk, where, rest, xla):
        model = self._model
        groups = [model.trainable_variables, model.non_trainable_variables]
        groups += [model.optimizer.variables] if kind == "train" else []
        groups += [model.metrics_variables]
        state = tuple([variable.value for variable in group] for group in groups)
        logs, state = self._make(kind, chunk, where)(state, chunk, *where, bool(rest))
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return logs

    def _make(self, kind, chunk, where):
        make = _by_steps if convolves(self._model) else _by_loop
        block = block_of(chunk.rows // chunk.batch_size)
        if any(row % (block * chunk.batch_size) for row in where):  # steps that were asked for
            block = block_of(math.gcd(*where) // chunk.batch_size)
        short = chunk.rest, chunk.rest * self._model.count_params() < UNTUNED
        return self._program(make, kind, chunk, chunk.batch_size, short, block)


def loop_of(one: Callable[..., Any], size: int, rest: int, block: int, shardings: Any = None):
    """Compiles a loop over the steps of a chunk.

    Args:
        one: Function of the state, the rows, the first row and the number of rows of a step, to the
            new state and the logs.
        size: Rows of a step.
        rest: Rows of a short last step that the loop ends with where its last argument is true, or
            0 for none.
        block: Steps whose number the compiler knows.
        shardings: How the outputs lie over several devices.

    Returns:
        Function of the state, the rows, the first row, the number of blocks and whether the short
        step follows, to the state and the logs of the last step.
    """
    import jax

    def loop(state, rows, first, blocks, ends):
        def run_block(i, carry):
            row = first + i * block * size
            take = lambda j, carry: one(carry[0], rows, row + j * size, size)  # noqa: E731
            return jax.lax.fori_loop(0, block, take, carry)

        first = jax.numpy.asarray(first, "int32")
        _, logs = jax.eval_shape(lambda: one(state, rows, first, size))
        logs = jax.tree.map(lambda spec: jax.numpy.zeros(spec.shape, spec.dtype), logs)
        carry = jax.lax.fori_loop(0, blocks, run_block, (state, logs))
        if rest:
            end = first + blocks * block * size
            last = lambda carry: one(carry[0], rows, end, rest)  # noqa: E731
            carry = jax.lax.cond(ends, last, lambda carry: carry, carry)
        return carry

    return jax.jit(loop) if shardings is None else jax.jit(loop, out_shardings=shardings)


def one_step(step: Callable[..., Any], take: Callable[..., Any], batch_of: Any) -> Any:
    """Function of state, rows, first row and number of rows, to the new state and the logs."""
    import jax

    def one(state, rows, row, size):
        logs, new_state = step(state, batch_of(take(rows, row, size)))
        return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(new_state)), logs

    # Traced once for all places of a program that take it.
    return jax.jit(one, static_argnums=3, inline=True)


def _by_loop(step, batch_of, size, short_batch, block):
    import jax

    rest_size, quick = short_batch
    one = one_step(step, _taken, batch_of)
    # On a processor one program takes the short last batch, too. Elsewhere that one step an epoch
    # is a program of its own.
    within = on_processor()
    loop = loop_of(one, size, rest_size if within else 0, block)
    untuned = {"xla_gpu_autotune_level": 0}
    quick = untuned if quick and jax.default_backend() == "gpu" else None
    short = jax.jit(one, static_argnums=3, compiler_options=quick)
    compiling: list[threading.Thread] = []

    def program(state, chunk, first, end, rest):
        state, rows = _committed(state, chunk)
        blocks, apart = (end - first) // (block * size), rest and not within
        if rest_size and not within and not compiling:  # beside the loop; the call below finds it
            compile_it = short.lower(state, rows, end, rest_size).compile
            compiling.append(threading.Thread(target=compile_it))
            compiling[0].start()
        logs = None
        if blocks or not apart:
            state, logs = loop(state, rows, first, blocks, rest)
        if apart:
            compiling[0].join()
            state, logs = short(state, rows, end, rest_size)
        return logs, state

    return program


def _by_steps(step, batch_of, size, short_batch, _):
    one = one_step(step, _taken, batch_of)

    def program(state, chunk, first, end, rest):
        state, rows = _committed(state, chunk)
        for row in range(first, end, size):
            state, logs = one(state, rows, row, size)
        if rest:
            state, logs = one(state, rows, end, short_batch[0])
        return logs, state

    return program


def _taken(rows, row, size):
    """The parts of a batch."""
    import jax

    parts, order = rows
    index = jax.lax.dynamic_slice_in_dim(order, row, size)
    return each(lambda part: jax.numpy.take(part, index, axis=0, mode="clip"), parts)


def _committed(state, chunk):
    """State and rows, all bound to the device: JAX compiles anew where that changes."""
    import jax

    device = jax.local_devices()[0]
    bound = lambda value: value if value.committed else jax.device_put(value, device)  # noqa: E731
    return jax.tree.map(bound, (state, (chunk.parts, chunk.order)))
