"""Which evaluator gives a whole row of a table: several numbers on the same images, explained together.

numbers = parse_row(["EN=7.12,SD=46.00,SF=13.15"])
found = explain_row(numbers, rows)
found.joint[0].name, found.joint[0].chance, found.verdict

One dialect that gives every column says more than a patchwork of definitions, one for each column. How much more is
the chance that invented rows would be matched as well (:mod:`fusionbench.evaluation.coincidence`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fusionbench.core.errors import UsageError, unknown_name
from fusionbench.core.image_ranges import Ranges
from fusionbench.evaluation.coincidence import LIKELY, Group, PrintedNumber, chances
from fusionbench.evaluation.definitions import Way, scored_metric, ways, whose
from fusionbench.evaluation.explain import Candidate, candidates_of, share, verdict
from fusionbench.evaluation.image_files import Triple, fit_rows
from fusionbench.metrics import METRICS, label_of
from fusionbench.metrics.engine import TABLE

MAX_COLUMNS = 40
LEVELS = (
    "one dialect",
    "one dialect with slips",
    "a patchwork of definitions",
    "one dialect, images treated",
    "one dialect with slips, images treated",
    "a patchwork of definitions, images treated",
    "a patchwork of definitions and treatments",
)
_BOLD = re.compile(r"\\(?:textbf|underline|mathbf|textit|bf|color\{\w+\})\s*|[{}$*]")
_BETWEEN = re.compile(r"(?:\\\\|[\s,;|&])+")


@dataclass(frozen=True)
class ColumnFound:
    """A column of the row: the number, its candidates (nearest first) and what they say about it alone."""

    metric: str
    number: PrintedNumber
    candidates: list[Candidate]
    verdict: str


@dataclass(frozen=True)
class Joint:
    """An explanation of several columns at once.

    Attributes:
        kind: one of :data:`LEVELS`.
        dialect, treatment: what all columns share; "" where they differ.
        matched: metrics of the columns that it gives.
        ways: metric -> the way to each of these.
        chance: of invented rows, how many would be matched as well; everything that was tried is counted.
    """

    kind: str
    dialect: str
    treatment: str
    matched: tuple[str, ...]
    ways: dict[str, str]
    chance: float

    @property
    def name(self) -> str:
        """In words."""
        who = self.dialect or self.kind
        slips = " with slips" if self.dialect and "slips" in self.kind else ""
        return f"{who}{slips}" + (f", {self.treatment}" if self.treatment else "")


@dataclass(frozen=True)
class RowFound:
    """What is known about a row: its columns, joint explanations (the best first), values tried, and a sentence."""

    columns: list[ColumnFound]
    joint: list[Joint]
    tried: int
    verdict: str


def parse_row(texts: Sequence[str], columns: Sequence[str] | None = None) -> dict[str, PrintedNumber]:
    """Numbers by metric, from ``NAME=NUMBER`` or bare numbers; a line of a LaTeX or Markdown table works.

    Bare numbers are those of ``columns``, or eight of them those of the field's tables. A missing number (–, n/a)
    is left out.

    Raises:
        UsageError: an unknown or repeated column, something that is no number, more or fewer numbers than columns.

    Example:
        >>> from fusionbench.evaluation.explain_row import parse_row
        >>> {name: number.text for name, number in parse_row(["EN=7.12,Q_abf=0.54"]).items()}
        {'en': '7.12', 'qabf': '0.54'}
        >>> list(parse_row([r"7.12 & 46.00 & \\textbf{13.15} & 2.19 & 1.76 & 0.77 & 0.54 & 1.03"]))
        ['en', 'sd', 'sf', 'mi', 'scd', 'vif', 'qabf', 'ssim']
    """
    parts = [part for text in texts for part in _BETWEEN.split(_BOLD.sub("", text)) if part]
    named = [part.partition("=")[::2] for part in parts if "=" in part]
    bare = [part for part in parts if "=" not in part]
    if named and bare:
        raise UsageError(f"{bare[0]!r} has no name; write NAME=NUMBER for every number, or for none")
    if columns is not None and named:
        raise UsageError("--columns names bare numbers; leave it out, or the names")
    if bare:
        names = list(columns if columns is not None else TABLE)
        if len(names) != len(bare):
            default = "" if columns is not None else ", the eight of the field's tables; name others with --columns"
            raise UsageError(f"{len(bare)} numbers for {len(names)} columns ({','.join(names)}{default})")
        named = list(zip(names, bare, strict=True))
    if not named:
        raise UsageError("no number to explain; write METRIC NUMBER, or a row such as EN=7.12,SD=46.0")
    if len(named) > MAX_COLUMNS:
        raise UsageError(f"a row of {len(named)} numbers is more than {MAX_COLUMNS}; split it")
    found: dict[str, PrintedNumber] = {}
    for name, number in named:
        metric = _metric(name)
        if metric in found:
            raise UsageError(f"{name} is there twice; give each column once")
        if number.lower() not in ("-", "–", "—", "n/a", "nan", ""):
            found[metric] = PrintedNumber.parse(number)
    if not found:
        raise UsageError("no number to explain: every column is empty")
    return found


def _metric(text: str) -> str:
    """The metric that a table's head names: ``Q^{AB/F}``, ``MS-SSIM``, ``qabf``."""

    def plain(name: str) -> str:
        return re.sub(r"[^a-z0-9]", "", name.lower())

    # a metric's own name before another one's label
    known = {plain(label_of(name)): name for name in METRICS.names()} | {plain(name): name for name in METRICS.names()}
    if plain(text) not in known:
        raise unknown_name("metric", text, METRICS.names(), "fusionbench list metrics")
    name = known[plain(text)]
    scored_metric(name)
    return name


