"""Large folders of fused images on a Dask cluster: its workers read and score them, to the bits of one machine."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence

from fusionbench.core.crashes import is_out_of_memory, who_exited
from fusionbench.core.errors import CannotMeasure, DataError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.parallel import WorkerLostError, run_tasks
from fusionbench.core.types import Metric
from fusionbench.evaluation.image_files import Scored, score_triple
from fusionbench.evaluation.image_rows import Triple

AT_ONCE = 4  # rows of a task: seconds of work, and little to do again where a worker is lost


def score_on_cluster(
    rows: Sequence[Triple], metrics: Sequence[Metric], ranges: Ranges, scheduler: str
) -> Generator[tuple[int, Scored | DataError], None, None]:
    """The place of every row and its scores, or why it has none, as they come.

    Args:
        scheduler: address of a Dask scheduler; its workers must see the files under the same names.

    Raises:
        UsageError: no Dask, or no scheduler there.
        CannotMeasure: out of memory, or workers that died again and again.
    """
    there = [row.absolute() for row in rows]
    tasks = [(begin, there[begin : begin + AT_ONCE], metrics, ranges) for begin in range(0, len(rows), AT_ONCE)]
    try:
        with contextlib.closing(run_tasks(_score_rows, tasks, 1, scheduler)) as parts:
            for begin, part in parts:
                for place, found in enumerate(part, begin):
                    if isinstance(found, CannotMeasure):
                        raise found
                    yield place, found
    except WorkerLostError as error:
        raise CannotMeasure(f"{scheduler}: the workers that scored died again and again ({error})") from error


def _score_rows(
    begin: int, rows: Sequence[Triple], metrics: Sequence[Metric], ranges: Ranges
) -> tuple[int, list[Scored | DataError | CannotMeasure]]:
    """What a worker runs; errors are values, since one that is raised would end all other tasks."""
    found: list[Scored | DataError | CannotMeasure] = []
    for row in rows:
        try:
            found.append(score_triple(row, metrics, ranges))
        except DataError as error:
            found.append(DataError(str(error)))
        except SystemExit as error:  # it would end the worker
            found.append(CannotMeasure(f"{row.id}: {who_exited(error)}: that is no value of a metric"))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            found.append(CannotMeasure(f"{row.id}: out of memory while scoring it; give the workers fewer threads"))
    return begin, found
