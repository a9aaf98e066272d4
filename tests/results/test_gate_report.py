"""A gate's outcome for people and machines: what moved comes first, names stay text, every form says the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from fusionbench.results.baseline import baseline_of
from fusionbench.results.gate import GateCase, GateOutcome
from fusionbench.results.gate_report import (
    MARKS,
    basis,
    calibration,
    outcome_data,
    outcome_junit,
    outcome_markdown,
    outcome_table,
    summary,
)
from tests.helpers.results import saved

FINE = GateCase("cvae", "digits test", "nll@mean", "ok", "within", "nats", 10.0, 10.001, 0.001, -0.01, 0.02, 0.5)
WORSE = GateCase("cvae", "digits test", "mse_min@0", "regressed", "worse by 0.1", "1", 0.5, 0.6, 0.1, 0.09, 0.12, 0.005)
BETTER = GateCase(
    "fcn", "digits test", "mse_min@0", "improved", "better by 0.1", "1", 0.5, 0.4, -0.1, -0.12, -0.09, 0.005
)
MISSING = GateCase("fcn", "digits test", "nll@0", "not measured", "no result", "nats", 10.0)
OTHER = GateCase("fcn", "digits test", "nll@1", "not comparable", "other images", "nats", 10.0)


def text(outcome: GateOutcome, everything: bool = False) -> list[list[str]]:
    """The cells of the table as it is printed, row by row."""
    console = Console(width=300, color_system=None)
    with console.capture() as captured:
        console.print(outcome_table(outcome, everything))
    return [line.split("  ") for line in captured.get().splitlines()]


def test_the_summary_counts_every_verdict() -> None:
    assert summary(GateOutcome([FINE, FINE, WORSE])) == "3 scores: 2 ok, 1 regressed"
    assert summary(GateOutcome([OTHER, MISSING, BETTER])) == "3 scores: 1 improved, 1 not measured, 1 not comparable"
    assert summary(GateOutcome([])) == "0 scores: none"


def test_the_table_leaves_out_what_is_fine() -> None:
    outcome = GateOutcome([FINE, WORSE, MISSING])
    shown = ["".join(cells) for cells in text(outcome)]
    assert len(shown) == 1 + 1 + 2, "a head, the regression, what is missing with its reason"
    assert "WORSE" in shown[1] and "0.1 [0.09, 0.12]" in shown[1] and "no result" in shown[3]
    assert "cvae on digits test" in shown[1] and not any("nll@mean" in line for line in shown)
    assert any("nll@mean" in "".join(cells) for cells in text(outcome, everything=True))


@pytest.mark.parametrize(
    ("cases", "head"),
    [
        ([FINE, BETTER], "### ✅ No regression"),
        ([FINE, WORSE], "### ❌ Regression"),
        ([WORSE, MISSING], "### ❌ Not measured"),
        ([WORSE, MISSING, OTHER], "### ❌ Not comparable"),
        ([], "### ❌ Not measured"),
    ],
)
def test_markdown_begins_with_the_verdict(cases: list[GateCase], head: str) -> None:
    outcome = GateOutcome(cases)
    lines = outcome_markdown(outcome).splitlines()
    assert lines[0] == head and lines[2] == summary(outcome) + "."
    assert ("--update-baseline" in outcome_markdown(outcome)) is (BETTER in cases)


def test_markdown_folds_what_is_fine_and_gives_each_reason_once() -> None:
    lines = outcome_markdown(GateOutcome([FINE, WORSE, WORSE, MISSING])).splitlines()
    moved = lines[: lines.index("<details><summary>1 unchanged</summary>")]
    assert sum(line.startswith("| WORSE |") for line in moved) == 2
    assert [line for line in moved if line.startswith("* ")] == ["* worse by 0.1", "* no result"]
    assert "nll@mean" not in "".join(moved) and "nll@mean" in "".join(lines)
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {9}, "every row has the eight cells of the head"
    assert "<details>" not in outcome_markdown(GateOutcome([WORSE]))


def test_the_basis_of_the_verdicts_is_in_every_form() -> None:
    case = replace(WORSE, rule="seeds", detectable=0.25)
    outcome = GateOutcome([case], alpha=0.01, compared=40, notes=["no | digest"])
    lines = basis(outcome)
    assert lines[0] == "false alarms: at most 1 % of unchanged candidates, over 40 scores"
    assert lines[1].startswith("finds: ") and lines[2] == "note: no | digest"
    text_of = outcome_markdown(outcome)
    assert f"* {lines[0]}" in text_of and r"* note: no \| digest" in text_of
    assert next(line for line in text_of.splitlines() if line.startswith("| WORSE")).endswith("| 0.005 | 0.25 |")
    data = outcome_data(outcome)
    assert (data["alpha"], data["compared"], data["notes"]) == (0.01, 40, ["no | digest"])
    assert basis(GateOutcome([replace(WORSE, rule="exact")])) == [], "without noise there is no rate"
    assert "| any |" in outcome_markdown(GateOutcome([replace(WORSE, rule="exact")]))


def test_a_calibrated_baseline_says_what_it_finds(tmp_path: Path) -> None:
    for seed in range(3):
        saved(tmp_path, "net", {"mine": [1.0 + seed, 2.0 + seed]}, seed=seed)
    (line,) = calibration(baseline_of([tmp_path]))
    # sd 1 of three runs: t = 2.920 and 1.886 with 2 degrees of freedom, times √(4/3)
    assert "3 seeds, error rate 5 % over 1 scores: mine alarms when worse by 3.37 (3.37 sd of a run)" in line
    assert line.endswith("finds 5.55 nine times in ten")
    saved(tmp_path / "plain", "net", {"mine": [1.0, 2.0]})
    assert calibration(baseline_of([tmp_path / "plain"])) == []


def test_names_are_text_in_every_form() -> None:
    name = "a|b`*_<b>[x]\\\n\x1b[31m"
    case = GateCase(name, name, name, "regressed", name, "1", 0.5, 0.6, 0.1, 0.09, 0.12, 0.005)
    outcome = GateOutcome([case])
    row = next(line for line in outcome_markdown(outcome).splitlines() if line.startswith("| WORSE"))
    cell = r"a\|b\`\*\_&lt;b>\[x\]\\ \\u001b\[31m"
    assert row.split(" | ")[2] == cell
    root = ElementTree.fromstring(outcome_junit(outcome))
    (element,) = root.iter("testcase")
    assert element.get("name") == "a|b`*_<b>[x]\\\n\\u001b[31m"
    assert "[31m" in "".join(text(outcome)[1] + text(outcome)[2])
    assert json.loads(json.dumps(outcome_data(outcome)))["cases"][0]["model"] == name


def test_junit_tells_failures_from_errors() -> None:
    root = ElementTree.fromstring(outcome_junit(GateOutcome([FINE, WORSE, BETTER, MISSING, OTHER])))
    assert root.attrib == {"tests": "5", "failures": "1", "errors": "2"}
    found = {element.get("name"): [child.tag for child in element] for element in root.iter("testcase")}
    assert found["mse_min@0"] in (["failure"], ["system-out"]) and found["nll@mean"] == ["system-out"]
    assert (found["nll@0"], found["nll@1"]) == (["error"], ["error"])
    (failure,) = root.iter("failure")
    assert failure.attrib == {"type": "regressed", "message": "worse by 0.1"}
    assert {element.get("classname") for element in root.iter("testcase")} == {"digits test.cvae", "digits test.fcn"}


def test_data_have_every_field() -> None:
    data = outcome_data(GateOutcome([WORSE, MISSING]))
    assert (data["ok"], data["exit_code"], data["summary"]) == (False, 3, "2 scores: 1 regressed, 1 not measured")
    assert data["cases"][0]["worse"] == 0.1 and data["cases"][1]["now"] is None
    assert set(MARKS) == {"ok", "improved", "regressed", "not measured", "not comparable"}
