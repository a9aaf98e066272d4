"""``pairs/1``: every registered pair of a source's split, fused at its own size and scored against both sources.

How pairs are scored stands in :mod:`fusionbench.evaluation.pairs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from fusionbench.core.image_ranges import Range, Ranges
from fusionbench.core.progress import say
from fusionbench.evaluation.protocols.base import BaseProtocol, ScoredRow
from fusionbench.evaluation.protocols.base import Options as BaseOptions
from fusionbench.evaluation.protocols.flags import Flag
from fusionbench.metrics.engine import TABLE
from fusionbench.results.schema import ProtocolIdentity, Result

if TYPE_CHECKING:
    from fusionbench.core.types import ImageSpec
    from fusionbench.evaluation.pair_sets import PairSet
    from fusionbench.evaluation.pairs import PairsProtocol as Settings
    from fusionbench.evaluation.subject import Scorable
    from fusionbench.evaluation.suites import Suite

_BLACK_AND_WHITE, _RANGE = "What black and white are in", "auto|full|14bit|LOW:HIGH|percentile:1,99"


class PairsOptions(BaseOptions, kw_only=True, frozen=True):
    """``stretch``: every fused image is stretched to its full range before it is rounded; ``"both"``: fused once and
    scored as it is and stretched, two results, which are ranked apart.

    ``range_a``, ``range_b``: which values of the image files of pairs are black and white, as ``--range-a`` takes them.
    """

    stretch: bool | Literal["both"] = False
    range_a: str | None = None
    range_b: str | None = None

    def __post_init__(self) -> None:
        _ = self.ranges

    @property
    def ranges(self) -> Ranges:
        """The ranges of both views.

        Raises:
            UsageError: a text that is none.
        """
        return Ranges(Range.of(self.range_a), Range.of(self.range_b))


class RegisteredPairs(BaseProtocol):
    """The protocol ``pairs/1``; ``open`` takes a source of pairs, a data set of whole pairs, or a folder of pairs."""

    name, version, title = "pairs", "1", "registered pairs"
    about = "A model fuses every registered pair at its own size; the fused image is scored against both sources."
    columns: ClassVar[tuple[str, ...]] = (*TABLE, "cc")
    Options = PairsOptions
    scores_functions = True
    takes = frozenset({"source_dir", "strict", "keep_images"})
    flags = {  # noqa: RUF012 - a constant
        "stretch": Flag("Stretch every fused image to its full range first."),
        "range_a": Flag(f"{_BLACK_AND_WHITE} the files of the first source, see docs/images.md.", metavar=_RANGE),
        "range_b": Flag(f"{_BLACK_AND_WHITE} the files of the second source, see docs/images.md.", metavar=_RANGE),
        "keep_images": Flag(
            "Keep sources and fused images for the board's pages [where the licence allows redistribution].",
            ("--keep-images/--no-images",),
            form="toggle",
            former={"--keep-pictures": True, "--no-pictures": False},
        ),
    }
    lacks = "makes one image a pair and draws no samples"
    ignored = frozenset({"draws", "seed", "paper_batch"})  # suites of the first release could name them

    def settings(self, options: PairsOptions) -> Settings:
        """The options as :func:`fusionbench.evaluation.pairs.evaluate_pairs` takes them; of both forms the plain."""
        from fusionbench.evaluation.pairs import PairsProtocol

        return PairsProtocol(stretch=options.stretch is True)

    def identity(self, options: PairsOptions, data: PairSet) -> ProtocolIdentity:
        """The options, and the ranges that were found in the image files."""
        rules = self.settings(options).identity()
        rules.params |= data.ranges.params()
        return rules

    def claims(self, data: str, source_dir: Path | None) -> bool:
        """Whether a source of pairs, or a data set of them, is called so, or there is a folder of upstream files."""
        from fusionbench.evaluation.pair_sets import are_pairs

        return source_dir is not None or are_pairs(data)

    def open(
        self,
        data: str,
        options: PairsOptions,
        *,
        split: str | None = None,
        source_dir: Path | None = None,
        strict: bool = False,
    ) -> PairSet:
        """As :func:`fusionbench.evaluation.pair_sets.open_pairs`."""
        from fusionbench.evaluation.pair_sets import open_pairs

        return open_pairs(data, split, source_dir, limit=options.limit, strict=strict, ranges=options.ranges)

    def open_suite(
        self, suite: Suite, *, data_root: Path, source_dir: Path | None = None, strict: bool = False
    ) -> PairSet:
        """The pairs of the files in ``source_dir``, or of a data set of whole pairs there.

        Without ``source_dir``: of the data set of the suite's name below ``data_root``, where there is one.
        """
        from fusionbench.evaluation.pair_sets import open_pairs
        from fusionbench.evaluation.stored_pairs import holds_dataset

        if source_dir is None and holds_dataset(data_root / suite.dataset):
            source_dir = data_root / suite.dataset
        options = cast(PairsOptions, suite.protocol)
        chosen: dict[str, Any] = {"limit": options.limit, "strict": strict, "ranges": options.ranges}
        return open_pairs(suite.dataset, suite.split, source_dir, **chosen)

    def before_training(self, suite: Suite, data: PairSet, folder: Path) -> None:
        """Say so when rows that learn are trained on pairs that they are scored on."""
        from fusionbench.data.dataset import open_dataset

        dataset = open_dataset(folder)
        if dataset.manifest.source.name == data.source.name:
            names = dataset.names("train") or []
            seen = {stem for name in names for stem in (name, name.rpartition("@")[0])} & set(data.stems)
            if seen:
                say(
                    f"note: {len(seen)} of the {len(data)} pairs that {suite.name} scores are in {suite.train}: "
                    "rows that learn have seen them"
                )

    def spec(self, data: PairSet) -> ImageSpec:
        """The shape of the first pair: pairs may have any size."""
        from fusionbench.evaluation.pair_sheet import pair_spec

        return pair_spec(data)

    def evaluate(
        self,
        model: Scorable,
        data: PairSet,
        options: PairsOptions,
        *,
        out: str | Path | None = "results",
        device: str = "auto",
        title: str | None = None,
        params: dict[str, Any] | None = None,
        force: bool = False,
        keep_images: bool | None = None,
    ) -> Result:
        """As :func:`fusionbench.evaluation.pairs.evaluate_pairs`; of both forms the plain one is returned."""
        settings: dict[str, Any] = {"out": out, "device": device, "title": title, "params": params, "force": force}
        return self.evaluate_all(model, data, options, keep_images=keep_images, **settings)[0]

    def evaluate_all(self, model: Scorable, data: PairSet, options: PairsOptions, **settings: Any) -> list[Result]:
        """As :func:`fusionbench.evaluation.pairs.evaluate_forms`: plain, stretched, or both in this order."""
        from fusionbench.evaluation.pairs import PairsProtocol, evaluate_forms

        forms = [False, True] if options.stretch == "both" else [options.stretch is True]
        return evaluate_forms(model, data, [PairsProtocol(form) for form in forms], **settings)

    def draw_suite(self, suite: Suite, rows: Sequence[ScoredRow], data: PairSet, out: Path, *, whole: bool) -> None:
        """The sheet of a few pairs with what every row makes of them."""
        from fusionbench.evaluation.pair_sheet import draw_pair_sheet

        stretch = cast(PairsOptions, suite.protocol).stretch is True
        draw_pair_sheet(rows, data, out, title=suite.title, stretch=stretch, whole=whole)

    def open_images(self, suite: Suite, a: Path, b: Path, *, strict: bool = False) -> PairSet:
        """As :func:`fusionbench.evaluation.pair_sets.pairs_of_suite`."""
        from fusionbench.evaluation.pair_sets import pairs_of_suite

        return pairs_of_suite(suite, a, b, strict=strict, ranges=cast(PairsOptions, suite.protocol).ranges)

    def score_images(self, fused: Path, data: PairSet, options: PairsOptions, **about: Any) -> Result:
        """As :func:`fusionbench.evaluation.pairs.score_fused_images`.

        With both forms, images that are not stretched are scored stretched as well; the plain result is returned.
        """
        from fusionbench.evaluation.pairs import PairsProtocol, score_fused_images

        result = score_fused_images(fused, data, protocol=self.settings(options), **about)
        if options.stretch == "both" and not result.stretched:
            score_fused_images(fused, data, protocol=PairsProtocol(stretch=True), **about)
        return result


PROTOCOL = RegisteredPairs()
