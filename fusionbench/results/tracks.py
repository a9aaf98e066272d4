"""What numbers of a paper may say under one protocol: data sets, metrics, columns, dialects.

A track has the name of the protocol whose results stand beside its numbers. A package that adds a protocol registers a
track for it with the entry-point group ``fusionbench.tracks``, and records of published numbers for it are checked.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from fusionbench.core.registry import Registry
from fusionbench.metrics.dialects import DIALECTS
from fusionbench.results.input_means import AVERAGES, MEAN, PAPER_MEAN

UNNAMED = "unnamed"  # the dialect of a paper that does not say whose evaluator it used
IMAGES = "score"  # the protocol of scores of images that were compared as they were made; never of a file
RuleAndRemedy = tuple[str, str]


class Track(ABC):
    """The rules for the numbers of one protocol.

    Attributes:
        title: what messages call its data sets.
        needs: inputs of its metrics, see ``Metric.needs``.
        public_targets: whether anybody can make what predictions are compared with; they are then ranked apart
            (:mod:`fusionbench.results.tiers`).
        ranked_by: parameter of the protocol which, when true, puts a result among the stretched rows of the same table;
            any other difference of parameters makes another table.
    """

    title: ClassVar[str]
    needs: ClassVar[frozenset[str]]
    public_targets: ClassVar[bool] = True
    ranked_by: ClassVar[str | None] = None

    @abstractmethod
    def columns(self, dataset: str) -> Sequence[str] | None:
        """What may follow the ``@`` of a score key, ``""`` for a key without; None where the data set is not known."""

    @abstractmethod
    def unknown(self, dataset: str) -> RuleAndRemedy:
        """What is said about a data set that is not known."""

    @abstractmethod
    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        """What is said about a column that the data set does not have."""

    def dialect_problems(self, dialect: str | None) -> list[RuleAndRemedy]:
        """What is wrong with the dialect of a record, or with its lack of one."""
        return [] if dialect is None else [(f"{self.title} have no dialects", "leave `dialect` out")]

    def definitions(self, dialect: str | None) -> str:
        """Where a metric was looked for, for messages."""
        return self.title


class MaskedTrack(Track):
    """Masked views: ``metric@N`` for N inputs, and the averages over the numbers of inputs."""

    title = "masked sets"
    needs = frozenset({"samples", "log_weights", "target"})

    def columns(self, dataset: str) -> Sequence[str] | None:
        from fusionbench.data.recipes import list_recipes, load_recipe

        if dataset not in list_recipes():
            return None
        recipe = load_recipe(dataset)
        if recipe.kind == "pairs":
            return None
        return (*map(str, range(recipe.image_spec.views + 1)), *AVERAGES)

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is no masked set that is known here", "see `fusionbench list recipes`"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        most = len(columns) - len(AVERAGES) - 1
        fix = f"write {metric}@0 to {metric}@{most}, {metric}@{MEAN} or {metric}@{PAPER_MEAN}"
        return f"no column {column!r}", fix


class PairsTrack(Track):
    """Registered pairs: one number for each metric, in the dialect of an evaluator."""

    title = "pairs"
    needs = frozenset({"pair", "fused"})
    public_targets = False  # there are none: fused images are scored against their sources
    ranked_by: ClassVar[str | None] = "stretch"

    def columns(self, dataset: str) -> Sequence[str] | None:
        from fusionbench.sources import is_pair_source

        source, _, split = dataset.partition("-")  # a source with several splits names its sets so
        known = is_pair_source(dataset) or (bool(split) and is_pair_source(source))
        return ("",) if known else None

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is no set of pairs that is known here", "see `fusionbench list sources`"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        return "pairs have no columns", f"write {metric!r}; `dialect` says whose definition it is"

    def dialect_problems(self, dialect: str | None) -> list[RuleAndRemedy]:
        if dialect is not None:
            return []
        fix = f'name the evaluator ({", ".join(DIALECTS)}), or say "{UNNAMED}" where the paper does not'
        return [("the numbers of pairs need a dialect", fix)]

    def definitions(self, dialect: str | None) -> str:
        return f"the dialect {dialect!r}"


class RobustPairsTrack(PairsTrack):
    """Degraded pairs: what a metric of ``standard/1`` says of the clean sources, which anybody has."""

    title = "degraded pairs"
    public_targets = True
    ranked_by = None

    def dialect_problems(self, dialect: str | None) -> list[RuleAndRemedy]:
        return Track.dialect_problems(self, dialect)

    def definitions(self, dialect: str | None) -> str:
        return self.title


class StackTrack(PairsTrack):
    """Stacks of pictures of one scene: metrics of the fused picture, with or without a truth, of some evaluator."""

    title = "stacks"
    needs = frozenset({"pair", "fused", "target"})
    public_targets = True  # sharp pictures, and the middle exposure, are what a recipe starts from
    ranked_by = None

    def columns(self, dataset: str) -> Sequence[str] | None:
        from fusionbench.data.recipes import list_recipes, load_recipe
        from fusionbench.sources import is_stack_source

        if is_stack_source(dataset):
            return ("",)
        if dataset not in list_recipes():
            return None
        views = getattr(load_recipe(dataset), "views", None)
        stacked = views is not None and (views.focus is not None or views.exposure is not None)
        return ("",) if stacked else None

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is no set of stacks that is known here", "see `fusionbench list sources`"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        return "stacks have no columns", f"write {metric!r}; `dialect` says whose definition it is"

    def dialect_problems(self, dialect: str | None) -> list[RuleAndRemedy]:
        if dialect is not None:
            return []
        fix = f'name the evaluator ({", ".join(DIALECTS)}), or say "{UNNAMED}" where the paper does not'
        return [("the numbers of stacks need a dialect", fix)]


class ProbeTrack(Track):
    """Labelled pairs under the downstream probe: ``metric@class``, and the means over classes."""

    title = "labelled pairs"
    needs = frozenset()  # its scores are of whole sets and no registered metrics

    def columns(self, dataset: str) -> Sequence[str] | None:
        from fusionbench.sources import SOURCES

        source = SOURCES.get(dataset) if dataset in SOURCES.names() else None
        named = getattr(source, "NAMED", getattr(source, "classes", None))
        return ("", *named.values()) if isinstance(named, Mapping) else None

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is no set of labelled pairs that is known here", "see `fusionbench list sources`"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        return f"no class {column!r}", f"write {metric!r} or one of {', '.join(f'{metric}@{c}' for c in columns[1:])}"


class DetectionTrack(Track):
    """Pairs with boxes under the detection protocol: ``map50``, and ``ap50@class``."""

    title = "pairs with boxes"
    needs = frozenset()  # its scores are of whole sets and no registered metrics

    def columns(self, dataset: str) -> Sequence[str] | None:
        from fusionbench.sources import SOURCES

        named = getattr(SOURCES.get(dataset), "CLASSES", None) if dataset in SOURCES.names() else None
        return ("", *(str(name).lower() for name in named)) if named else None

    def unknown(self, dataset: str) -> RuleAndRemedy:
        return f"{dataset!r} is no set of pairs with boxes that is known here", "see `fusionbench list sources`"

    def other_column(self, metric: str, column: str, columns: Sequence[str]) -> RuleAndRemedy:
        return f"no class {column!r}", f"write map50, or one of {', '.join(f'ap50@{c}' for c in columns[1:])}"


TRACKS: Registry[type[Track]] = Registry(
    "track",
    "fusionbench.tracks",
    {
        "detection": "fusionbench.results.tracks:DetectionTrack",
        "masked": "fusionbench.results.tracks:MaskedTrack",
        "multi-exposure": "fusionbench.results.tracks:StackTrack",
        "multi-focus": "fusionbench.results.tracks:StackTrack",
        "pairs": "fusionbench.results.tracks:PairsTrack",
        "pairs-robust": "fusionbench.results.tracks:RobustPairsTrack",
        "probe": "fusionbench.results.tracks:ProbeTrack",
    },
    see="fusionbench list protocols",
)


def has_public_targets(protocol: str) -> bool:
    """Whether anybody can make what predictions are compared with under a protocol, named without its version.

    Of a protocol that is not known here the careful answer is given.

    Example:
        >>> from fusionbench.results.tracks import has_public_targets
        >>> has_public_targets("masked"), has_public_targets("pairs"), has_public_targets("not-installed")
        (True, False, True)
    """
    if protocol == IMAGES:
        return False
    return protocol not in TRACKS.names() or TRACKS.get(protocol).public_targets


def has_dialects(protocol: str) -> bool:
    """Whether the metrics of a protocol have several definitions, one of which a table must name.

    Example:
        >>> from fusionbench.results.tracks import has_dialects
        >>> has_dialects("pairs"), has_dialects("masked"), has_dialects("not-installed")
        (True, False, False)
    """
    return protocol in TRACKS.names() and bool(TRACKS.get(protocol)().dialect_problems(None))


def ranking_parameter(protocol: str) -> str | None:
    """The parameter of a protocol that says with which rows of a table a result is ranked; None where there is none.

    Example:
        >>> from fusionbench.results.tracks import ranking_parameter
        >>> ranking_parameter("pairs"), ranking_parameter("masked")
        ('stretch', None)
    """
    return TRACKS.get(protocol).ranked_by if protocol in TRACKS.names() else None
