"""Statements that contradict what was measured, one by one; those of every kind of honest result stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError, NotComparableError
from fusionbench.results.consistency import check_scores, check_statements
from fusionbench.results.entries import require_comparable
from fusionbench.results.result_set import read_results
from fusionbench.results.schema import Origin, Result, SubmittedRow, load, load_per_image, result_bytes
from tests.helpers.results import made_up, saved

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "results"
ROW = SubmittedRow(id="5" * 64)


def result(tmp_path: Path, version: str = "1", **params: Any) -> Result:
    found = load(saved(tmp_path, "mine", {"vif": [0.5, 0.25]}))
    found.identity.model.version, found.identity.model.params = version, params
    return found


@pytest.mark.parametrize(
    ("version", "params", "changes", "message"),
    [
        ("pictures", {}, {}, "status is verified, but it is of submitted images"),
        ("1", {"predictions_sha256": "a" * 64}, {}, "status is verified, but it is of submitted images"),
        ("pictures", {}, {"status": "scored"}, "origin is a run, but it has submitted images"),
        ("1", {}, {"status": "published"}, "status is published, but its origin is a run"),
        ("1", {}, {"origin": Origin(kind="paper")}, "status is verified, but its origin is a paper"),
        ("1", {}, {"status": "published", "origin": Origin(kind="paper")}, "values image by image"),
        ("1", {}, {"origin": Origin(submitter="Eve")}, "origin is a run, but it has submitter"),
        ("1", {}, {"origin": Origin(submission=ROW)}, "origin is a run, but it has submission"),
        ("1", {}, {"declared": {}}, "origin is a run, but it has declared"),
    ],
)
def test_a_contradiction(
    version: str, params: dict[str, Any], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    edited = msgspec.structs.replace(result(tmp_path, version, **params), **changes)
    with pytest.raises(DataError, match=f"its .*{message}.*edited by hand: score again"):
        check_statements(edited)


@pytest.mark.parametrize(
    ("version", "params", "changes"),
    [
        ("1", {}, {}),
        ("1", {}, {"origin": Origin(kind="submission", submitter="Ada", submission=ROW), "declared": {}}),
        ("pictures", {}, {"status": "scored", "origin": Origin(kind="submission")}),
        (
            "1",
            {"predictions_sha256": "a" * 64},
            {"status": "scored", "origin": Origin(kind="submission", submitter="Ada", submission=ROW)},
        ),
        ("1", {}, {"status": "published", "origin": Origin(kind="paper"), "per_image": None}),
    ],
)
def test_honest_statements(version: str, params: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    check_statements(msgspec.structs.replace(result(tmp_path, version, **params), **changes))


def test_every_shipped_result_stands() -> None:
    files = sorted(SHIPPED.glob("*/*/*/result.json"))
    assert len(files) > 100
    for file in files:
        check_statements(load(file))


def test_a_score_that_is_hidden(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mine", {"vif": [0.5, 0.25], "ssim": [0.5, np.nan]})
    found, table = load(folder), load_per_image(folder)
    assert found.scores["ssim"].mean is None
    check_scores(found, {**table, "ess@0": np.ones(2)})  # a column of no metric
    del found.scores["vif"]
    with pytest.raises(DataError, match="score vif: is missing, but is in its per-image table"):
        check_scores(found, table)
    (folder / "result.json").write_bytes(result_bytes(found))
    with pytest.raises(DataError, match="score vif: is missing"):
        read_results([folder])


def test_bits_over_another_number_of_values(tmp_path: Path) -> None:
    """Means per dimension follow from nats and ``dims``, which no table has: both edited together agree."""
    found = [load(made_up(tmp_path, name, ids=range(6))) for name in ("cvae", "fcn")]
    for one, dims in zip(found, (784, 7840), strict=True):
        one.scores["nll_bpd@0"].extra["dims"] = dims
    with pytest.raises(NotComparableError, match="differ in the number of values that nll_bpd@0 is over: 7840 and 784"):
        require_comparable(found)
    found[1].scores["nll_bpd@0"].extra["dims"] = 784
    require_comparable(found)