def explain_row(
    numbers: dict[str, PrintedNumber], rows: Sequence[Triple], *, task: Any = None, ranges: Ranges | None = None
) -> RowFound:
    """Explain several numbers, each the mean of a metric over ``rows``, one by one and together.

    Raises:
        UsageError: a metric that does not score fused images.
        DataError: an image that cannot be read, or images too small for a metric.
    """
    found = ways(list(numbers), rows, fit_rows(ranges or Ranges(), rows), task)
    by_metric = {name: [way for way in found if way.asked == name] for name in numbers}
    columns = []
    for name, number in numbers.items():
        candidates = candidates_of(number, by_metric[name])
        columns.append(ColumnFound(name, number, candidates, verdict(number, candidates, len(by_metric[name]))))
    joint = _joint(numbers, by_metric)
    return RowFound(columns, joint, len(found), _row_verdict(numbers, joint, len(found)))


def _joint(numbers: dict[str, PrintedNumber], by_metric: dict[str, list[Way]]) -> list[Joint]:
    """Joint explanations of at least one column, those that would surprise most first."""
    names = list(numbers)
    made: list[tuple[Group, list[list[Way]]]] = []
    for level, (dialect, treatment), chosen in _groups(by_metric):
        hits = [[w for w in found if numbers[n].agrees(w.value)] for n, found in zip(names, chosen, strict=True)]
        matched = tuple(place for place, hit in enumerate(hits) if hit)
        rates = tuple(numbers[n].match_rate([w.value for w in c]) for n, c in zip(names, chosen, strict=True))
        made.append((Group((dialect, treatment), level, matched, rates), hits))
    result = []
    for (group, hits), chance in zip(made, chances([group for group, _ in made]), strict=True):
        if group.matched:
            best = {names[place]: min(hits[place], key=lambda way: way.steps) for place in group.matched}
            shown = {name: _way_text(way) for name, way in best.items()}
            result.append((chance, group, Joint(LEVELS[group.level], *group.name, tuple(best), shown, chance)))
    result.sort(key=lambda one: (one[0], -len(one[1].matched), one[1].level))
    return [joint for _, _, joint in result]


def _groups(by_metric: dict[str, list[Way]]) -> Iterator[tuple[int, tuple[str, str], list[list[Way]]]]:
    """(level, (dialect, treatment), ways of each column) of every group of definitions that belong together."""
    every = [way for found in by_metric.values() for way in found]
    dialects = dict.fromkeys(way.dialect for way in every if not way.variant)
    for treatment in dict.fromkeys(way.treatment for way in every):
        later = 3 * bool(treatment)
        # a dialect prints the quantity that it was asked for
        here = [[way for way in found if way.treatment == treatment] for found in by_metric.values()]
        own = [[way for way in found if not way.variant and way.metric == way.asked] for found in here]
        for dialect in dialects:
            slipped = [[way for way in found if way.dialect == dialect] for found in own]
            yield later, (dialect, treatment), [[way for way in found if not way.slip] for found in slipped]
            yield later + 1, (dialect, treatment), slipped
        yield later + 2, ("", treatment), here
    yield 6, ("", ""), list(by_metric.values())


def _way_text(way: Way) -> str:
    parts = (f"{way.metric} in {way.dialect}", way.slip, way.variant, way.treatment)
    return ", ".join(filter(None, parts)) + f": {way.value:.6g}"


def _row_verdict(numbers: dict[str, PrintedNumber], joint: Sequence[Joint], tried: int) -> str:
    if not joint:
        return f"no known definition gives any of these {len(numbers)} numbers: {tried} values were tried"
    best, count = joint[0], len(numbers)
    missed = [name for name in numbers if name not in best.matched]
    said = "all" if not missed else f"{len(best.matched)} of"
    if best.chance > LIKELY:
        return (
            f"no known definition gives this row: the best, {best.name}, gives {len(best.matched)} of {count} numbers, "
            f"and {share(best.chance, 'invented rows')} would be matched as well"
        )
    same = [one for one in joint[1:] if (one.chance, one.matched, one.kind) == (best.chance, best.matched, best.kind)]
    whom = f" ({whose(best.dialect)})" if best.dialect else ""
    whom += f" or {', '.join(one.name for one in same)}" if same else ""
    chance = share(best.chance, "invented rows")
    text = f"{best.name}{whom} gives {said} {count} numbers; {chance} would be matched as well"
    return text + (f"; not {', '.join(missed)}" if missed else "")
