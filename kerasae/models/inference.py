"""Functions of a model's tensors over rows of any number."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasae.models.programs import ONE_AT_A_TIME, quiet_tracing
from kerasae.models.streams import is_checked, plain_errors
from kerasae.validation import check_count, is_array

SMALL = 64  # values of a row


class Streams:
    """Runs functions of one model batch by batch, each compiled once.

    It is a plain object, so that Keras does not save the compiled functions as parts of the model.

    Args:
        model: The model whose weights the functions use.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._compiled: dict[str, RowFunction] = {}

    def forget(self, *names: str) -> None:
        """Drops compiled functions whose constants have changed, all of them without a name.

        Args:
            *names: The first word of the name of each function.
        """
        for name in tuple(self._compiled):
            if not names or name.split(" ")[0] in names:
                self._compiled.pop(name, None)

    def run(
        self,
        name: str,
        function: Callable[..., Any],
        x: Any,
        *,
        batch_size: int | None = None,
        verbose: int | str = 0,
        seed: int | None = None,
    ) -> Any:
        """Applies a function to rows.

        Args:
            name: What the compiled function is kept under; one name always means one function.
            function: From a tensor of rows to a tensor, or a dict of tensors, batch first.
            x: Rows as an array, or a dataset of batches of rows.
            batch_size: Rows a step; a dataset brings its own.
            verbose: 1, or "auto", for a progress bar.
            seed: Integer, for a function that draws: it is given a `SeedGenerator` that starts from
                there as its second argument.

        Returns:
            The outputs of the function, as NumPy arrays over all rows.

        Raises:
            ValueError: `batch_size` is not a whole number of at least 1, or weights are not finite.
        """
        batch_size = _rows_a_step(x) if batch_size is None else batch_size
        check_count("batch_size", batch_size)
        self._model._check_weights()
        self._model._follow_scaler()
        options = {"batch_size": int(batch_size), "verbose": verbose, "seed": seed}
        return self._run(name, function, x, **options)

    def _run(self, name, function, x, *, batch_size, verbose, seed):
        if name not in self._compiled:
            self._compiled[name] = RowFunction(self._model, function, seed)
        compiled = self._compiled[name]
        if seed is not None:
            compiled.start_from(seed)
        with quiet_tracing():
            if is_array(x):
                return compiled.over_rows(np.asarray(x), batch_size, verbose)
            with plain_errors(compiled), ONE_AT_A_TIME:
                outputs = compiled.predict(x, verbose=verbose)
        if not is_checked(x):
            keras.tree.map_structure(_check_outputs, outputs)
        return outputs


def _rows_a_step(x):
    """As many rows as keep both small rows and a processor's caches busy."""
    small = getattr(x, "ndim", 0) == 2 and x.shape[1] <= SMALL
    return 4096 if small else 256


def _check_outputs(outputs):
    if outputs.dtype.kind == "f" and np.isnan(outputs).any():
        row = np.argwhere(np.isnan(outputs))[0][0]
        raise ValueError(
            f"x must hold finite numbers. Received: a row whose output is NaN, the first row {row}"
        )


class RowFunction(keras.Model):
    """A function as a model of its own, so that `predict` compiles it on any backend."""

    def __init__(self, model: Any, function: Callable[..., Any], seed: int | None = None) -> None:
        super().__init__(dtype="float32", autocast=False)
        self.model = model
        self.function = function
        self.seed_generator: Any = None if seed is None else keras.random.SeedGenerator(seed)
        self._compiled_on_jax: Any = None
        self.built = True

    def start_from(self, seed: int) -> None:
        """Draws what a new model with that seed would draw."""
        self.seed_generator.state.assign(keras.random.SeedGenerator(seed).state)

    def over_rows(self, x: np.ndarray, batch_size: int, verbose: int | str) -> Any:
        """The outputs, as of `predict`, in arrays that are made once and filled.

        Keras's own keeps all batches until it joins them, and compiles anew for a short last one.
        Here the last one reaches back instead, for as many rows as the others have.
        """
        size = min(batch_size, len(x))
        starts = [*range(0, len(x) - size, size), len(x) - size]
        outputs_of = self._on_jax() if keras.backend.backend() == "jax" else self.predict_on_batch
        progress = keras.utils.Progbar(
            len(starts), verbose=1 if verbose == "auto" else verbose, unit_name="step"
        )
        for start in starts:
            output = outputs_of(x[start : start + size])
            if not start:
                whole = keras.tree.map_structure(
                    lambda part: np.empty((len(x), *part.shape[1:]), part.dtype), output
                )
            for rows, part in zip(*map(keras.tree.flatten, (whole, output)), strict=True):
                rows[start : start + size] = part
            progress.add(1)
        return whole

    def _on_jax(self):
        """`predict_on_batch` that leaves the weights where they are, for other threads."""
        if self._compiled_on_jax is None:
            import jax

            self._compiled_on_jax = jax.jit(self.stateless_call)
        drawing = [] if self.seed_generator is None else [self.seed_generator.state]
        with ONE_AT_A_TIME:
            weights = [variable.value for variable in self.trainable_variables]
            others = {id(variable): variable.value for variable in self.non_trainable_variables}

        def outputs_of(rows):
            outputs, state = self._compiled_on_jax(weights, list(others.values()), rows)
            others.update(zip(others, state, strict=True))
            for variable in drawing:
                variable.assign(others[id(variable)])
            return outputs

        return outputs_of

    def call(self, inputs):
        drawn = () if self.seed_generator is None else (self.seed_generator,)
        return self.function(inputs, *drawn)
