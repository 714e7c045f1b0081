"""Scores and features of a folder of files, on Ray."""

import logging
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasae.atomic import write_folder
from kerasae.datasets.archives import damaged
from kerasae.engines.scorer import Scorer
from kerasae.models.streams import OWN_MESSAGE
from kerasae.validation import check_count, required

# One thread a worker, so that as many workers as processors do not wait for each other.
WORKER = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
# Rows that a worker is given at once, and bytes of the files that become one task.
BATCH, BLOCK_BYTES = 16_384, 2**25


def score_folder(
    scorer: Scorer,
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    address: str | None = None,
    workers: int | None = None,
) -> int:
    """Scores a folder of Parquet or CSV files by as many processes as there are processors.

    Each process holds the model and works on one thread. The rows come out ordered by the ids of
    the scorer, or in the order of the files and of their rows where it has none. On a cluster, all
    machines must have kerasae installed and see both folders under the same path.

    Args:
        scorer: What to compute, with the model.
        folder: Folder of .parquet or of .csv files, or one such file.
        output: Folder that the Parquet files are written to, which is there whole or not at all.
        address: Address of a cluster of Ray, "auto" for the one that this machine belongs to; by
            default processes of this machine.
        workers: How many processes; by default one a processor of this machine, or all processors
            of the cluster but one.

    Returns:
        The number of rows.

    Raises:
        ValueError: There are no such files, a column is missing, or rows do not fit the model.
        FileExistsError: The output is there already.
        ModuleNotFoundError: Ray is missing.

    Example:
        >>> score_folder(Scorer("saved_models/sales"), "sales/", "scores/")  # doctest: +SKIP
        1000000
    """
    required("ray", "the engine ray", "ray")
    check_count("workers", workers)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray  # noqa: PLC0415

    files = _files(Path(folder))
    output = Path(output).absolute()
    if output.exists():
        raise FileExistsError(f"output must be a new folder. Received: output={str(output)!r}")
    ids = _ids(scorer, units := units_of(files))
    ours = not ray.is_initialized()
    if ours:
        workers = _start(ray, address, workers)
    try:
        dataset = _scored(ray, scorer, units, ids, workers)
        write_folder(
            output.parent, [output.name], lambda partial: dataset.write_parquet(str(partial))
        )
    except ray.exceptions.RayError as error:
        raise _cause(error) from None
    finally:
        if ours:
            ray.shutdown()
    from pyarrow import dataset as written  # noqa: PLC0415

    return int(written.dataset(output, format="parquet").count_rows())


def _files(folder):
    """The files of a folder, in order, all of one format."""
    files = [folder] if folder.is_file() else sorted(folder.rglob("*"))
    files = [one for one in files if one.suffix in (".parquet", ".csv") and one.is_file()]
    files = [one for one in files if not one.name.startswith((".", "_"))]
    if len({one.suffix for one in files}) != 1:
        raise ValueError(
            "folder must hold .parquet files, or .csv files. "
            f"Received: {'both' if files else 'neither'} ({folder})"
        )
    return [str(one.absolute()) for one in files]


def _ids(scorer, units):
    """The columns to sort by. A row is scored here: what is wrong is said before workers start."""
    first = next((table for unit in units for table in tables(*unit, None)), None)
    if first is None:
        raise ValueError("folder must hold rows. Received: files without any")
    scorer(first.slice(0, 1))
    return scorer.id_columns(first.column_names)


def _start(ray, address, workers):
    count = workers or len(os.sched_getaffinity(0))
    passed = {name: os.environ[name] for name in ("KERAS_BACKEND",) if name in os.environ}
    # One processor more than workers in Ray's books: files are read and written beside them.
    local = {} if address else {"num_cpus": count + 1, "include_dashboard": False}
    ray.init(
        address,
        runtime_env={"env_vars": {**WORKER, **passed}},
        logging_level="error",
        log_to_driver=False,
        **local,
    )
    if workers or not address:
        return count
    return max(1, int(ray.cluster_resources().get("CPU", 2)) - 1)


def _scored(ray, scorer, units, ids, workers):
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = os.isatty(2)
    context.default_hash_shuffle_parallelism = max(workers, len(units))  # of the sort
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    items = [dict(zip(("path", "first", "end"), unit, strict=True)) for unit in units]
    scored = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        Worker,
        fn_constructor_args=(scorer,),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    return scored.sort(ids) if ids else scored


def units_of(files: Sequence[str]) -> list[tuple[str, int, int]]:
    """What a worker reads at once: row groups of a Parquet file, or a whole CSV.

    Args:
        files: Paths, all of one format.

    Returns:
        Tuples of a path, the first row group and the one after the last.

    Raises:
        ValueError: A file is damaged.
    """
    from pyarrow import parquet  # noqa: PLC0415

    units = []
    for file in files:
        if file.endswith(".csv"):
            units.append((file, 0, 1))
            continue
        with damaged(Path(file)):
            metadata = parquet.read_metadata(file)
        groups = metadata.num_row_groups
        size = max(1, math.ceil(groups * BLOCK_BYTES / max(1, Path(file).stat().st_size)))
        units += [(file, i, min(i + size, groups)) for i in range(0, groups, size)]
    return units


def tables(path: str, first: int, end: int, columns: Sequence[str] | None) -> Iterator[Any]:
    """The rows of a unit, some thousand at a time, as tables of pyarrow."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv, parquet  # noqa: PLC0415

    with damaged(Path(path)):
        if path.endswith(".csv"):
            batches: Any = csv.open_csv(path)
        else:
            groups = list(range(first, end))
            batches = parquet.ParquetFile(path).iter_batches(BATCH, groups, columns)
    for batch in batches:
        if len(batch):
            yield pa.Table.from_batches([batch])


class Worker:
    """A process of Ray with its model.

    Args:
        scorer: What it does.
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def __call__(self, units: Any) -> Iterator[Any]:
        """The outputs for the rows of units, batch by batch."""
        for unit in units.to_pylist():
            where = unit["path"], unit["first"], unit["end"]
            names = next(tables(*where, None)).column_names
            columns = [*self.scorer.row_columns(names), *self.scorer.id_columns(names)]
            for table in tables(*where, columns):
                yield self.scorer(table)


def _write(dataset, folder):
    dataset.write_parquet(str(folder))


def _cause(error):
    """What a worker says must be, without what Ray puts around it; else the error itself."""
    found = OWN_MESSAGE.findall(str(error))
    if not found:
        return error
    kind, message = found[-1]
    return (TypeError if kind == "TypeError" else ValueError)(message)
