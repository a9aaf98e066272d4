"""The report of ``gpu_campaign.py``: what a state folder holds, and expected minutes beside measured ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fusionbench.models import get_preset
from fusionbench.results.schema import load
from fusionbench.training.loop import planned_steps
from fusionbench.training.run import read_run
from fusionbench.training.schedule import create_training

# measured on an H200 with 16 cores, see perf/figures/device.txt; between one and six models at once interpolated
RATES = {1: 10_444.0, 6: 16_857.0}  # images/s together
SCORING = 110.0  # s for 1,000 images at N = 0..3 and K = 1000
ORDER = ("digests", "throughput", "first", "others", "plus", "seeds", "tables", "pairs", "figures")  # of stages
TRAIN, TEST = 60_000, 10_000  # images of FusionMNIST


def rate_of(models: int) -> float:
    """Images/s together of so many models at once, on the card that :data:`RATES` are of."""
    (few, slow), (many, fast) = RATES.items()
    share = min(max((models - few) / (many - few), 0.0), 1.0)
    return slow + share * (fast - slow)


def expected_minutes(runs: Mapping[str, int], at_once: int) -> dict[str, float]:
    """Minutes of the stages that train so many runs at the published size, and of the tables, on one H200."""
    training = create_training(dict(get_preset("fusionvae", "fusionmnist").training))
    images = planned_steps(training, TRAIN) * training.batch
    minutes = {name: images * count / rate_of(min(count, at_once)) / 60 for name, count in runs.items()}
    return {**minutes, "tables": SCORING * TEST / 1000 * sum(runs.values()) / 60}


def make_report(state: Mapping[str, Any], folder: Path, expected: Mapping[str, float]) -> dict[str, Any]:
    """What the folder holds: slices, stages, runs and how far they are, results."""
    stages = [
        {"stage": name, "expected": expected.get(name), "measured": stage["seconds"] / 60, "done": stage["done"]}
        for name, stage in sorted(state["stages"].items(), key=lambda item: ORDER.index(item[0]))
    ]
    runs = []
    for path in sorted((folder / "runs").rglob("run.json")):
        info = read_run(path.parent).info
        part = {"run": path.parent.name, "steps": info.steps, "of": info.total_steps or info.planned_steps}
        runs.append({**part, "minutes": info.seconds / 60, "finished": info.finished})
    results = []
    for path in sorted((folder / "results").rglob("result.json")):
        result = load(path.parent)
        scores = {key: score.mean for key, score in result.scores.items() if key.startswith(("nll@", "mse_min@"))}
        results.append({"title": result.title, "seed": result.identity.training.seed, "scores": scores})
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    own = {key: state[key] for key in ("slices", "throughput", "failed")}
    return {"megabytes": round(size / 1e6, 2), "stages": stages, "runs": runs, "results": results, **own}


def markdown(report: dict[str, Any]) -> str:
    """The report as text; expected minutes beside the measured ones."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    last = report["slices"][-1] if report["slices"] else {}
    total = sum(one["seconds"] for one in report["slices"]) / 60
    yield f"# GPU campaign: {len(report['slices'])} slices, {total:.1f} minutes, {report['megabytes']:.1f} MB"
    yield f"\nLast on {last.get('gpu') or last.get('device')}, torch {last.get('torch')}.\n"
    yield "| stage | expected min (one H200) | measured min | done |\n|---|--:|--:|---|"
    for one in report["stages"]:
        expected = "" if one["expected"] is None else f"{one['expected']:.0f}"
        yield f"| {one['stage']} | {expected} | {one['measured']:.1f} | {'yes' if one['done'] else 'no'} |"
    for name, one in report["throughput"].items():
        yield f"\n{name} ({len(one['models'])}): {one['images_per_second']:,.0f} images/s"
    yield "\n| run | steps | of | minutes | finished |\n|---|--:|--:|--:|---|"
    for one in report["runs"]:
        finished = "yes" if one["finished"] else "no"
        yield f"| {one['run']} | {one['steps']} | {one['of']} | {one['minutes']:.1f} | {finished} |"
    for one in report["results"]:
        scores = ", ".join(f"{key} {value:.4g}" for key, value in one["scores"].items())
        yield f"\n{one['title']}, seed {one['seed']}: {scores}"
    for run, reasons in report["failed"].items():
        yield f"\n{run} failed: {reasons[-1]}"
