"""Which columns make a row an anomaly."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasae.anomaly.worst_columns import cells_of
from kerasae.datasets.reading import by_piece

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


class Explanation(NamedTuple):
    """The results of `explain`, one entry a row.

    Attributes:
        anomaly_score: float32, (rows,): the sum of the next two.
        within: float32, (rows,): how little the columns of a row fit together.
        between: float32, (rows,): how far it is from the rows in the memory.
        contributions: float32, (rows, *row_shape): what each column adds to the score. They are at
            least 0, and their sum is the score.
        expected: float32, (rows, *row_shape), or cells of a table as objects: what the model takes
            the row for once it trusts its values little, in the user's units. Above or below it
            says in which direction a value is odd.
    """

    anomaly_score: np.ndarray
    within: np.ndarray
    between: np.ndarray
    contributions: np.ndarray
    expected: np.ndarray

    def worst(self, row: int, count: int = 3, columns: Sequence[str] | None = None) -> list[tuple]:
        """The columns that add most to the score of a row.

        Args:
            row: Number of the row.
            count: How many columns.
            columns: Their names, or None for their numbers.

        Returns:
            Tuples (column, share of the score, expected value), the largest share first.
        """
        added = self.contributions[row].ravel()
        shares = added / max(float(added.sum()), 1e-30)
        first = np.argsort(-added, kind="stable")[:count]
        named = first.tolist() if columns is None else [columns[i] for i in first]
        expected = self.expected[row].ravel()
        pairs = zip(named, first, strict=True)
        return [(name, float(shares[i]), expected[i : i + 1].tolist()[0]) for name, i in pairs]


@by_piece
def explain(
    model: "Autoencoder", x: Any, *, batch_size: int | None = None, verbose: int | str = 0
) -> Explanation:
    """What each column adds to the anomaly scores of rows.

    Args:
        model: The `model` of a `Detector`, or one that was calibrated with `parts`.
        x: Rows in the user's units, shape (rows, *row_shape), or a dataset of batches of rows.
        batch_size: Rows a step; by default 4096 of up to 64 values, 256 of others.
        verbose: 1, or "auto", for a progress bar.

    Returns:
        `Explanation`.

    Raises:
        ValueError: The model has no calibration with parts, or the rows do not fit.

    Example:
        >>> import kerasae
        >>> x = np.random.default_rng(0).normal(size=(300, 4))
        >>> model = kerasae.anomaly.Detector(steps=100).fit(x, verbose=0).model
        >>> found = explain(model, [[0.0, 0.0, 9.0, 0.0]])
        >>> int(found.contributions[0].argmax())
        2
        >>> bool(np.isclose(found.contributions.sum(), found.anomaly_score[0], rtol=1e-5))
        True
    """
    if not model._is_calibrated() or model.anomaly.parts is None:
        model._check_weights()
        raise ValueError(
            "the model must be calibrated with parts to explain scores by column. "
            f"Received: {model.name}, without them. Try kerasae.anomaly.Detector().fit(rows).model"
        )
    rows = model._checked_rows(x, "x")
    outputs = model._streams.run(
        f"explain {model.anomaly.version}",
        model._explanations,
        rows,
        batch_size=batch_size,
        verbose=verbose,
    )
    outputs["expected"] = cells_of(model, outputs["expected"])
    return Explanation(**outputs)
