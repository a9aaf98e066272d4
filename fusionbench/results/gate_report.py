"""A gate's outcome for people and machines: terminal, Markdown, JUnit XML, plain data."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fusionbench.core.text import in_markdown_table, printable
from fusionbench.results.baseline import Baseline
from fusionbench.results.gate import GateCase, GateOutcome, Verdict

if TYPE_CHECKING:
    from rich.table import Table

MARKS: dict[Verdict, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "improved": ("better", "cyan"),
    "regressed": ("WORSE", "bold red"),
    "not measured": ("NOT MEASURED", "bold yellow"),
    "not comparable": ("NOT COMPARABLE", "bold yellow"),
}
_HEADS = ("verdict", "model", "score", "baseline", "now", "worse by", "tolerance", "finds")


def summary(outcome: GateOutcome) -> str:
    """One sentence."""
    counts = {verdict: len(outcome.of(verdict)) for verdict in MARKS}
    parts = [f"{count} {verdict}" for verdict, count in counts.items() if count]
    return f"{len(outcome.cases)} scores: {', '.join(parts) or 'none'}"


def basis(outcome: GateOutcome) -> list[str]:
    """What the verdicts rest on, a line each: the error rate, the smallest tolerance, and what the baseline lacks."""
    lines = []
    if outcome.compared:
        lines.append(
            f"false alarms: at most {100 * outcome.alpha:.3g} % of unchanged candidates, over {outcome.compared} scores"
        )
    if any(case.detectable is not None for case in outcome.cases):
        lines.append("finds: the change that is found nine times in ten")
    return [*lines, *(f"note: {note}" for note in outcome.notes)]


def calibration(baseline: Baseline) -> list[str]:
    """What a calibrated baseline can find, a line a model."""
    lines = []
    for entry in baseline.entries:
        noisy = {key: score for key, score in entry.scores.items() if score.noise}
        if noisy:
            key, score = next(iter(noisy.items()))
            assert score.noise is not None
            lines.append(
                f"{entry.title}: {score.runs} seeds, error rate {100 * baseline.error_rate:.3g} % over "
                f"{baseline.compared} scores: {key} alarms when worse by {score.tolerance:.3g} "
                f"({score.tolerance / score.noise:.3g} sd of a run) and finds {score.detectable:.3g} nine times in ten"
            )
    return lines


def _row(case: GateCase) -> tuple[str, ...]:
    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:.5g}"

    worse = number(case.worse)
    if case.low is not None and case.high is not None:
        worse += f" [{case.low:.2g}, {case.high:.2g}]"
    label = MARKS[case.verdict][0]
    model = f"{case.model} on {case.dataset}"
    finds = number(case.detectable) if case.detectable is not None else "any" if case.rule == "exact" else "–"
    numbers = number(case.baseline), number(case.now), worse, number(case.tolerance)
    return label, model, case.score, *numbers, finds


def outcome_table(outcome: GateOutcome, everything: bool = False) -> Table:
    """A rich table; scores that are fine are left out unless ``everything``."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, head in enumerate(_HEADS):
        table.add_column(head, justify="right" if number > 2 else "left", no_wrap=number != 1)
    for case in outcome.cases:
        if everything or case.verdict != "ok":
            label, *rest = _row(case)
            table.add_row(f"[{MARKS[case.verdict][1]}]{label}[/]", *(escape(text) for text in rest))
            if case.verdict in ("not measured", "not comparable"):
                table.add_row("", f"[dim]{escape(case.reason)}[/dim]")
    return table


def outcome_markdown(outcome: GateOutcome) -> str:
    """For a job summary: what moved first, everything else folded."""
    moved, fine = [case for case in outcome.cases if case.verdict != "ok"], outcome.of("ok")
    heads = {0: "✅ No regression", 1: "❌ Regression", 3: "❌ Not measured", 4: "❌ Not comparable"}
    lines = [f"### {heads[outcome.exit_code]}", "", summary(outcome) + ".", ""]
    lines += [f"* {in_markdown_table(line)}" for line in basis(outcome)]
    lines += [""] if basis(outcome) else []
    if moved:
        lines += [*_markdown_table(moved), ""]
        lines += [f"* {in_markdown_table(describe)}" for describe in dict.fromkeys(case.reason for case in moved)]
        lines.append("")
    if outcome.of("improved") and outcome.ok:
        lines += ["Better scores become the new baseline with `--update-baseline`.", ""]
    if fine:
        lines += [f"<details><summary>{len(fine)} unchanged</summary>", "", *_markdown_table(fine), ""]
        lines += ["</details>", ""]
    return "\n".join(lines)


def _markdown_table(cases: list[GateCase]) -> list[str]:
    rows = [f"| {' | '.join(in_markdown_table(text) for text in _row(case))} |" for case in cases]
    return [f"| {' | '.join(_HEADS)} |", "|---|---|---|--:|--:|--:|--:|--:|", *rows]


def outcome_junit(outcome: GateOutcome) -> bytes:
    """JUnit XML with a test case a score: regressions are failures, what could not be judged is an error."""
    from xml.etree import ElementTree

    failures = outcome.of("regressed")
    errors = outcome.of("not measured", "not comparable")
    counts = {"tests": str(len(outcome.cases)), "failures": str(len(failures)), "errors": str(len(errors))}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "fusionbench gate", **counts})
    for case in outcome.cases:
        name = {"classname": _xml(f"{case.dataset}.{case.model}"), "name": _xml(case.score)}
        element = ElementTree.SubElement(suite, "testcase", name)
        if case in failures or case in errors:
            kind = "failure" if case in failures else "error"
            ElementTree.SubElement(element, kind, {"type": case.verdict, "message": _xml(case.reason)})
        else:
            ElementTree.SubElement(element, "system-out").text = _xml(case.reason)
    ElementTree.indent(root)
    result: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"
    return result


def _xml(text: str) -> str:
    """Printable text, without what XML 1.0 cannot hold."""
    return re.sub("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", printable(text))


def outcome_data(outcome: GateOutcome) -> dict[str, Any]:
    """JSON-ready: exit code, summary and every case."""
    cases = [asdict(case) for case in outcome.cases]
    return {
        "ok": outcome.ok,
        "exit_code": outcome.exit_code,
        "summary": summary(outcome),
        "alpha": outcome.alpha,
        "compared": outcome.compared,
        "notes": outcome.notes,
        "cases": cases,
    }
