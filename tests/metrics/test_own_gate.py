"""Every metric of fused images is gated on ``benchmarks/baselines/metrics.json``: our values on made scenes.

The scenes are whole numbers from beginning to end, so that they are the same on every machine. ``--regen`` writes the
baseline anew; review the diff.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.io import digest
from fusionbench.metrics import get_metric
from fusionbench.metrics.engine import available, score_images
from fusionbench.results import schema
from fusionbench.results.gate import GateOutcome, baseline_of, gate, read_baseline, write_baseline

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baselines" / "metrics.json"
COUNT, HEIGHT, WIDTH = 4, 176, 184  # MS-SSIM asks for 176 at least
METRICS = available("standard/1")


def noise(seed: int) -> np.ndarray:
    """(H,W) int64 in 0..255: the top bytes of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        z = (np.arange(HEIGHT * WIDTH, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(56)).astype(np.int64).reshape(HEIGHT, WIDTH)


def sources() -> tuple[np.ndarray, np.ndarray]:
    """(a, b), uint8 (COUNT,H,W): triangle waves, boxes, a bright disc that only ``a`` sees, and noise."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    a, b = [], []
    for k in range(COUNT):
        disc = (x - 70 - 9 * k) ** 2 + (y - 60) ** 2 < (20 + 3 * k) ** 2
        wave = abs((3 * x + 2 * y + 5 * k) % 60 - 30)
        boxes = 40 * ((x // (7 + k) + y // 9) % 2)
        a.append(40 + wave + 130 * disc + noise(2 * k + 1) // 16)
        b.append(60 + 2 * wave + boxes + noise(2 * k + 2) // 10)
    return tuple(np.clip(images, 0, 255).astype(np.uint8) for images in (a, b))  # type: ignore[return-value]


RULES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "average": lambda a, b: (a + b) // 2,
    "maximum": np.maximum,
    "detail": lambda a, b: np.clip((a + b) // 2 + (b - np.roll(b, 1, axis=2)) // 2, 0, 255),
}


@lru_cache
def scored(rule: str) -> dict[str, np.ndarray]:
    """Values of every metric, (COUNT,) float64, for one rule of fusion."""
    a, b = sources()
    fused = RULES[rule](a.astype(np.int64), b.astype(np.int64)).astype(np.uint8)
    return score_images(fused, a, b, METRICS)


def results(root: Path, change: Callable[[str, np.ndarray], np.ndarray] = lambda name, values: values) -> Path:
    """A result for every rule, scored now; ``change`` replaces the values of a metric."""
    a, b = sources()
    for rule in RULES:
        values = {name: change(name, row) for name, row in scored(rule).items()}
        records = {name: get_metric(name) for name in METRICS}
        identity = schema.Identity(
            model=schema.ModelIdentity(name=f"rule-{rule}", version="1"),
            dataset=schema.DatasetIdentity(
                name="made-scenes",
                version="1",
                split="test",
                id=digest([a.tolist(), b.tolist()]),
                n=COUNT,
                ids_sha256=digest(list(range(COUNT))),
            ),
            protocol=schema.ProtocolIdentity(name="scenes", version="1", seed=0, params={"dialect": "standard/1"}),
            metrics={name: metric.version for name, metric in records.items()},
        )
        scores = {name: schema.summarise(row, records[name].better, records[name].unit) for name, row in values.items()}
        made = schema.Result(id=schema.identity_id(identity), status="verified", identity=identity, scores=scores)
        schema.save(made, root, {"id": np.arange(COUNT), **values})
    return root


def test_our_own_gate(tmp_path: Path, regen: bool, fusionbench_gate: Callable[[Path, Path], GateOutcome]) -> None:
    if regen:
        write_baseline(BASELINE, baseline_of([results(tmp_path / "new")]))
    outcome = fusionbench_gate(results(tmp_path / "now"), BASELINE)
    assert {(case.model, case.score) for case in outcome.cases} == {
        (f"rule-{rule}", name) for rule in RULES for name in METRICS
    }
    assert outcome.of("improved") == [], "a metric that has changed needs a new version and a new baseline"


@pytest.mark.parametrize("name", ["en", "vif", "qabf", "ssim", "mse"])
def test_a_changed_metric_is_caught(tmp_path: Path, name: str) -> None:
    """Two tolerances worse in every image."""
    tolerance = next(entry.scores[name] for entry in read_baseline(BASELINE).entries)
    step = 2 * (tolerance.atol + tolerance.rtol * abs(tolerance.mean))
    step = max(step, 1e-6) * (1 if tolerance.better == "lower" else -1)

    def change(metric: str, values: np.ndarray) -> np.ndarray:
        return values + step if metric == name else values

    outcome = gate(results(tmp_path, change), BASELINE)
    assert outcome.exit_code == 1 and {case.score for case in outcome.of("regressed")} == {name}
