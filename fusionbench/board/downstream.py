"""Columns of the downstream probe on the pages of registered pairs: what the same methods still show of labels.

A row takes the average precision of the probe's results of the same model with the same parameters and weights. The
data are of one origin, by the names of the sets up to the first dash (``msrs`` and ``msrs-half``), and other pairs; the
columns are shown, and neither ranked nor counted.
"""

from __future__ import annotations

from fusionbench.board.page_model import Benchmark, BoardRow, Cell
from fusionbench.core.io import digest
from fusionbench.results.schema import Result

PROBE, PAIRS, STACK = "probe", "pairs", "stack"
NOTHING = Cell("", None)


def add_downstream(benchmarks: list[Benchmark]) -> None:
    """Fill ``downstream`` of every row of pairs, and of its benchmark, from the probes among ``benchmarks``."""
    probes = [one for one in benchmarks if one.first.identity.protocol.name == PROBE]
    probes = [one for one in probes if not one.first.identity.protocol.params.get("unet")]  # the same classes again
    for benchmark in benchmarks:
        if benchmark.first.identity.protocol.name != PAIRS:
            continue
        for probe in probes:
            if _origin(probe) == _origin(benchmark):
                _add(benchmark, probe)


def _add(benchmark: Benchmark, probe: Benchmark) -> None:
    known = {key: row for row in probe.rows if (key := _key(row)) is not None}
    both = next((row for row in probe.rows if _model(row) == STACK), None)
    for name in probe.first.identity.protocol.params.get("classes", []):
        column, found = f"ap@{name}", {}
        for row in benchmark.rows:
            same = known.get(_key(row) or "")
            if same is not None and (cell := same.cells.get(column)) is not None and cell.value is not None:
                interval = same.intervals.get(column)
                span = f", 95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
                found[row.slug] = Cell(f"{cell.value:.3f}", cell.value, f"{probe.title}, {cell.note}{span}")
        if not found:
            continue
        reached = both.cells.get(column, NOTHING).value if both is not None else None
        about = f"average precision of pixels that show a {name}, in fused images of {probe.title}; not ranked here"
        if reached is not None:
            about += f"; both sources as channels reach {reached:.3f}"
        key = f"downstream:{probe.slug}:{name}"
        benchmark.downstream[key] = (name, about)
        for row in benchmark.rows:
            row.downstream[key] = found.get(row.slug, NOTHING)


def _origin(benchmark: Benchmark) -> str:
    return benchmark.first.identity.dataset.name.partition("-")[0]


def _model(row: BoardRow) -> str:
    return "" if row.entry is None else row.entry.results[0].identity.model.name


def _key(row: BoardRow) -> str | None:
    """What rows of one method share; None of papers, of images from elsewhere, and of what the protocol stretched."""
    if row.entry is None:
        return None
    results: list[Result] = row.entry.results
    if any(
        result.identity.protocol.params.get("stretch") or result.identity.model.version == "pictures"
        for result in results
    ):
        return None
    models = [result.identity.model for result in results]
    return digest(sorted(digest([one.name, one.version, one.params, one.weights_sha256]) for one in models))
