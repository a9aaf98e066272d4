"""``pairs-robust/1``: registered pairs whose sources are degraded on purpose, fused, and scored against the clean ones.

How single pairs are scored stands in :mod:`fusionbench.evaluation.robustness`, what follows from the scores in
:mod:`fusionbench.results.robustness`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusionbench.core.errors import UsageError, some
from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.evaluation.protocols.base import BaseProtocol
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.evaluation.protocols.pairs import RegisteredPairs
from fusionbench.results.robustness import PROTOCOL as NAME
from fusionbench.results.robustness import ROBUSTNESS, DamageCondition
from fusionbench.results.schema import ProtocolIdentity, Result

if TYPE_CHECKING:
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.evaluation.subject import Scorable
    from fusionbench.evaluation.suites import Suite

# The protocol's own families: one that is added to the registry later is scored where an option names it.
FAMILIES = (
    "shift/1",
    "affine/1",
    "flow/1",
    "gaussian-noise/1",
    "poisson/1",
    "fixed-pattern/1",
    "drift/1",
    "blur/1",
    "lowlight/1",
    "haze/1",
    "rain/1",
    "block/1",
    "occlude/1",
    "drop/1",
)
SEVERITIES = (1, 3, 5)
# Quotients of means need metrics that are above 0; these three of the field's tables are, and ask three questions:
# which edges, how much information, what structure of the sources is left (docs/robustness.md has how far each is to
# be trusted). SCD of a plain average is near 0, and EN, SD, SF look at no source.
METRICS = ("qabf", "vif", "ssim")
SEEN = ("qabf",)  # against the degraded sources costs as much again, and one metric shows what the field misses


class RobustOptions(BaseOptions, kw_only=True, frozen=True):
    """``families`` and ``severities``: every family at every severity is a condition. ``metrics``: against the clean
    sources, those in ``seen`` against the degraded ones as well. ``seed`` of the degradations.
    """

    families: tuple[str, ...] = FAMILIES
    severities: tuple[int, ...] = SEVERITIES
    metrics: tuple[str, ...] = METRICS
    seen: tuple[str, ...] = SEEN
    seed: int = 0
    range_a: str | None = None
    range_b: str | None = None

    def __post_init__(self) -> None:
        from fusionbench.metrics.engine import choose
        from fusionbench.synth.degradations import DEGRADATIONS, SEVERITIES

        _ = self.ranges
        for option, values in (("families", self.families), ("severities", self.severities), ("metrics", self.metrics)):
            if not values or len(set(values)) < len(values):
                raise UsageError(f"{option}: {'empty' if not values else 'one stands there twice'}: {list(values)}")
        for family in self.families:
            DEGRADATIONS.get(family)
        if wrong := [one for one in self.severities if one not in SEVERITIES]:
            raise UsageError(f"severities: no severity {wrong[0]}; they are {some(list(map(str, SEVERITIES)))}")
        for metric in choose(self.metrics):
            if metric.needs != "pair" or metric.better != "higher":
                raise UsageError(
                    f"metrics: {metric.name} cannot be put in relation to its value on clean sources: name metrics of "
                    "the sources whose higher values are better, such as qabf, vif, ssim, mi, fmi"
                )

        if (other := [one for one in self.seen if one not in self.metrics]) and self.seen != SEEN:
            raise UsageError(f"seen: {other[0]} is not among the metrics {', '.join(self.metrics)}")

    @property
    def ranges(self) -> Ranges:
        """The ranges of both views, as ``pairs/1`` has them.

        Raises:
            UsageError: a text that is none.
        """
        return Ranges(Range.of(self.range_a), Range.of(self.range_b))

    @property
    def conditions(self) -> list[DamageCondition]:
        """Every family at every severity."""
        return [DamageCondition(family, severity) for family in self.families for severity in self.severities]


class RobustPairs(RegisteredPairs):
    """The protocol ``pairs-robust/1``; ``open`` takes what ``pairs/1`` takes."""

    name, version, title = NAME, "1", "degraded pairs"
    about = (
        "A model fuses every registered pair clean and degraded in many ways; what it makes of the degraded pair is "
        "scored against the clean sources."
    )
    columns = (ROBUSTNESS, *METRICS)
    titles = {ROBUSTNESS: "kept under damage"}  # noqa: RUF012 - a constant
    shown = (ROBUSTNESS, *METRICS)  # a page of its own has the conditions
    apart = "degraded"
    Options = RobustOptions  # type: ignore[assignment]
    flags = {  # noqa: RUF012 - a constant
        "families": Flag(
            "Families of degradations, a list [all of the protocol]; see `fusionbench list degradations`."
        ),
        "severities": Flag("Their severities, 1 to 5, a list [[1, 3, 5]]."),
        "metrics": Flag(
            'Metrics of the sources whose higher values are better, a list [["qabf", "vif", "ssim"]].',
            ("--robust-metrics",),
        ),
        "seen": Flag('Those of the metrics that are taken against the degraded sources as well, a list [["qabf"]].'),
        "seed": Flag("Of the degradations."),
        "range_a": RegisteredPairs.flags["range_a"],
        "range_b": RegisteredPairs.flags["range_b"],
        "keep_images": Flag(
            "Keep a sheet of what is made of the first pair at every condition [where the licence allows it].",
            ("--keep-images/--no-images",),
            form="toggle",
        ),
    }
    lacks = "makes one image a pair and draws no samples"
    ignored = frozenset()

    def identity(self, options: Any, data: PairSet) -> ProtocolIdentity:
        """All options, and the ranges that were found in the image files."""
        rules = BaseProtocol.identity(self, options, data)
        rules.params = {key: list(rules.params[key]) for key in ("families", "severities", "metrics", "seen")}
        rules.params |= data.ranges.params()
        return rules

    def claims(self, data: str, source_dir: Path | None) -> bool:
        """Never: pairs are scored clean unless somebody asks for this."""
        return False

    def evaluate(
        self,
        model: Scorable,
        data: PairSet,
        options: Any,
        *,
        keep_images: bool | None = None,
        **settings: Any,
    ) -> Result:
        """As :func:`fusionbench.evaluation.robust_rows.evaluate_row`."""
        from fusionbench.evaluation.robust_rows import evaluate_row

        return evaluate_row(self, model, data, options, keep_images=keep_images, **settings)

    def evaluate_all(self, model: Scorable, data: PairSet, options: Any, **settings: Any) -> list[Result]:
        """One result."""
        return [self.evaluate(model, data, options, **settings)]

    def draw_suite(self, suite: Suite, rows: Any, data: PairSet, out: Path, *, whole: bool) -> None:
        """Nothing: each row keeps its own sheet."""

    def score_images(self, fused: Path, data: PairSet, options: Any, **about: Any) -> Result:
        """As :func:`fusionbench.evaluation.robust_rows.score_folders`: a folder of fused images for each condition."""
        from fusionbench.evaluation.robust_rows import score_folders

        return score_folders(self, fused, data, options, **about)


PROTOCOL = RobustPairs()
