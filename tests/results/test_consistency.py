"""Statements that contradict what was measured, one by one; those of every kind of honest result stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fusionbench.core.errors import DataError, NotComparableError, UsageError
from fusionbench.results.consistency import check_scores, check_statements
from fusionbench.results.entries import read_entries, require_comparable
from fusionbench.results.registered import metric_of, registered_direction
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


@pytest.mark.parametrize(
    ("key", "name", "value", "message"),
    [
        ("vif", "better", "lower", "score vif: its direction is stated as 'lower', but is 'higher' by the metric"),
        ("mi", "unit", "nats", "score mi: its unit is stated as 'nats', but is 'bits' by the metric"),
        ("mi@cddfuse", "unit", "bits", "score mi@cddfuse: its unit is stated as 'bits', but is 'nats'"),
        ("nll_bpd@0", "unit", "nats", "score nll_bpd@0: its unit is stated as 'nats', but is 'bits/dim'"),
        ("elbo@0", "better", "higher", "score elbo@0: its direction is stated as 'higher', but is 'lower'"),
    ],
)
def test_a_direction_or_unit_of_no_metric(key: str, name: str, value: str, message: str, tmp_path: Path) -> None:
    found = load(saved(tmp_path, "mine", {key: [0.5, 0.25]}, better=registered_direction(key) or "higher"))
    check_statements(found)
    setattr(found.scores[key], name, value)
    with pytest.raises(DataError, match=f"{message}.*edited by hand: score again"):
        check_statements(found)
    found.identity.metrics[metric_of(key)] = "0"  # an earlier version may have had another unit
    check_statements(found)


def test_a_score_that_nobody_knows_has_the_direction_that_it_states(tmp_path: Path) -> None:
    for better in ("higher", "lower"):
        check_statements(load(saved(tmp_path, better, {"mine": [0.5], "psnr_own@all": [3.0]}, better=better)))


@pytest.mark.parametrize("edited", [["b"], ["a", "b", "c"]])
def test_an_edited_direction_stops_nobody_else_and_turns_no_ranking(edited: list[str], tmp_path: Path) -> None:
    for shift, name in enumerate("abc"):
        folder = saved(tmp_path, name, {"vif": [0.5 + shift, 0.25 + shift]})
        found = load(folder)
        if name in edited:
            found.scores["vif"].better = "lower"
            (folder / "result.json").write_bytes(result_bytes(found))
    if len(edited) == 3:
        with pytest.raises(DataError, match=r"3 of 3 results cannot be used: .*/a/.* its direction is stated"):
            read_entries([tmp_path])
    else:
        assert [entry.title for entry in read_entries([tmp_path])] == ["a", "c"]


def test_the_metric_of_a_broken_package_sets_no_result_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(saved(tmp_path, "mine", {"vif": [0.5, 0.25]}))

    def broken(key: str) -> str:
        raise UsageError(f"The metric {key!r} cannot be loaded")

    monkeypatch.setattr("fusionbench.results.consistency.registered_version", broken)
    check_statements(found)
