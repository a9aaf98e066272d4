"""Every pair of a set fused, scored, and kept on disk while it goes on: what rows of ``pairs/1`` have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fusionbench.core.images import encode_png
from fusionbench.core.io import write_bytes
from fusionbench.core.progress import progress, say
from fusionbench.evaluation.pair_images import finish_sources, fused_path, missing_sources, save_source
from fusionbench.evaluation.pair_scores import ScoredImage, fill_result, score_pair

if TYPE_CHECKING:
    from fusionbench.evaluation.kept_rows import KeptRows
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.results.schema import Result

AT_ONCE = 16  # pairs that are fused, then scored: the clock of fusing runs beside nothing else
SECONDS = 20.0  # of fusing after which those so far are scored, and can be kept


def score_rows(
    results: Sequence[Result],
    pairs: PairSet,
    make: Callable[[int, np.ndarray], Sequence[np.ndarray]],
    keep: str | Path | None,
    jobs: int,
    kept: KeptRows[list[ScoredImage]],
) -> list[dict[str, Any]]:
    """Fill the scores of ``results``, keep images below ``keep``, and return the tables per image, by column.

    Args:
        make: index and pair, uint8 (2, h, w), to a fused image, uint8 (h, w), for every result.
        kept: of every pair the scores of all results.

    Raises:
        UnfinishedError: the time is over; the same call goes on.
        DataError: a pair that cannot be read or scored, or a folder that cannot be written.
    """
    import cv2  # noqa: F401 - before there are threads: its loader takes its module away for a moment
    from joblib import Parallel, delayed

    left = set() if keep is None else set(missing_sources(pairs, keep))
    if keep is not None:
        before = range(len(kept.rows))
        if not all(fused_path(result, pairs, keep, index).is_file() for result in results for index in before):
            kept.forget()
        for index in sorted(left & set(range(len(kept.rows)))):
            save_source(pairs, keep, index, pairs.pair(index))
    pool, count = Parallel(n_jobs=jobs, prefer="threads"), len(results)
    with progress(f"score {results[0].title}", len(pairs), "pairs", len(kept.rows)) as bar:
        while (begin := len(kept.rows)) < len(pairs):
            kept.stop_in_time(f"{results[0].title} on {pairs.name}")
            work, until = [], time.monotonic() + SECONDS
            for index in range(begin, min(len(pairs), begin + AT_ONCE)):
                pair = pairs.pair(index)
                if keep is not None and index in left:
                    save_source(pairs, keep, index, pair)
                for result, fused in zip(results, make(index, pair), strict=True):
                    work.append((fused, pair, pairs.stems[index]))
                    if keep is not None:
                        write_bytes(fused_path(result, pairs, keep, index), encode_png(fused))
                if time.monotonic() > until:
                    break
            rows = list(pool(delayed(score_pair)(*item) for item in work))
            kept.add([rows[place : place + count] for place in range(0, len(rows), count)])
            bar.advance(len(rows) // count)
    if keep is not None:
        finish_sources(pairs, keep)
    tables = [fill_result(one, pairs, [row[i] for row in kept.rows]) for i, one in enumerate(results)]
    for result in results:
        tell_remarks(result)
    return tables


def tell_remarks(result: Result) -> None:
    """Say what is remarkable about the fused images of a result."""
    remarks = result.provenance.get("remarks")
    for line in remarks if isinstance(remarks, list) else []:
        say(f"note: {result.title}: {line}")
