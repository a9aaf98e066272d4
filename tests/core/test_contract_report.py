"""Reports of checks: verdicts, and errors as reasons on one line."""

from __future__ import annotations

from fusionbench.core.contract_report import ContractReport, NotApplicableError, line_of, run_checks, that


def holds(value: int) -> None:
    """what
    it is about"""
    that(value == 1, "is not 1")


def lacks(value: int) -> None:
    """an ability"""
    raise NotApplicableError("no loss")


def breaks(value: int) -> None:
    """code that fails"""
    raise ValueError("two\nlines | and a bar")


def leaves(value: int) -> None:
    """code that ends its process"""
    raise SystemExit(0)


def test_a_check_that_ends_the_process_fails_and_stops_no_other() -> None:
    report = run_checks(ContractReport("x", None, kind="metric"), 1, {"leaves": leaves, "holds": holds})
    assert [(row.verdict, row.reason) for row in report.rows] == [("fails", "SystemExit: 0"), ("passes", "")]


def test_verdicts() -> None:
    checks = {"holds": holds, "lacks": lacks}
    report = run_checks(ContractReport("x", None, kind="metric"), 1, checks)
    assert report.ok and [row.verdict for row in report.rows] == ["passes", "does not apply"]
    assert report.rows[0].about == "what it is about" and report.as_json()["name"] == "x"
    report = run_checks(ContractReport("x", None, kind="metric"), 2, {**checks, "breaks": breaks})
    assert not report.ok and [row.reason for row in report.rows] == [
        "is not 1",
        "no loss",
        line_of(ValueError("two lines | and a bar")),
    ]
    assert "two lines \\| and a bar" in report.as_markdown() and report.as_json()["ok"] is False
