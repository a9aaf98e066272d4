"""For pytest: the fixture ``fusionbench_gate``. Loaded by pytest in every session, so it imports nothing on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from fusionbench.results.gate import GateOutcome


@pytest.fixture(scope="session")
def fusionbench_gate() -> Callable[[str | Path | Sequence[str | Path], str | Path], GateOutcome]:
    """``fusionbench_gate(candidate, baseline)``: fails the test when a score regressed or could not be judged.

    The candidate is a result, a folder of results, a CSV or JSON of per-image scores, or several of these.
    Returns the outcome, for further questions such as ``outcome.of("improved")``.
    """

    def check(candidate: str | Path | Sequence[str | Path], baseline: str | Path) -> GateOutcome:
        from fusionbench.results.gate import describe_case, gate

        outcome = gate(candidate, baseline)
        if not outcome.ok:
            bad = outcome.of("not comparable") or outcome.of("not measured") or outcome.of("regressed")
            lines = [f"{case.verdict}: {describe_case(case)}" for case in bad] or ["the baseline is empty"]
            lines += [f"note: {note}" for note in outcome.notes]
            pytest.fail("\n".join(lines), pytrace=False)
        return outcome

    return check
