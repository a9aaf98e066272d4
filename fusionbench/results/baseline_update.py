"""What a new baseline would give up of the old one: models, scores, and regressions that would no longer be seen."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fusionbench.core.errors import RejectedError, UsageError, some, unknown_name
from fusionbench.results.baseline import Baseline
from fusionbench.results.gate import GateCase, GateOutcome, describe_case


class UpdateRefusedError(RejectedError):
    """A new baseline would hide something; ``details`` has a line for each."""

    def __init__(self, message: str, details: Sequence[str]) -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class BaselineUpdate:
    """A new baseline beside the old one.

    Attributes:
        dropped: (model, what is no longer in the baseline, in words).
        accepted: cases that are red now and would be green afterwards.
        notes: what else changes in how strict the gate is, a line each.
    """

    dropped: list[tuple[str, str]]
    accepted: list[GateCase]
    notes: list[str]

    def require(self, drop: Collection[str] = (), accept_regression: bool = False) -> None:
        """Let pass what was asked for by name.

        Args:
            drop: models whose entries or scores may go.

        Raises:
            UsageError: a model to drop of which nothing is dropped.
            UpdateRefusedError: anything else that would go, or turn green.
        """
        models = sorted({model for model, _ in self.dropped})
        for name in drop:
            if name not in models:
                if not models:
                    raise UsageError(f"--drop {name}: the results have everything of it; leave the option out")
                raise unknown_name("model to drop", name, models)
        kept_back = [(model, text) for model, text in self.dropped if model not in drop]
        lines = [f"drops {text}" for _, text in kept_back]
        options = [f"--drop {model}" for model in dict.fromkeys(model for model, _ in kept_back)]
        if self.accepted and not accept_regression:
            lines += [f"accepts {case.verdict}: {describe_case(case)}" for case in self.accepted]
            options.append("--accept-regression")
        if lines:
            text = (
                f"the baseline was not written: it would hide {len(lines)} findings; to do so, add {some(options, ' ')}"
            )
            raise UpdateRefusedError(text, lines)


def review_update(before: Baseline, after: Baseline, outcome: GateOutcome) -> BaselineUpdate:
    """Compare a new baseline with the old one.

    Args:
        outcome: of the gate with the results of ``after`` on ``before``.
    """
    new = {entry.key: entry for entry in after.entries}
    dropped, notes = [], []
    gone = set()
    for entry in before.entries:
        where = f"{entry.dataset.name} {entry.dataset.split}"
        other = new.get(entry.key)
        lost = [key for key in entry.scores if other is None or key not in other.scores]
        gone |= {(entry.model, where, key) for key in lost}
        if other is None:
            dropped.append((entry.model, f"{entry.title} with its {len(entry.scores)} scores"))
            continue
        dropped += [(entry.model, f"{key} of {entry.title}") for key in lost]
        pairs = [(key, score, other.scores[key]) for key, score in entry.scores.items() if key in other.scores]
        fewer = [key for key, old, now in pairs if old.noise is not None and now.noise is None]
        if fewer:
            notes.append(
                f"{entry.title}: the noise of {entry.scores[fewer[0]].runs} seeds is lost; --calibrate keeps it"
            )
        wider = [(key, old, now) for key, old, now in pairs if now.tolerance > old.tolerance * (1 + 1e-6)]
        if wider:
            key, old, now = max(wider, key=lambda item: item[2].tolerance / (item[1].tolerance or 1e-300))
            text = f"{key} from {old.tolerance:.4g} to {now.tolerance:.4g}"
            notes.append(f"{entry.title}: {len(wider)} tolerances are wider, most of all {text}")
    red = outcome.of("regressed", "not comparable", "not measured")
    accepted = [case for case in red if (case.model, case.dataset, case.score) not in gone]
    if after.error_rate != before.error_rate:
        notes.append(f"the error rate is {after.error_rate:g} and was {before.error_rate:g}")
    if after.schema != before.schema:
        notes.append(f"the file is a {after.schema} now, with error rate and digest")
    return BaselineUpdate(dropped, accepted, notes)
