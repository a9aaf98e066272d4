"""Recipes of registered pairs: a table ``[pairs]`` where others have ``[image]`` and ``[views]``.

There are two kinds. **Whole pairs** keep their sizes; ``live.crop`` says what training takes of them. **Patches** are
squares of one size, cut on a grid, without those that show hardly anything. Both hold luma, and neither has targets.
With ``[degrade]`` they are degraded, when they are stored or live (:mod:`fusionbench.data.degrade_rules`).
"""

from __future__ import annotations

from typing import Annotated, Literal, NoReturn

import msgspec
import numpy as np

from fusionbench.core.errors import UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.types import ImageSpec
from fusionbench.data.degrade_rules import CHOICE, CLEAN, FIELDS, Degrader, DegradeRule
from fusionbench.data.recipe_base import RecipeBase, RecipeTable, RecipeValueError, check_splits, views_of_source
from fusionbench.data.shards.ragged import CLEAN_PIXELS
from fusionbench.synth import CropFlip

MAX_WHOLE = 200  # whole pairs a shard: their names of up to 255 bytes have to fit its header
PARTS = 1000  # ``contrast`` in whole thousandths, so that the test is one of integers
VIEWS = 2
_DECODING = 1_000_000  # about as much work as so many masked values; a pair is two images to decode
_USED = "`source`, `without`, `every`, `part`, `first`"
_UNUSED = ("classes", "per_class", "occluders", "views")

Side = Annotated[int, msgspec.Meta(ge=4, le=4096)]


class PairRule(RecipeTable, kw_only=True, frozen=True):
    """What is stored of a pair. ``luma`` names the way from image files to uint8 (:mod:`fusionbench.core.images`).

    ``range_a``, ``range_b``: which values of the files of views 0 and 1 are black and white, as ``--range-a`` takes
    them, but nothing that has to be found in all images of a set: a recipe says what it makes.

    With ``patch``: squares of so many pixels whose corners are multiples of ``stride``. A patch is left out when
    (P90 − P10)/P90 of either view is below ``contrast``, or P90 is 0; see :mod:`fusionbench.data.pair_patches`.
    """

    luma: Literal["bt601/1"]
    patch: Side | None = None
    stride: Annotated[int, msgspec.Meta(ge=1, le=4096)] | None = None
    contrast: Annotated[float, msgspec.Meta(ge=0, lt=1)] | None = None
    range_a: str | None = None
    range_b: str | None = None


class CropRule(RecipeTable, kw_only=True, frozen=True):
    """``crop-flip/1``: what live training does, the same to both views of a pair, from epoch 1 on.

    ``crop``: height and width of a crop at random, of whole pairs only; ``horizontal`` and ``vertical`` flips with
    probability ½ each.
    """

    algorithm: Literal["crop-flip/1"]
    crop: tuple[Side, Side] | None = None
    horizontal: bool = False
    vertical: bool = False


