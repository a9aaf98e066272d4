"""The noise floor of training: measured over seeds, written into the baseline, and respected by the gate."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as reference

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.masked import Protocol, evaluate
from fusionbench.results import schema
from fusionbench.results.gate import gate, read_baseline, tolerance_of
from fusionbench.training.loop import train
from tests.cli.runner import run

SEEDS = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of one trained and one trivial model on 16 images, after two steps of training."""
    root = tmp_path_factory.mktemp("calibrate")
    dataset = open_dataset(build_dataset(load_recipe("fusiondigits"), out=root / "data"))
    for name, preset in (("fcn", "tiny"), ("first-view", None)):
        made = train(name, dataset, preset=preset, out=root / "runs" / name, budget="2 steps", device="cpu")
        evaluate(made, dataset, protocol=Protocol(draws=1), out=root / "results", limit=16, device="cpu")
    return root


def test_from_results_to_a_calibrated_baseline(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline, results = folder / "baseline.json", folder / "results"
    arguments = ("gate", results, "--baseline", baseline, "--update-baseline", "--calibrate", SEEDS)
    settings = ("--data", folder / "data", "--runs", folder / "seeds", "--device", "cpu")
    code, _, err = run(capsys, *arguments, *settings)
    assert code == 0, err
    assert "training seed 1" in err and "training seed 2" in err

    found = schema.load_folder(results)
    by_seed = {r.identity.training.seed: r for r in found if r.identity.training and r.identity.model.name == "fcn"}
    assert sorted(by_seed) == [0, 1, 2] and all(result.cut for result in by_seed.values())
    assert len(found) == SEEDS + 1, "a model without training needs no seeds"
    entries = {entry.model: entry for entry in read_baseline(baseline).entries}
    for key, score in entries["fcn"].scores.items():
        means = [by_seed[seed].scores[key].mean for seed in range(SEEDS)]
        assert len(set(means)) == SEEDS, "seeds train differently"
        assert (score.runs, score.noise) == (SEEDS, pytest.approx(np.std(means, ddof=1), rel=1e-6))
        own = tolerance_of(key, by_seed[0].scores[key])
        # a prediction interval for one more run, one-sided, at the error rate over all scores of the trained model
        t = reference.t.ppf(1 - 0.05 / len(entries["fcn"].scores), SEEDS - 1)
        floor = t * math.sqrt(1 + 1 / SEEDS) * np.std(means, ddof=1)
        allowed = max(floor, own.atol + own.rtol * abs(score.mean))
        assert score.tolerance == pytest.approx(allowed, rel=1e-6) and score.detectable > allowed
        assert ("seeds" in score.reason) == (floor > own.atol + own.rtol * abs(score.mean))
    assert all(score.noise is None for score in entries["first-view"].scores.values())
    assert any("seeds" in score.reason for score in entries["fcn"].scores.values())

    assert gate(results, baseline).ok
    # One of three values is at most 1.16 sd from their mean; the tolerance is more than 3 sd: no seed fails.
    for result in by_seed.values():
        outcome = gate([result.folder(results), *(r.folder(results) for r in found if r.family == "trivial")], baseline)
        assert outcome.cases and {case.verdict for case in outcome.cases} == {"ok"}

    # the second time nothing is trained again
    before = {path: path.stat().st_mtime_ns for path in (folder / "seeds").glob("*/weights.safetensors")}
    code, _, err = run(capsys, *arguments, *settings)
    assert code == 0 and "training seed" not in err and len(before) == SEEDS - 1
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "seeds").glob("*/weights.safetensors")}


def test_other_data_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = next((folder / "data").glob("**/manifest.json"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_bytes(manifest.read_bytes().replace(b"fusiondigits", b"fusionfigits"))
    settings = ("--update-baseline", "--calibrate", 3, "--data", other)
    code, _, err = run(capsys, "gate", folder / "results", "-b", tmp_path / "b.json", *settings)
    assert code == 2 and not (tmp_path / "b.json").exists(), err
