"""Results of others made again in the process with limits. Oracle: the values of the first measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.reproduction.places import Places
from fusionbench.evaluation.reproduction.reproduce import HowToReproduce, reproduce
from fusionbench.results.schema import Result
from fusionbench.submissions import reproducing
from fusionbench.submissions.reproducing import LimitedReproduction, build_once
from fusionbench.submissions.sandbox import Done
from tests.helpers.reproduction import changed, pair_result

SPEC = ImageSpec(channels=1, height=16, width=16, views=3)


def test_a_row_of_unknown_parameters_is_measured_in_the_process(tmp_path: Path) -> None:
    folder = pair_result(tmp_path / "results", "laplacian-pyramid", levels=3)
    before = sorted(path for path in tmp_path.rglob("*"))
    (found,) = reproduce([folder], HowToReproduce(Places(data=[], weights=[]), isolation=LimitedReproduction()))
    assert (found.outcome, found.images, found.of) == ("same", 3, 3), found.reason
    assert any("process with limits" in remark for remark in found.remarks)
    assert before == sorted(path for path in tmp_path.rglob("*"))


def test_parameters_that_would_take_all_memory_are_refused(tmp_path: Path) -> None:
    def enormous(result: Result, table: Any) -> None:
        result.identity.model.name, result.identity.model.version = "mfeif", "1"
        result.identity.model.params = {"widths": [10**6, 10**6, 10**6, 64]}

    folder = changed(pair_result(tmp_path / "results"), enormous)
    (found,) = reproduce([folder])
    assert found.outcome == "could not" and found.cause == "model" and "is not built" in found.reason


def test_a_model_is_built_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs in the process, and what is said of how it ends."""
    good = msgspec.json.encode(SPEC).decode()
    build_once("first-view", good, "{}")
    with pytest.raises(DataError, match="more than"):
        build_once("fcn", good, '{"channels": 1000000000}')
    asked: list[Any] = []

    def ends(function: str, arguments: list[str], **limits: Any) -> Done:
        asked.append((function.rpartition(":")[2], arguments, limits))
        return Done(False, "took longer than 9 s", False)

    monkeypatch.setattr(reproducing, "run_limited", ends)
    assert LimitedReproduction(seconds=9, memory=1).build("fcn", SPEC, {"channels": 4}) == "took longer than 9 s"
    assert asked == [("build_once", ["fcn", good, '{"channels":4}'], {"seconds": 9, "memory": 1 << 30})]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"file": "", "outcome": "excellent"}', b"[" * 100_000])
def test_what_the_process_leaves_is_not_trusted(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaves(function: str, arguments: list[str], **_: Any) -> Done:
        (Path(arguments[1]) / "reproduction.json").write_bytes(content)
        return Done(True, "", False)

    monkeypatch.setattr(reproducing, "run_limited", leaves)
    folder = pair_result(tmp_path / "results")
    found = LimitedReproduction().reproduce(folder / "result.json", Places(), None)
    assert found.outcome == "could not" and "left no outcome" in found.reason
