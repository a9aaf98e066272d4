"""For pytest: the fixture ``fusionbench_gate``. Loaded by pytest in every session, so it imports nothing on its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fusionbench.results.gate import GateOutcome


@pytest.fixture(scope="session")
def fusionbench_gate() -> Callable[[str | Path, str | Path], GateOutcome]:
    """``fusionbench_gate(candidate, baseline)``: fails the test when a score regressed or could not be judged.

    Returns the outcome, for further questions such as ``outcome.of("improved")``.
    """

    def check(candidate: str | Path, baseline: str | Path) -> GateOutcome:
        from fusionbench.results.gate import describe_case, gate

        outcome = gate(candidate, baseline)
        if not outcome.ok:
            bad = outcome.of("not comparable") or outcome.of("not measured") or outcome.of("regressed")
            lines = [f"{case.verdict}: {describe_case(case)}" for case in bad] or ["the baseline is empty"]
            pytest.fail("\n".join(lines), pytrace=False)
        return outcome

    return check
