"""Series in the command: steps from a table, windows to train on, and scores of each step."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasae.cli.tables import verbosity, write_table
from kerasae.cli.terminal import console, show_path
from kerasae.datasets import Data, files
from kerasae.series import Windows, windows
from kerasae.validation import as_rows, check_count

# Bytes that the windows to train on may take; more of them begin further apart.
MOST = 2**29


class Steps(NamedTuple):
    """The steps of one or many series.

    Attributes:
        x: Array of shape (steps, channels).
        times: Time of each step, or None.
        groups: Series of each step, or None.
        columns: Names of the channels, or None.
        names: Columns of the times and of the groups by "time" and "group", or None for each; of a
            model also "stride", the steps from one window to the next, or None.
    """

    x: np.ndarray
    times: np.ndarray | None
    groups: np.ndarray | None
    columns: list[str] | None
    names: dict[str, Any]

    def part(self, rows: np.ndarray) -> "Steps":
        """Some of the steps."""
        times, groups = (None if one is None else one[rows] for one in (self.times, self.groups))
        return self._replace(x=self.x[rows], times=times, groups=groups)

    @property
    def numbers(self) -> list[np.ndarray]:
        """The rows of each series, in order."""
        if self.groups is None:
            return [np.arange(len(self.x))]
        codes = np.unique(self.groups, return_inverse=True)[1]
        return [np.flatnonzero(codes == i) for i in range(codes.max() + 1)]


def load_steps(
    data: str,
    time: str | None,
    group: str | None,
    *,
    label: str | None = None,
    key: str | None = None,
    columns: tuple[str, ...] | None = None,
) -> Steps:
    """Reads the steps of series from a table, or from an array without times and groups."""
    apart = [name for name in (time, group, label) if name is not None]
    parts = files.read(Path(data), key, apart or None, columns)
    given = parts.get("y") if apart else None
    if apart and not isinstance(given, dict):
        raise ValueError(
            f"time, group and label must go with a table. Received: {apart[0]} ({data})"
        )
    x = np.asarray(parts["x"])
    x = as_rows(x.reshape(-1, 1) if x.ndim == 1 else x, columns=parts.get("columns"), where=data)
    if x.ndim != 2:
        raise ValueError(
            f"the file must hold steps of channels, (steps, channels). Received: {x.shape} ({data})"
        )
    known: dict[str | None, Any] = {None: None, **(given or {})}
    times, groups = known[time], known[group]
    steps = Steps(x, times, groups, parts.get("columns"), {"time": time, "group": group})
    windows(x, 1, groups=groups, timestamps=times)  # refuses times that do not increase
    return steps


def split(steps: Steps, share: float) -> tuple[Steps, Steps]:
    """The steps to train on, and the last ones of each series, so large a share, to test on."""
    if not 0 <= share < 1:
        raise ValueError(f"test_fraction must lie in [0, 1). Received: test_fraction={share}")
    is_test = np.zeros(len(steps.x), bool)
    for rows in steps.numbers:
        is_test[rows[len(rows) - round(share * len(rows)) :]] = True
    return steps.part(np.flatnonzero(~is_test)), steps.part(np.flatnonzero(is_test))


def as_windows(steps: Steps, length: int, stride: int | None) -> Windows:
    """Windows of steps; without a stride as many as fit into half a gigabyte."""
    check_count("--window", length)
    check_count("--stride", stride)
    cut = windows(steps.x, length, stride or 1, groups=steps.groups)
    if stride is None and cut.nbytes > MOST:
        cut = windows(steps.x, length, -(-cut.nbytes // MOST), groups=steps.groups)
    return cut


def rows_of(steps: Steps, length: int, stride: int | None, share: float) -> tuple[Data, Steps]:
    """Windows as rows to train and to test on, and the steps of the latter."""
    train, test = split(steps, share)
    cut = [as_windows(one, length, stride) for one in (train, test) if len(one.x)]
    is_test = np.repeat([False, True][: len(cut)], [len(one) for one in cut])
    rows = Data(np.concatenate([np.asarray(one) for one in cut]), is_test, columns=steps.columns)
    taken = stride or int(np.diff(cut[0].starts[:2]).sum()) or 1
    return rows, test._replace(names={**test.names, "stride": taken})


def extras(
    autoencoder: Any, steps: Steps, threshold: str, metrics: dict[str, float]
) -> dict[str, Any]:
    """Takes threshold and p-values from steps; what a version of a model of series has besides."""
    from kerasae import series

    if not len(steps.x):
        return {"about": {"series": steps.names}}
    metrics["step_threshold"] = series.calibrate(
        autoencoder, steps.x, threshold, groups=steps.groups
    )
    scores = series.score(autoencoder, steps.x, groups=steps.groups)
    found = series.find_anomalies(scores, groups=steps.groups, columns=steps.columns)
    drawn = picture(steps, scores, found, autoencoder.steps.threshold)
    return {"about": {"series": steps.names}, "plots": {"series": drawn}}


def steps_for(
    model: Path,
    autoencoder: Any,
    data: str,
    *,
    time: str | None,
    group: str | None,
    label: str | None,
    key: str | None,
) -> Steps:
    """Steps for a saved model, with the columns of times and groups that it was trained with."""
    from kerasae.export import read_manifest

    known = read_manifest(model).get("series") or {}
    time, group = time or known.get("time"), group or known.get("group")
    steps = load_steps(data, time, group, label=label, key=key, columns=autoencoder.columns)
    return steps._replace(names={**steps.names, "stride": known.get("stride")})


def windows_for(
    model: Path, autoencoder: Any, data: str, stride: int | None, **apart: str | None
) -> tuple[Windows, dict[str, np.ndarray]]:
    """Windows of a file for a saved model, and where each begins: row, time and group.

    Args:
        model: Path of the saved model.
        autoencoder: The model.
        data: Path of the file.
        stride: Steps from one window to the next, or None for that of the training.
        **apart: Columns of the file that are no channels, as in `steps_for`.

    Returns:
        The windows, and a dict of columns by name, one entry a window.
    """
    steps = steps_for(model, autoencoder, data, **apart)
    pad_value = autoencoder.mask_value
    check_count("--stride", stride)
    cut = windows(
        steps.x,
        autoencoder.row_shape[0],
        stride or steps.names["stride"] or 1,
        groups=steps.groups,
        pad_value=pad_value,
    )
    first = cut.steps[cut.starts]
    # A series shorter than a window ends before the window does, with padding, -1.
    real = np.maximum.accumulate(np.where(cut.steps < 0, 0, np.arange(len(cut.steps))))
    last = cut.steps[real[cut.starts + cut.length - 1]]
    where = {"row": first}
    if steps.times is not None:
        where |= {"time": steps.times[first], "end_time": steps.times[last]}
    return cut, where | ({} if steps.groups is None else {"group": steps.groups[first]})


def picture(steps: Steps, scores: Any, anomalies: list[Any], threshold: float) -> Any:
    """The series with the highest score, with its anomalies."""
    from kerasae import plots

    highest = [np.nanmax(scores.score[rows]) for rows in steps.numbers]
    rows = steps.numbers[int(np.argmax(highest))]
    group = None if steps.groups is None else steps.groups[rows[0]]
    names: list[Any] = list(steps.columns or range(steps.x.shape[1]))
    own = [one for one in anomalies if one.group == group]
    spans = [(one.start, one.end, names.index(one.channel)) for one in own]
    times = None if steps.times is None else steps.times[rows]
    drawable = times is not None and times.dtype.kind in "Mif"
    return plots.step_anomalies(
        steps.x[rows],
        scores.expected[rows],
        scores.score[rows],
        spans,
        threshold,
        timestamps=times if drawable else None,
        columns=steps.columns,
    )


def score_file(
    model: Path,
    autoencoder: Any,
    data: str,
    output: Path,
    *,
    normal: str | None,
    apart: dict[str, str | None],
    threshold: str | None,
    guard: float | None,
    **options: Any,
) -> None:
    """Writes the scores of the steps of a file; see `score_steps` for the options."""
    if guard is not None:
        raise ValueError(f"guard must go with rows of columns. Received: guard={guard}")
    steps = steps_for(model, autoencoder, data, **apart)
    known = None
    if normal is not None:
        known = normal, steps_for(model, autoencoder, normal, **apart)
    elif threshold or not autoencoder.steps.fitted:
        known = data, steps
    score_steps(autoencoder, steps, output, normal=known, threshold=threshold, **options)


def score_steps(
    autoencoder: Any,
    steps: Steps,
    output: Path,
    *,
    normal: tuple[str, Steps] | None,
    threshold: str | None,
    min_duration: int,
    max_gap: int,
    per_feature: bool,
) -> None:
    """Writes the scores of all steps, their anomalies and a picture.

    Args:
        autoencoder: The model.
        steps: The steps.
        output: .csv or .parquet file, with one row a step.
        normal: Name and steps of what to take the threshold from, or None for the model's own.
        threshold: As in `series.calibrate`, or None.
        min_duration: Steps that an anomaly has at least.
        max_gap: Steps between two that become one, at most.
        per_feature: Whether the scores and expected values of each channel are written, too.
    """
    from kerasae import series
    from kerasae.atomic import write_file

    if normal is not None:
        source, known = normal
        series.calibrate(autoencoder, known.x, threshold or "p99", groups=known.groups)
        console.print(
            f"threshold and p-values from the {len(known.x)} steps of {source}", soft_wrap=True
        )
    scores = series.score(autoencoder, steps.x, groups=steps.groups, verbose=verbosity())
    found = series.find_anomalies(
        scores,
        min_duration=min_duration,
        max_gap=max_gap,
        groups=steps.groups,
        timestamps=steps.times,
        columns=steps.columns,
    )
    write_table(_table(steps, scores, found, per_feature), output)
    _print(found)
    count = sum(one.end - one.start for one in found)
    console.print(
        f"{len(found)} anomalies, {count} of {len(steps.x)} steps: {output}", soft_wrap=True
    )
    drawn = picture(steps, scores, found, autoencoder.steps.threshold)
    path = output.with_name(f"{output.stem}-series.png")
    write_file(path, partial(drawn.savefig, dpi=120))
    show_path("picture", path)


def _table(steps, scores, found, per_feature):
    """One row a step; the number of its anomaly is 0 where there is none."""
    names = steps.columns or [f"channel_{i}" for i in range(steps.x.shape[1])]
    table = {"row": np.arange(len(steps.x))}
    table |= {} if steps.times is None else {"time": steps.times}
    table |= {} if steps.groups is None else {"group": steps.groups}
    number = np.zeros(len(steps.x), int)
    rows = {None if steps.groups is None else steps.groups[of[0]]: of for of in steps.numbers}
    for i, one in enumerate(found, start=1):
        number[rows[one.group][one.start : one.end]] = i
    table |= {"score": scores.score, "p_value": scores.p_value, "is_anomaly": number > 0}
    table |= {"anomaly": number}
    table["worst_channel"] = np.array(names)[np.nan_to_num(scores.channel_scores).argmax(axis=1)]
    for i, name in enumerate(names):
        table[f"expected_{name}"] = scores.expected[:, i]
        if per_feature:
            table[f"score_{name}"] = scores.channel_scores[:, i]
    return table


def _print(found):
    """The ten anomalies with the highest scores, as a table."""
    from rich.table import Table

    timed = any(one.start_time is not None for one in found)
    grouped = any(one.group is not None for one in found)
    names = ["group"] * grouped + ["start", "end", "steps", "channel", "score", "p value"]
    table = Table(*names)
    for one in sorted(found, key=lambda one: -one.score)[:10]:
        ends = (one.start_time, one.end_time) if timed else (one.start, one.end - 1)
        cells = [one.group] * grouped + [*ends, one.end - one.start, one.channel]
        table.add_row(*map(str, cells), f"{one.score:.4g}", f"{one.p_value:.4g}")
    console.print(table)
