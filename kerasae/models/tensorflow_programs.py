"""The programs of `Programs` on TensorFlow, whose state is in variables."""

from typing import Any

from kerasae.models.chunks import Chunk, each
from kerasae.models.programs import Programs


class TensorFlowPrograms(Programs):
    """Loops of TensorFlow, which XLA may compile."""

    xla_failed = False

    def forget(self) -> None:
        """Drops the programs, whose constants have changed."""
        super().forget()
        self.xla_failed = False

    def _run(self, kind, chunk, where, rest, xla):
        import tensorflow as tf

        logs, size = {}, chunk.batch_size
        for first, end, rows in ((*where, size), (where[1], where[1] + rest, rest)):
            if end <= first:
                continue
            # A short last batch is one step an epoch: not worth another run of the compiler.
            jit = self._model.jit_compile or (xla and rows == size and not self.xla_failed)
            try:
                program = self._program(loop_of, kind, chunk, bool(jit))
                logs = program(chunk, first, end, rows)
            except tf.errors.OpError:
                if not jit or self._model.jit_compile:
                    raise
                # Some layer has an operation that XLA does not know; no step was taken.
                self.xla_failed = True
                program = self._program(loop_of, kind, chunk, False)
                logs = program(chunk, first, end, rows)
        return logs


def loop_of(step: Any, batch_of: Any, jit_compile: bool) -> Any:
    """Compiles a loop over the steps of a chunk.

    Args:
        step: A model's `train_step` or `test_step`.
        batch_of: Function from the parts of a batch to what the step takes.
        jit_compile: Whether XLA compiles it.

    Returns:
        Function of a chunk, its first row and the last, in its order, and the rows of a step, to
        the logs of the last step.
    """
    import tensorflow as tf

    # Fits on other numbers of rows take the same loop, but those that XLA compiles for each.
    @tf.function(autograph=False, jit_compile=jit_compile, reduce_retracing=True)
    def loop(parts, order, first, end, size):
        one_step = tf.function(step, autograph=False)
        length = size if isinstance(size, int) else None
        specs = each(lambda part: tf.TensorSpec((length, *part.shape[1:]), part.dtype), parts)
        outputs = one_step.get_concrete_function(batch_of(specs)).structured_outputs
        logs = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), outputs)

        def body(row, _):
            index = tf.slice(order, [row], [size])
            return row + size, one_step(batch_of(each(lambda part: tf.gather(part, index), parts)))

        # One iteration after the other: each reads the weights that the last one wrote. Of the row
        # itself, as XLA would compile a loop for each value that a slice is computed from.
        start = first, logs
        return tf.while_loop(lambda row, _: row < end, body, start, parallel_iterations=1)[1]

    def program(chunk: Chunk, first: int, end: int, size: int) -> Any:
        # As tensors: a Python number would be compiled into a loop of its own. XLA has to know the
        # rows of a step.
        where = tf.constant(first), tf.constant(end)
        return loop(chunk.parts, chunk.order, *where, size if jit_compile else tf.constant(size))

    return program
