"""Whose weights and parameters a result is of, and what is done with those of others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.reproduction.foreign import are_known_parameters, check_can_be_built, is_foreign
from fusionbench.evaluation.reproduction.outcome import NotReproducibleError, Reproduction, ScoreDifference
from fusionbench.evaluation.reproduction.places import Finder, Places
from fusionbench.evaluation.reproduction.reproduce import HowToReproduce, reproduce
from fusionbench.models import get_preset
from fusionbench.results.schema import load
from tests.helpers.reproduction import Trained, pair_result, trained_result

SPEC = ImageSpec(channels=1, height=16, width=16, views=2)


class Apart:
    """Stands for the process with limits, and counts what it was asked for."""

    def __init__(self, outcome: Reproduction, problem: str = "") -> None:
        self.outcome, self.problem, self.asked = outcome, problem, []  # type: ignore[var-annotated]

    def reproduce(self, result: Path, places: Places, limit: int | None) -> Reproduction:
        self.asked.append(result)
        return self.outcome

    def build(self, name: str, spec: ImageSpec, params: Mapping[str, Any]) -> str:
        self.asked.append(name)
        return self.problem


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return trained_result(tmp_path_factory.mktemp("made"))


def test_known_parameters_are_defaults_or_those_of_one_preset() -> None:
    tiny = get_preset("mfeif", "tiny").model
    assert are_known_parameters("mfeif", {}) and are_known_parameters("mfeif", tiny)
    assert not are_known_parameters("mfeif", {**tiny, "widths": [1, 2, 3, 64]})
    assert not are_known_parameters("mfeif", {"nobody": 1})


def test_weights_in_a_run_of_these_parameters_are_ones_own(made: Trained, tmp_path: Path) -> None:
    identity = load(made.result).identity

    def foreign(weights: Path) -> bool:
        return is_foreign(identity, Finder(Places(weights=[weights]), tmp_path))

    assert not foreign(made.run) and not foreign(tmp_path / "nowhere")
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(made.run / "weights.safetensors", alone)
    assert foreign(alone)
    edited = shutil.copytree(made.run, tmp_path / "edited")
    record = json.loads((edited / "run.json").read_text())
    record["params"]["channels"] = 10**9
    (edited / "run.json").write_text(json.dumps(record))
    assert foreign(edited)


def test_rows_of_unknown_parameters_are_measured_apart_and_others_are_not(tmp_path: Path) -> None:
    score = ScoreDifference(same=True, identical=True, values=3, largest=0.0)
    found = Reproduction(file="x", id="forged", outcome="same", images=3, scores={"sd": score}, remarks=["apart"])
    apart = Apart(found)
    own, other = pair_result(tmp_path / "own"), pair_result(tmp_path / "other", "laplacian-pyramid", levels=3)
    first, second = reproduce([own, other], HowToReproduce(isolation=apart))
    assert (first.outcome, first.remarks, len(apart.asked)) == ("same", [], 1)
    assert (second.outcome, second.remarks, second.images) == ("same", ["apart"], 3)
    assert second.id == load(other).id and second.file.endswith("result.json"), (
        "whose it is is not the process's to say"
    )


def test_an_outcome_that_its_scores_do_not_have_is_not_taken(tmp_path: Path) -> None:
    apart = Apart(Reproduction(file="", outcome="same"))
    other = pair_result(tmp_path / "other", "laplacian-pyramid", levels=3)
    (found,) = reproduce([other], HowToReproduce(isolation=apart))
    assert found.outcome == "could not" and "its scores do not have" in found.reason


def test_parameters_that_nobody_knows_are_built_apart_first() -> None:
    apart = Apart(Reproduction(file="", outcome="same"), "took longer than 120 s")
    check_can_be_built(apart, "laplacian-pyramid", SPEC, {"levels": 4})
    assert apart.asked == []
    with pytest.raises(NotReproducibleError, match="took longer"):
        check_can_be_built(apart, "laplacian-pyramid", SPEC, {"levels": 10**9})