class PairRecipe(RecipeBase, kw_only=True, frozen=True):
    """A validated recipe of registered pairs."""

    pairs: PairRule
    live: CropRule | None = None
    degrade: DegradeRule | None = None

    @property
    def kind(self) -> Literal["pairs"]:
        """What a sample is: a registered pair."""
        return "pairs"

    @property
    def has_targets(self) -> bool:
        """No pair has a known target."""
        return False

    @property
    def whole(self) -> bool:
        """Whether whole pairs are stored, each of its own size."""
        return self.pairs.patch is None

    @property
    def ranges(self) -> Ranges:
        """By which the source's image files are read."""
        return Ranges.parse(self.pairs.range_a, self.pairs.range_b)

    @property
    def contrast(self) -> int:
        """The smallest contrast that is kept, in thousandths."""
        return round((self.pairs.contrast or 0) * PARTS)

    @property
    def image_spec(self) -> ImageSpec:
        """Shape of one sample for training: a patch, or a crop of a whole pair."""
        if self.pairs.patch is not None:
            return ImageSpec(1, self.pairs.patch, self.pairs.patch, VIEWS)
        assert self.live is not None and self.live.crop is not None  # checked when the recipe was read
        return ImageSpec(1, *self.live.crop, VIEWS)

    @property
    def banks(self) -> list[str]:
        """No split has cut-outs."""
        return []

    def cutout_shape(self, split: str) -> tuple[int, int, int]:
        """Nothing is cut out."""
        return 0, 0, 0

    @property
    def work(self) -> int:
        """How much work a sample is, in made values of other data sets: it is decoding."""
        return _DECODING if self.pairs.patch is None else VIEWS * self.pairs.patch**2

    @property
    def stored(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape a sample of the arrays that every shard has."""
        degraded = self.stored_degrader("") is not None
        found: dict[str, tuple[str, tuple[int, ...]]] = {CHOICE: ("int64", (len(FIELDS),))} if degraded else {}
        if self.pairs.patch is None:
            found |= {CLEAN_PIXELS: ("uint8", ())} if degraded else {}
            return found | {"pixels": ("uint8", ()), "offsets": ("int64", ()), "shape": ("int64", (2,))}
        patch = (VIEWS, self.pairs.patch, self.pairs.patch)
        found |= {CLEAN: ("uint8", patch)} if degraded else {}
        return found | {"views": ("uint8", patch), "pair": ("int64", ()), "corner": ("int64", (2,))}

    def made_views(self, split: str) -> int:
        """0: the views come with the source."""
        return 0

    def view_maker(self, split: str, bank: np.ndarray | None = None) -> NoReturn:
        """Refuse: the views come with the source.

        Raises:
            UsageError: always.
        """
        raise views_of_source(self.name, split)

    def cropper(self, split: str) -> CropFlip:
        """What live epochs do to the samples of a split."""
        spec, live = self.image_spec, self.live
        flips = (live.horizontal, live.vertical) if live is not None else (False, False)
        return CropFlip(self.name, split, self.seed, spec.height, spec.width, *flips)

    def stored_degrader(self, split: str) -> Degrader | None:
        """What the build does to the pairs of a split, beside the clean ones; None where it stores clean ones alone."""
        return self._degrader(split, "stored")

    def live_degrader(self, split: str) -> Degrader | None:
        """What live epochs from 1 on do to the pairs of a split; None where they do nothing."""
        return self._degrader(split, "live")

    def _degrader(self, split: str, when: str) -> Degrader | None:
        rule = self.degrade
        return None if rule is None or rule.when != when else Degrader(rule, self.name, split, self.seed)

    def check(self) -> None:
        """Raise :class:`RecipeValueError` for values that are of the right type and cannot work."""
        check_splits(self)
        for name, split in self.splits.items():
            for key in _UNUSED:
                if getattr(split, key) not in (None, False):
                    raise RecipeValueError(f"splits.{name}.{key}", f"splits of pairs have {_USED}")
        rule, live = self.pairs, self.live
        try:
            found = self.ranges.given
        except UsageError as error:
            raise RecipeValueError("pairs", f"range_a or range_b: {error}") from error
        for side, value_range in found.items():
            if value_range.whole_set:
                raise RecipeValueError(
                    f"pairs.range_{side}", f"{value_range} looks at a whole set; write what it found"
                )
        if (rule.patch is None) != (rule.stride is None):
            raise RecipeValueError("pairs", "`patch` and `stride` belong together")
        if abs((rule.contrast or 0) * PARTS - self.contrast) > 1e-9:
            raise RecipeValueError("pairs.contrast", f"{rule.contrast} is not in whole thousandths")
        crop = live.crop if live is not None else None
        if self.degrade is not None:
            fixed = rule.patch is not None or (self.degrade.when == "live" and crop is not None)
            self.degrade.check(self.image_spec if fixed else None)
        if rule.patch is not None:
            if crop is not None:
                raise RecipeValueError("live.crop", "patches have one size; it goes with whole pairs")
            return
        if rule.contrast is not None:
            raise RecipeValueError("pairs.contrast", "leaves out patches, and needs `patch` and `stride`")
        if crop is None:
            raise RecipeValueError("live", "whole pairs need `crop`: the height and width that training takes of them")
        if self.shard_size > MAX_WHOLE:
            raise RecipeValueError(
                "shard_size", f"{self.shard_size} is above {MAX_WHOLE}, the most whole pairs per shard"
            )
