"""Whether rows still come from where a model's normal rows came from, and what has changed."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerasae.anomaly.reference import Reference, draw, errors_and_codings
from kerasae.anomaly.two_samples import (
    CORRECTIONS,
    adjusted,
    kolmogorov_smirnov,
    maximum_mean_discrepancy,
)
from kerasae.validation import check_count, is_array, unknown

if TYPE_CHECKING:
    from kerasae.models import Autoencoder


class DriftTests(NamedTuple):
    """Kolmogorov-Smirnov tests of some quantities, one entry a quantity.

    Attributes:
        name: Their names.
        statistic: float64, in [0, 1]: largest distance of the two distribution functions.
        p_value: float64: of this test alone.
        adjusted: float64: the p-value, corrected for all tests of the `Drift`.
        before: float64: mean of the reference rows.
        now: float64: mean of the rows that were tested.
    """

    name: np.ndarray
    statistic: np.ndarray
    p_value: np.ndarray
    adjusted: np.ndarray
    before: np.ndarray
    now: np.ndarray


class Drift(NamedTuple):
    """The results of `drift`.

    Attributes:
        is_drift: Whether `p_value` is at most alpha.
        p_value: Of all tests together: twice the lowest of the corrected p-values and
            `mmd_p_value`.
        columns: `DriftTests` of the reconstruction error, then of each column's error.
        codings: `DriftTests` of each of the codings.
        mmd: Maximum mean discrepancy of the codings, squared; about 0 without drift.
        mmd_p_value: Its p-value.
        alpha: The probability of an alarm without drift, at most.
        rows: How many rows were tested.
        reference_rows: With how many they were compared.
    """

    is_drift: bool
    p_value: float
    columns: DriftTests
    codings: DriftTests
    mmd: float
    mmd_p_value: float
    alpha: float
    rows: int
    reference_rows: int

    def drifted(self) -> list[str]:
        """Names of errors and codings that have changed, those that changed most first."""
        both = [np.concatenate(pair) for pair in zip(self.columns, self.codings, strict=True)]
        found = DriftTests(*both)
        changed = np.flatnonzero(found.adjusted <= self.alpha)
        order = np.argsort(-found.statistic[changed], kind="stable")
        return found.name[changed[order]].tolist()


def drift(
    model: "Autoencoder",
    x: Any,
    reference: Any = None,
    *,
    alpha: float = 0.01,
    correction: str = "holm",
    rows: int = 10_000,
    permutations: int = 999,
    seed: int = 0,
    batch_size: int = 256,
) -> Drift:
    """Tests whether rows come from the distribution of the rows that a model was calibrated on.

    The rows are seen with the eyes of the model. Each column's reconstruction error and each of
    the codings is compared by a test of Kolmogorov and Smirnov, all of which are corrected for
    their number, and the codings together by their maximum mean discrepancy. A column whose error
    has changed no longer follows from the others as it did; codings that have changed say that the
    rows are others, though they may be reconstructed as well as before.

    `calibrate` keeps errors and codings of 1,000 rows for it with the model; they are computed
    from data of yours, and go wherever the model goes. Rows that the model was trained on are
    known too well: compare new rows with rows that it was not trained on, too. Rows must not depend
    on each other: neighboring windows of a series do, and give alarms too often.

    Args:
        model: An `Autoencoder` after `calibrate` on rows in memory, or one of any kind where a
            reference is given. Missing cells of a table have the error 0.
        x: Rows or a table, at least 2, or a dataset of batches of rows.
        reference: Rows to compare with instead of those of `calibrate`, or None.
        alpha: Probability of an alarm without drift, at most, in (0, 1).
        correction: "holm", or "benjamini-yekutieli" for more discoveries among many columns; see
            `adjusted`.
        rows: Of more rows in memory than this, as many are drawn, at least 2.
        permutations: For the p-value of the maximum mean discrepancy, at least 1.
        seed: Integer, of draws and permutations: the same rows give the same result.
        batch_size: Rows a step.

    Returns:
        `Drift`.

    Raises:
        ValueError: The model holds no reference and none is given, a single row, an argument that
            cannot be, or rows that do not fit the model.

    Reference: Rabanser, Günnemann and Lipton (2019), Failing loudly: an empirical study of methods
    for detecting dataset shift; Gretton et al. (2012), A kernel two-sample test; Holm (1979), A
    simple sequentially rejective multiple test procedure.

    Example:
        >>> import kerasae
        >>> x = kerasae.datasets.load("digits").x / 16
        >>> model = kerasae.stacked_autoencoder((64,), (8,))
        >>> cutoff = kerasae.anomaly.calibrate(model, x[:900])
        >>> x[900:, 3] = 0.5  # a sensor that has died
        >>> found = drift(model, x[900:])
        >>> found.is_drift, "column_3" in found.drifted()
        (True, True)
    """
    if correction not in CORRECTIONS:
        raise ValueError(unknown("correction", correction, CORRECTIONS))
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1). Received: alpha={alpha}")
    check_count("permutations", permutations)
    if not rows >= 2:
        raise ValueError(f"rows must be at least 2. Received: rows={rows}")
    options = {"rows": int(rows), "seed": seed, "batch_size": batch_size}
    known = _kept(model) if reference is None else _observed(model, reference, "reference", options)
    found = _observed(model, x, "x", options)
    columns, codings = _tests(model, known, found, correction)
    mmd, mmd_p = maximum_mean_discrepancy(known.codings, found.codings, int(permutations), seed)
    lowest = min(columns.adjusted.min(), codings.adjusted.min(), mmd_p)
    p_value = min(1.0, 2 * float(lowest))
    sizes = len(found.errors), len(known.errors)
    return Drift(p_value <= alpha, p_value, columns, codings, mmd, mmd_p, alpha, *sizes)


def _kept(model):
    if not model._is_calibrated() or model.anomaly.reference is None:
        raise ValueError(
            "the model must hold a reference, or one be given. "
            f"Received: {model.name}, which was not calibrated on rows in memory. "
            "Try drift(model, x, reference=rows)"
        )
    return model.anomaly.reference


def _observed(model, x, where, options):
    rows = model._checked_rows(x, where)
    if is_array(rows):
        rows = rows[draw(len(rows), options["rows"], options["seed"])]
    outputs = model._streams.run(
        "drift", lambda x: errors_and_codings(model, x), rows, batch_size=options["batch_size"]
    )
    found = Reference(outputs["errors"], outputs["codings"])
    if len(found.errors) < 2:
        raise ValueError(f"{where} must have at least 2 rows to be compared. Received: 1 row")
    return found


def _tests(model, known, found, correction):
    """The tests of errors and of codings, corrected together."""
    whole = [np.column_stack([one.errors.mean(axis=1), one.errors]) for one in (known, found)]
    names = model.columns if known.errors.shape[1] == len(model.columns or ()) else None
    names = names or [f"column_{i}" for i in range(known.errors.shape[1])]
    codings = [f"codings_{i}" for i in range(1, known.codings.shape[1] + 1)]
    named = ((["reconstruction error", *names], *whole), (codings, known.codings, found.codings))
    tests = [kolmogorov_smirnov(*_with_ties(a, b)) for _, a, b in named]
    corrected = adjusted(np.concatenate([p for _, p in tests]), correction)
    parts = np.split(corrected, [len(tests[0][1])])
    return [
        DriftTests(
            np.array(name, object),
            statistic,
            p,
            part,
            a.mean(axis=0, dtype="float64"),
            b.mean(axis=0, dtype="float64"),
        )
        for (name, a, b), (statistic, p), part in zip(named, tests, parts, strict=True)
    ]


def _with_ties(a, b):
    """Two samples in which values are equal that differ by the rounding of float32 alone.

    Of a constant value each row would else differ between two devices, and be a certain drift.
    """
    sizes = np.median(np.abs(np.concatenate([a, b])), axis=0).astype("float64")
    step = np.maximum(1e-5 * sizes + 1e-6 * np.median(sizes), 1e-30)
    return np.round(a / step), np.round(b / step)
