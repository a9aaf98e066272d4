"""Baselines that would let regressions pass are refused in one line with file, place and remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import digest
from fusionbench.results.baseline import baseline_of, read_baseline, write_baseline
from tests.cli.runner import run
from tests.helpers.results import made_up, saved
from tests.results.test_baseline import as_revision_0

ROOT = Path(__file__).parents[2]
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    """A calibrated baseline of a trained and a trivial model, as JSON."""
    for seed in range(3):
        made_up(tmp_path / "r", "cvae", seed=seed, shift=0.01 * seed, ids=range(6), metrics={"mse_min": "1"})
    made_up(tmp_path / "r", "mean-image", family="trivial", ids=range(6), metrics={"mse_min": "1"})
    write_baseline(tmp_path / "b.json", baseline_of([tmp_path / "r"]))
    found: dict[str, Any] = json.loads((tmp_path / "b.json").read_text())
    return found


def refusal(path: Path, content: dict[str, Any]) -> str:
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read_baseline(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"{path}: ") and "make a new baseline" in line
    return line


def score(content: dict[str, Any], entry: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = content["entries"][entry]["scores"]["mse_min@1"]
    return found


def set_score(entry: int = 0, **values: Any) -> Change:
    return lambda content: score(content, entry).update(values)


ABSURD: dict[str, tuple[Change, str]] = {
    "tolerance": (set_score(1, atol=1e9), "a tolerance of 1e+09 is more than 10 times what the metric has"),
    "relative": (set_score(1, rtol=5.0), "is more than 10 times what the metric has"),
    "calibrated": (set_score(atol=1e9), "its noise gives a tolerance of"),
    "own": (set_score(metric_atol=1e9), "a tolerance of 1e+09 is more than"),
    "half": (lambda c: score(c).pop("metric_rtol"), "has one of metric_atol and metric_rtol"),
    "noise": (set_score(noise=1e9), "a noise of 1e+09 is more than its largest value"),
    "no noise": (set_score(noise=None), "has a calibrated tolerance without its noise"),
    "few": (set_score(runs=2), "has noise from 2 runs, which takes 3"),
    "runs": (set_score(1, runs=0), "is of 0 runs"),
    "negative": (set_score(1, atol=-0.1), "atol is -0.1"),
    "negative noise": (set_score(noise=-0.1), "noise is -0.1"),
    "direction": (set_score(1, better="higher"), "higher is better in the file, lower by the metric"),
    "mean": (set_score(1, mean=0.9), "the mean of its values is"),
    "values": (lambda c: score(c, 1)["values"].pop(), "has 5 values for 6 images"),
    "nothing": (set_score(1, values=[None] * 6), "has no value for any image"),
    "n": (lambda c: c["entries"][1]["dataset"].update(n=7), "has 6 ids, and n is 7"),
    "ids": (lambda c: c["entries"][1].update(ids=[0, 1, 2, 3, 4, 4]), "an id is there twice"),
    "order": (lambda c: c["entries"][1].update(ids=[1, 0, 2, 3, 4, 5]), "ids are not in order"),
    "mixed": (lambda c: c["entries"][1].update(ids=["0", 1, 2, 3, 4, 5]), "ids are numbers and texts"),
    "no scores": (lambda c: c["entries"][1].update(scores={}), "has no scores"),
    "doubled": (lambda c: c["entries"].append(c["entries"][0]), "has two entries of cvae on fusiondigits test"),
    "compared": (lambda c: c.update(compared=99), "says that 99 scores are compared, and has 10"),
    "alpha": (lambda c: c.update(alpha=1e-30), "alpha is 1e-30, not from 0.0001 to 0.5"),
    "lenient alpha": (lambda c: c.update(alpha=0.001), "its noise gives a tolerance of"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_what_makes_no_sense_is_refused_with_a_fitting_digest(
    name: str, content: dict[str, Any], tmp_path: Path
) -> None:
    change, reason = ABSURD[name]
    change(content)
    content["digest"] = digest(content["entries"])
    assert reason in refusal(tmp_path / "b.json", content)


@pytest.mark.parametrize(
    "name", ["tolerance", "negative", "direction", "mean", "values", "n", "ids", "doubled", "runs"]
)
def test_older_files_are_checked_as_well(name: str, content: dict[str, Any], tmp_path: Path) -> None:
    content = as_revision_0(content)
    change, reason = ABSURD[name]
    change(content)
    assert reason in refusal(tmp_path / "b.json", content)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["entries"].pop(),
        lambda c: c["entries"][1]["scores"].pop("mse_min@0"),
        set_score(1, atol=0.00002),
    ],
)
def test_the_digest_notices_what_makes_sense(change: Change, content: dict[str, Any], tmp_path: Path) -> None:
    change(content)
    assert "its entries are not those that were written" in refusal(tmp_path / "b.json", content)


@pytest.mark.parametrize("name", ["alpha", "compared", "digest"])
def test_a_revision_has_its_fields(name: str, content: dict[str, Any], tmp_path: Path) -> None:
    del content[name]
    assert f"a fusionbench.baseline/1.1 has {name}, and this one does not" in refusal(tmp_path / "b.json", content)


def test_keys_that_are_there_twice(content: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(content).replace('"mse_min@1": {', '"mse_min@0": {', 1)
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(DataError, match=r"b\.json: 'mse_min@0' is there twice in one object; restore the file"):
        read_baseline(tmp_path / "b.json")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite(number: str, content: dict[str, Any], tmp_path: Path) -> None:
    score(content)["atol"] = "HERE"
    (tmp_path / "b.json").write_text(json.dumps(content).replace('"HERE"', number))
    with pytest.raises(DataError, match=r"b\.json: "):
        read_baseline(tmp_path / "b.json")


def test_a_calibrated_file_of_a_former_release_is_read(content: dict[str, Any], tmp_path: Path) -> None:
    content = as_revision_0(content)
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert read_baseline(tmp_path / "b.json").error_rate == 0.05
    for held in content["entries"][0]["scores"].values():
        held["atol"] *= 2
    assert "times what the metric has" in refusal(tmp_path / "b.json", content)


def test_a_metric_that_is_not_registered_has_its_values_as_a_limit(tmp_path: Path) -> None:
    saved(tmp_path / "r", "net", {"mine": [0.5, 0.7, 0.9]})
    write_baseline(tmp_path / "b.json", baseline_of([tmp_path / "r"]))
    content = json.loads((tmp_path / "b.json").read_text())
    held = content["entries"][0]["scores"]["mine"]
    for atol, passes in ((0.8, True), (0.95, False)):
        held["atol"] = atol
        content["digest"] = digest(content["entries"])
        if passes:
            (tmp_path / "b.json").write_text(json.dumps(content))
            assert read_baseline(tmp_path / "b.json").entries[0].scores["mine"].atol == atol
        else:
            assert "more than its largest value (0.9)" in refusal(tmp_path / "b.json", content)


@pytest.mark.parametrize("name", ["metrics.json", "quickstart-smoke.json"])
def test_shipped_baselines_make_sense(name: str) -> None:
    assert read_baseline(ROOT / "benchmarks" / "baselines" / name).entries


def test_the_command_line_says_it_in_one_line(
    content: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    set_score(1, atol=1e9)(content)
    content["digest"] = digest(content["entries"])
    (tmp_path / "b.json").write_text(json.dumps(content))
    code, out, err = run(capsys, "gate", tmp_path / "r", "-b", tmp_path / "b.json")
    assert (
        code == 2 and out == "" and len(err.splitlines()) == 1 and "mean-image on fusiondigits test, mse_min@1" in err
    )
