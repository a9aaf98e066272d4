"""What the checks of a contract found: a row a check, as text for a pull request or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")


class NotApplicableError(Exception):
    """What is checked lacks the ability that a check is about."""


@dataclass(frozen=True)
class CheckRow:
    """One check: what it is about, its verdict, and why it fails or does not apply."""

    check: str
    about: str
    verdict: Literal["passes", "fails", "does not apply"]
    reason: str = ""


@dataclass
class ContractReport:
    """All rows. ``ok`` when nothing fails. ``parameters``: of a model, at the size of the checks."""

    model: str
    parameters: int | None
    rows: list[CheckRow] = field(default_factory=list)
    kind: str = "model"

    @property
    def ok(self) -> bool:
        return all(row.verdict != "fails" for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        rows = [asdict(row) for row in self.rows]
        about = {"model": self.model, "parameters": self.parameters} if self.kind == "model" else {"name": self.model}
        return {"ok": self.ok, "kind": self.kind, **about, "checks": rows}

    def as_markdown(self, packages: str = "") -> str:
        """The table to paste into a pull request; ``packages``: what else it ran with."""
        from fusionbench import __version__

        size = "" if self.parameters is None else f", {self.parameters:,} parameters at the checks' size"
        lines = [f"**{self.model}**{size}; fusionbench {__version__}{packages}", ""]
        lines += ["| check | what | verdict |", "|---|---|---|"]
        for row in self.rows:
            verdict = row.verdict + (f": {row.reason}" if row.reason else "")
            lines.append(f"| {row.check} | {row.about} | {verdict.replace('|', chr(92) + '|')} |")
        return "\n".join(lines)


def run_checks(report: ContractReport, candidate: T, checks: Mapping[str, Callable[[T], None]]) -> ContractReport:
    """Add a row a check. An error in the code that is checked is a check that fails, with the error as its reason.

    So is ``sys.exit``, which would end all checks as if they had passed.
    """
    for name, check in checks.items():
        about = " ".join((check.__doc__ or "").split())
        try:
            check(candidate)
            report.rows.append(CheckRow(name, about, "passes"))
        except NotApplicableError as error:
            report.rows.append(CheckRow(name, about, "does not apply", str(error)))
        except (Exception, SystemExit) as error:
            report.rows.append(CheckRow(name, about, "fails", line_of(error)))
    return report


def that(holds: Any, otherwise: str) -> None:
    """``assert`` that Python's -O leaves in.

    Raises:
        AssertionError: it does not hold.
    """
    if not holds:
        raise AssertionError(otherwise)


def line_of(error: BaseException) -> str:
    """An error on one line; of a check its reason alone."""
    text = " ".join(str(error).split())[:200]
    return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"
