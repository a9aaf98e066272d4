"""Recipes: TOML files that state everything that determines the bytes of a data set.

Unknown keys, wrong types and impossible values are answered with one line: file, line, key path, reason.
The recipe's hash is over the canonical JSON of :attr:`Recipe.spec`: what determines the bytes, without the prose
and the expected digests, and without values that equal their defaults, so that a recipe keeps its hash when
fusionbench learns new keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from fusionbench.core.documents import parse_toml
from fusionbench.core.errors import DataError, unknown_name
from fusionbench.core.formats import require_format
from fusionbench.core.image_ranges import Ranges
from fusionbench.core.io import read_bounded, shipped_folder
from fusionbench.core.text import Count, Natural
from fusionbench.core.types import ImageSpec
from fusionbench.data.groups import group_rule_problem
from fusionbench.data.pair_recipes import PairRecipe
from fusionbench.data.recipe_base import (
    RecipeBase,
    RecipeTable,
    RecipeValueError,
    SplitRule,
    check_splits,
    find_line,
    invalid,
    reason_and_path,
)
from fusionbench.data.view_checks import check_view_rules
from fusionbench.data.view_rules import LiveRule, ViewRule
from fusionbench.synth import (
    Augment,
    DefocusViews,
    Ellipses,
    ExposureViews,
    MaskedViews,
    Noise,
    Overlays,
    OverlayViews,
    SmoothDepth,
)
from fusionbench.synth.augment import largest_scale
from fusionbench.synth.ellipses import UNIT

FORMAT = "fusionbench.recipe/1"
MAX_BYTES = 1 << 20
ViewMaker = MaskedViews | OverlayViews | DefocusViews | ExposureViews
_OVERLAY_COST = 30  # times the work of a masked value
_GRID = 4  # points of a smooth depth along an axis
__all__ = [
    "AnyRecipe",
    "PairRecipe",
    "Recipe",
    "find_line",
    "list_recipes",
    "load_recipe",
    "parse_recipe",
    "recipe_versions",
]


class ImageRule(RecipeTable, kw_only=True, frozen=True):
    """Shape of a target and the way from a source image to it: crop, grey, resize, zero padding.

    ``crop`` is top, left, height, width; ``square`` the largest centred square; ``crop_half`` half the side of a
    centred square for each class from 1 on, 0 for a class that is not used; ``via`` a side to resize to first.
    """

    height: Annotated[int, msgspec.Meta(ge=4, le=4096)]
    width: Annotated[int, msgspec.Meta(ge=4, le=4096)]
    channels: Literal[1, 3]
    crop: tuple[Natural, Natural, Count, Count] | None = None
    square: bool = False
    crop_half: list[Natural] | None = None
    via: Annotated[int, msgspec.Meta(ge=4, le=4096)] | None = None
    resize: Literal["area", "linear"] | None = None
    pad: Natural = 0
    likelihood_crop: tuple[Count, Count] | None = None


class Recipe(RecipeBase, kw_only=True, frozen=True):
    """A validated recipe of targets with views."""

    image: ImageRule
    views: ViewRule
    live: LiveRule | None = None

    @property
    def kind(self) -> Literal["views"]:
        """What a sample is: views of a target."""
        return "views"

    @property
    def has_targets(self) -> bool:
        """Whether samples have a known target."""
        return True

    @property
    def whole(self) -> bool:
        """Whether a sample is made of a whole image of the source, so that no pixel decides which samples there are."""
        return True

    @property
    def ranges(self) -> Ranges:
        """By which the source's image files are read: there are none to choose."""
        return Ranges()

    @property
    def image_spec(self) -> ImageSpec:
        """Shape of one sample."""
        rule = self.image
        return ImageSpec(rule.channels, rule.height, rule.width, self.views.count, rule.likelihood_crop)

    @property
    def banks(self) -> list[str]:
        """The splits that have a bank of cut-outs."""
        return [name for name, rule in self.splits.items() if rule.occluders is not None]

    def cutout_size(self, split: str) -> int:
        """Side of the cut-outs of a split in pixels; 0 where it has none."""
        overlay, occluders = self.views.overlay, self.splits[split].occluders
        return 0 if overlay is None or occluders is None else occluders.size or overlay.size

    def cutout_shape(self, split: str) -> tuple[int, int, int]:
        """Shape of one cut-out of a split: height, width, and the channels with alpha; 0×0 where it has none."""
        size = self.cutout_size(split)
        return size, size, self.image.channels + 1

    @property
    def work(self) -> int:
        """How much work a sample is: about the number of its values that are made."""
        rule = self.image
        values = self.views.count * rule.height * rule.width * rule.channels
        views = self.views
        return values * (_OVERLAY_COST if views.overlay is not None or views.focus is not None else 1)

    @property
    def stored(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Type and shape a sample of the arrays that every shard has."""
        spec = self.image_spec
        image = (spec.height, spec.width) + ((spec.channels,) if spec.channels > 1 else ())
        return {"targets": ("uint8", image), "views": ("uint8", (spec.views, *image))}

    def made_views(self, split: str) -> int:
        """How many views of a sample are made; 0 where they come with the source."""
        return self.views.count if self.splits[split].views is None else 0

    def check(self) -> None:
        """Raise :class:`RecipeValueError` for values that are of the right type and cannot work."""
        check_splits(self)
        _check(self)

    def view_maker(self, split: str, bank: np.ndarray | None = None) -> ViewMaker:
        """The function that makes the views of a split; ``bank`` is the split's cut-outs where views have overlays."""
        rule, live = self.image, self.live
        common: dict[str, Any] = {
            "dataset": self.name,
            "split": split,
            "seed": self.seed,
            "height": rule.height,
            "width": rule.width,
            "channels": rule.channels,
            "views": self.views.count,
            "live": Augment(live.flip, live.rotate, live.scale, live.shift) if live else None,
        }
        if self.views.exposure is not None:
            return ExposureViews(**common, step=self.views.exposure.step)
        shapes: Ellipses | Overlays | None = None
        if (over := self.views.overlay) is not None:
            if bank is None:
                raise ValueError("views with overlays need a bank of cut-outs")
            shapes = Overlays(over.count, over.scale, over.rotate, over.flip)
        elif (masks := self.views.masks) is not None:
            low, high = (round(e * UNIT) for e in masks.ellipticity)
            shapes = Ellipses(masks.ellipses, masks.radius, masks.margin, (low, high), masks.algorithm)
        if (focus := self.views.focus) is not None:
            depth = SmoothDepth(focus.grid or _GRID) if shapes is None else shapes
            return DefocusViews(**common, blur=focus.blur, depth=depth, bank=bank)
        if isinstance(shapes, Overlays):
            assert bank is not None
            return OverlayViews(**common, overlays=shapes, bank=bank)
        assert shapes is not None  # checked when the recipe was read
        noise = self.views.noise
        return MaskedViews(**common, ellipses=shapes, noise=Noise.of(noise.sigma) if noise else None)


AnyRecipe = Recipe | PairRecipe


def list_recipes() -> list[str]:
    """Names of the recipes that come with fusionbench, each once: the name alone means the newest version."""
    return sorted(path.stem for path in shipped_folder("datasets_recipes").glob("*.toml") if "@" not in path.stem)


def recipe_versions(name: str) -> list[str]:
    """The versions of a shipped recipe that can be asked for as ``NAME@VERSION``, the newest first.

    Raises:
        UsageError: no shipped recipe has the name.

    Example:
        >>> from fusionbench.data.recipes import recipe_versions
        >>> recipe_versions("fusionceleba")
        ['2.0.0', '1.0.0']
    """
    newest = load_recipe(name).version
    older = [path.stem.partition("@")[2] for path in shipped_folder("datasets_recipes").glob(f"{name}@*.toml")]
    return [newest, *sorted(older, key=lambda version: [int(part) for part in version.split(".")], reverse=True)]


def load_recipe(name_or_path: str | Path) -> AnyRecipe:
    """The shipped recipe of this name in its newest version, the one called ``NAME@VERSION``, or that in a ``.toml``
    file.

    Raises:
        UsageError: no shipped recipe has the name, or none of that name has the version.
        DataError: the file is missing, not TOML, or not a valid recipe.

    Example:
        >>> from fusionbench.data.recipes import load_recipe
        >>> load_recipe("fusionceleba").version, load_recipe("fusionceleba@1.0.0").version
        ('2.0.0', '1.0.0')
    """
    if isinstance(name_or_path, Path) or str(name_or_path).endswith(".toml"):
        return _read_recipe(Path(name_or_path))
    name, at, version = str(name_or_path).partition("@")
    if name not in list_recipes():
        raise unknown_name("recipe", name, list_recipes(), "fusionbench list recipes")
    folder = shipped_folder("datasets_recipes")
    if at:
        versions = recipe_versions(name)
        if version not in versions:
            raise unknown_name(f"version of {name}", version, versions, f"fusionbench describe {name}")
        if version != versions[0]:
            return _read_recipe(folder / f"{name}@{version}.toml")
    return _read_recipe(folder / f"{name}.toml")


def _read_recipe(path: Path) -> AnyRecipe:
    return parse_recipe(read_bounded(path, MAX_BYTES, "recipe"), str(path))


def parse_recipe(content: bytes, where: str = "recipe") -> AnyRecipe:
    """The recipe in the bytes of a TOML file; ``where`` names it in messages.

    Raises:
        DataError: not TOML or not a valid recipe, with line and key path.
    """
    table = parse_toml(content, where, limit=MAX_BYTES)
    text = content.decode()
    try:
        return _recipe_of(table)
    except msgspec.ValidationError as error:
        require_format(table.get("format"), FORMAT, where)
        reason, path = reason_and_path(error)
        if path.startswith("splits[...]"):  # the key is not given: find the split that is wrong alone
            for name, rule in table["splits"].items():
                try:
                    msgspec.convert(rule, SplitRule)
                except msgspec.ValidationError as inner:
                    reason, below = reason_and_path(inner)
                    path = f"splits.{name}.{below}".rstrip(".")
                    break
        raise invalid(where, text, path, reason) from error
    except RecipeValueError as error:
        raise invalid(where, text, error.path, error.reason) from error


def recipe_from_spec(spec: dict[str, Any], where: str) -> AnyRecipe:
    """The recipe whose :attr:`Recipe.spec` is in a manifest (its prose is empty).

    Raises:
        DataError: not a valid recipe.
    """
    try:
        return _recipe_of({**spec, "title": ""})
    except (msgspec.ValidationError, RecipeValueError) as error:
        raise DataError(f"{where}: its recipe is not valid: {error}") from error


def _recipe_of(table: dict[str, Any]) -> AnyRecipe:
    """The recipe of the kind that ``table`` is: one with ``pairs`` is of registered pairs."""
    kind: type[AnyRecipe] = PairRecipe if "pairs" in table else Recipe
    recipe = msgspec.convert(table, kind)
    recipe.check()
    if recipe.source.group_by is not None and (wrong := group_rule_problem(recipe.source.group_by, recipe.splits)):
        raise RecipeValueError(*wrong)
    return recipe


def _check(recipe: Recipe) -> None:
    """Values that are of the right type and cannot work."""
    image = recipe.image
    small = min(image.height, image.width)
    if 2 * image.pad >= small:
        raise RecipeValueError("image.pad", f"{image.pad} leaves nothing of {image.height}×{image.width}")
    if image.likelihood_crop is not None:
        crop = image.likelihood_crop
        if crop[0] > image.height or crop[1] > image.width:
            raise RecipeValueError("image.likelihood_crop", f"{crop[0]}×{crop[1]} is larger than the image")
        if (image.height - crop[0]) % 2 or (image.width - crop[1]) % 2:
            raise RecipeValueError("image.likelihood_crop", f"{crop[0]}×{crop[1]} cannot be centred in the image")
    if sum(choice not in (None, False) for choice in (image.crop, image.square, image.crop_half)) > 1:
        raise RecipeValueError("image", "`crop`, `square` and `crop_half` exclude each other")
    if image.via is not None and image.resize is None:
        raise RecipeValueError("image.via", "needs image.resize")
    check_view_rules(recipe.views, recipe.splits, image.height, image.width)
    if recipe.live is not None and max(recipe.live.scale, recipe.live.shift) >= small:
        raise RecipeValueError("live", f"scale and shift must be smaller than the image ({image.height}×{image.width})")
    if recipe.live is not None and recipe.live.scale > (most := largest_scale(image.height)):
        raise RecipeValueError(
            "live.scale", f"{recipe.live.scale} leaves an eighth of {image.height} rows or less; take at most {most}"
        )
    for name, split in recipe.splits.items():
        if split.without is not None:
            raise RecipeValueError(f"splits.{name}.without", "leaves out registered pairs and needs the table `pairs`")
        if split.views == "source":
            if split.occluders is not None:
                raise RecipeValueError(f"splits.{name}", "`occluders` make views, and this split takes the source's")
        elif (split.occluders is None) != (recipe.views.overlay is None):
            raise RecipeValueError(f"splits.{name}", "`occluders` are needed by views.overlay, and only by it")
