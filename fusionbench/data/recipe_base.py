"""What the recipes of all kinds of data sets have in common: names, sources, splits, expectations, and their errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.io import digest
from fusionbench.core.text import RecipeName, Version

if TYPE_CHECKING:
    from fusionbench.data.degrade_rules import Degrader

_PROSE = ("title", "description", "reference", "expect", "reasons")

_LARGEST = 1 << 31  # no source has so many images; NumPy's numbers end at 2**63
_LONGEST_KEY = 4200  # letters of a line that are looked at: a name of a file, and what is around it
_Classes = Annotated[list[Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]], msgspec.Meta(min_length=1)]
FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]


class RecipeTable(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, frozen=True, omit_defaults=True):
    pass


class GroupRule(RecipeTable, kw_only=True, frozen=True):
    """Which files stay in one split together; see :mod:`fusionbench.data.groups`.

    Either those whose names are the same up to the text ``before`` (``parts = 2``: up to its second occurrence), or
    those of one group of ``csv``, a file in the source's folder with the columns ``file`` and ``group`` and this
    ``sha256``.
    """

    before: Annotated[str, msgspec.Meta(min_length=1, max_length=16)] | None = None
    parts: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    csv: Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")] | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")] | None = None


class SourceRule(RecipeTable, kw_only=True, frozen=True):
    """Upstream images: ``name`` in the registry of sources.

    ``leave_out``: names of files (of pairs: stems) of the source's splits that are not used, as ``--skip-refused``
    writes them, sorted. They keep their places when images are assigned to splits, so no other image changes its
    split; then they are dropped, also from those that ``first`` counts.
    ``group_by``: files that stay in one split; about one group in ``every`` is then held out, by a hash of its name.
    """

    name: str
    group_by: GroupRule | None = None
    leave_out: dict[str, Annotated[list[FileName], msgspec.Meta(min_length=1)]] = {}


class OccluderRule(RecipeTable, kw_only=True, frozen=True):
    """Which source images are cut out and pasted over a split's targets; ``size`` in the place of the overlay's."""

    source: str
    classes: _Classes | None = None
    size: Annotated[int, msgspec.Meta(ge=4, le=512)] | None = None


class SplitRule(RecipeTable, kw_only=True, frozen=True):
    """Which source images make a split, in source order.

    With ``every = n`` each n-th image (number n-1, 2n-1, …) is held out; ``part`` says whether this split takes the
    held-out ones or the rest; with ``per_class`` the images of each class are counted apart (a stratified split).
    With ``views = "source"`` the views are those that come with the source; none are made. With ``without``, the pairs
    that another split of a source of pairs has, too, are left out before the others are counted.
    """

    source: str
    every: Annotated[int, msgspec.Meta(ge=2, le=_LARGEST)] | None = None
    part: Literal["held-out", "rest"] | None = None
    per_class: bool = False
    classes: _Classes | None = None
    first: Annotated[int, msgspec.Meta(ge=1, le=_LARGEST)] | None = None
    occluders: OccluderRule | None = None
    views: Literal["source"] | None = None
    without: str | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """The splits of the source that images are taken from: those of targets, then of occluders."""
        return (self.source,) if self.occluders is None else (self.source, self.occluders.source)


class Expect(RecipeTable, kw_only=True, frozen=True):
    """Digests that a correct build has: the data set's id, and of the first source images of each source split."""

    id: str | None = None
    probe: dict[str, str] = {}


class RecipeBase(RecipeTable, kw_only=True, frozen=True):
    """A recipe without what it makes. ``version`` follows the rule: PATCH same bytes, MINOR additions, MAJOR changed
    bytes."""

    format: Literal["fusionbench.recipe/1"]
    name: RecipeName
    version: Version
    title: str
    source: SourceRule
    splits: Annotated[dict[RecipeName, SplitRule], msgspec.Meta(min_length=1, max_length=16)]
    shard_size: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)] = 0
    description: str = ""
    reference: str = ""
    expect: Expect = Expect()
    reasons: dict[str, dict[str, str]] = {}  # why files are left out: source split -> name -> text

    @property
    def spec(self) -> dict[str, Any]:
        """Everything that determines the bytes, as plain JSON values."""
        return {key: value for key, value in msgspec.to_builtins(self).items() if key not in _PROSE}

    @property
    def hash(self) -> str:
        """Hex sha256 of the canonical JSON of :attr:`spec`."""
        return digest(self.spec)

    def stored_degrader(self, split: str) -> Degrader | None:
        """What the build does to the samples of a split, beside the clean ones; None where it does nothing."""
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        """As plain values: defaults differ from equal values by identity, which pickling objects would lose, and
        with it the hash."""
        return msgspec.convert, (msgspec.to_builtins(self), type(self))

    def folder(self, out: Path) -> Path:
        """Where the data set of this recipe belongs: ``<out>/<name>/<version>/<first 12 of hash>``."""
        return Path(out) / self.name / self.version / self.hash[:12]


class RecipeValueError(Exception):
    """A value of the right type that cannot work, at a key path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path, self.reason = path, reason


def views_of_source(name: str, split: str) -> UsageError:
    """The error for views that are asked for of a split whose views are not made."""
    return UsageError(f"The views of {name} {split} came with the source; none can be made")


def check_splits(recipe: RecipeBase) -> None:
    """Raise :class:`RecipeValueError` where keys of a split contradict each other."""
    used = {name for rule in recipe.splits.values() for name in rule.sources}
    for source, names in recipe.source.leave_out.items():
        if source not in used:
            raise RecipeValueError(f"source.leave_out.{source}", f"no split is made from {source!r}")
        if names != sorted(set(names)):
            raise RecipeValueError(f"source.leave_out.{source}", "names must be sorted, each of them once")
    for name, split in recipe.splits.items():
        if (split.every is None) != (split.part is None):
            raise RecipeValueError(f"splits.{name}", "`every` and `part` belong together")
        if split.per_class and split.every is None:
            raise RecipeValueError(f"splits.{name}.per_class", "needs `every`")


def reason_and_path(error: msgspec.ValidationError) -> tuple[str, str]:
    """Reason and key path of a message like "Expected `int`, got `str` - at `$.views.count`"."""
    reason, _, path = str(error).partition(" - at `")
    return reason, path.rstrip("`").removeprefix("$").lstrip(".")


def invalid(where: str, text: str, path: str, reason: str) -> DataError:
    line = find_line(text, re.sub(r"\[[^\]]*\]", "", path))
    at = f"{where}, line {line}" if line else where
    return DataError(f"{at}: {path or 'recipe'}: {reason[:1].lower()}{reason[1:]}")


def find_line(text: str, path: str) -> int | None:
    """Line (from 1) of the key ``path`` ("views.masks.radius") in a TOML text, or of the nearest parent there."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()[:_LONGEST_KEY]
        if line.startswith("[") and "]" in line:
            table = re.sub(r"[\"'\s]", "", line.lstrip("[").partition("]")[0])
            found.setdefault(table, number)
        elif "=" in line and re.fullmatch(r"[A-Za-z0-9_\-.\"' ]+", key := line.partition("=")[0]):
            name = re.sub(r"[\"'\s]", "", key)
            found.setdefault(f"{table}.{name}" if table else name, number)
    while path:
        if path in found:
            return found[path]
        path = path.rpartition(".")[0]
    return None
