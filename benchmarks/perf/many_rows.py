"""A board of 10,000 rows × 100 images: seconds and peak memory of the ranks, of compare and of the pages.

Run: python benchmarks/perf/many_rows.py [--models 10000] [--images 100] [--only ranks|compare|board]

The floor of the ranks is what cannot be left out: the product of all rows with all rows, in blocks, and one comparison
for each pair. Each part runs in a process of its own, whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PARTS = ("ranks", "compare", "board")


def table(models: int, images: int) -> np.ndarray:
    """Per-image scores of models whose quality and noise differ."""
    rng = np.random.default_rng(0)
    common = rng.gamma(4.0, 0.1, images)
    return np.asarray(common + 0.05 * rng.normal(size=(models, images)) + 0.02 * rng.random((models, 1)))


def floor(values: np.ndarray) -> float:
    """Processor seconds of the products of all pairs of rows and one comparison each."""
    started = time.process_time()
    for part in np.array_split(values, max(1, len(values) // 500)):
        np.count_nonzero(part @ values.T > 1.0)
    return time.process_time() - started


def write(root: Path, values: np.ndarray) -> None:
    """One result for each row."""
    from fusionbench.results import schema

    for i, row in enumerate(values):
        identity = schema.Identity(
            model=schema.ModelIdentity(name=f"m{i}", version="1", weights_sha256=f"{i:064x}", source="made up"),
            dataset=schema.DatasetIdentity(
                name="many", version="1.0.0", split="test", id="d" * 64, n=len(row), ids_sha256="e" * 64
            ),
            protocol=schema.ProtocolIdentity(name="pairs", version="1", seed=0),
            metrics={"vif": "1"},
        )
        made = schema.Result(
            id=schema.identity_id(identity),
            status="verified",
            family="model",
            title=f"model {i}",
            identity=identity,
            scores={"vif": schema.summarise(row, "higher", "1")},
        )
        schema.save(made, root, {"id": list(range(len(row))), "vif": row})


def measure(part: str, models: int, images: int, root: Path) -> None:
    """Print a line: seconds by the clock, of the processor, peak memory."""
    values = table(models, images)
    least = floor(values) if part == "ranks" else None
    started, used = time.perf_counter(), time.process_time()
    if part == "ranks":
        from fusionbench.results.bootstrap import compare

        compare(list(values), "higher")
    elif part == "compare":
        from fusionbench.results.comparison import compare_results
        from fusionbench.results.tables import as_csv

        as_csv(compare_results([root]))
    else:
        from fusionbench.board import build_board

        build_board(root, root.parent / "site", resamples=2000)
    clock, processor = time.perf_counter() - started, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    ratio = "" if least is None else f"{processor / least:10.1f} × the products ({least:.1f} s)"
    print(f"{part:10}{clock:10.1f}{processor:12.1f}{peak:10.2f}{ratio}", flush=True)


def main() -> None:
    """Write the results and measure each part in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.root is not None:
        measure(arguments.only, arguments.models, arguments.images, arguments.root)
        return
    print(f"{arguments.models} rows × {arguments.images} images")
    print(f"{'':10}{'seconds':>10}{'processor':>12}{'peak GiB':>10}{'processor / floor':>20}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "results"
        if arguments.only != "ranks":
            write(root, table(arguments.models, arguments.images))
        for part in PARTS if arguments.only is None else (arguments.only,):
            size = ["--models", str(arguments.models), "--images", str(arguments.images)]
            subprocess.run([sys.executable, __file__, "--only", part, "--root", str(root), *size], check=True)


if __name__ == "__main__":
    main()
