"""What rules of views cannot say together, and values that are of the right type and cannot work."""

from __future__ import annotations

from collections.abc import Mapping

from fusionbench.data.recipe_base import RecipeValueError, SplitRule
from fusionbench.data.view_rules import ExposureRule, FocusRule, MaskRule, OverlayRule, ViewRule
from fusionbench.synth.augment import largest_scale
from fusionbench.synth.exposure import MOST, QUARTERS

MOST_EXPOSURES = 9
_NO_GATE = (0.8, 0.6, 1.5)  # the defaults of canny-cut/2


def check_view_rules(views: ViewRule, splits: Mapping[str, SplitRule], height: int, width: int) -> None:
    """Raise :class:`RecipeValueError` for views of images of this size that cannot be made."""
    masks, overlay, focus, exposure = views.masks, views.overlay, views.focus, views.exposure
    if masks is not None and overlay is not None:
        raise RecipeValueError("views", "needs either `masks` or `overlay`")
    if exposure is not None and not (masks is None and overlay is None and focus is None):
        raise RecipeValueError("views", "`exposure` is the only way in which views are made, or leave it out")
    if masks is None and overlay is None and focus is None and exposure is None:
        raise RecipeValueError("views", "needs one of `masks`, `overlay`, `focus` and `exposure`")
    if views.noise is not None and (masks is None or focus is not None):
        other = "focus" if focus is not None else "overlay" if overlay is not None else "exposure"
        raise RecipeValueError("views.noise", f"goes with views.masks, not with views.{other}")
    if masks is not None:
        _check_masks(masks, height, width)
    if overlay is not None:
        _check_overlay(overlay, splits)
    if focus is not None:
        _check_focus(views, focus, height, width)
    if exposure is not None:
        _check_exposure(views.count, exposure)


def _check_masks(masks: MaskRule, height: int, width: int) -> None:
    low, high = masks.radius
    if low > high:
        raise RecipeValueError("views.masks.radius", f"smallest {low} is above largest {high}")
    if high > max(height, width):
        raise RecipeValueError("views.masks.radius", f"{high} is larger than the image ({height}×{width})")
    if sum(masks.margin) >= min(height, width):
        raise RecipeValueError("views.masks.margin", f"{masks.margin} leaves no place for a centre")
    e_low, e_high = masks.ellipticity
    if not 0.125 <= e_low <= e_high <= 8:
        raise RecipeValueError("views.masks.ellipticity", "must be two values from 0.125 to 8, the smaller first")


def _check_overlay(overlay: OverlayRule, splits: Mapping[str, SplitRule]) -> None:
    if overlay.count[0] > overlay.count[1]:
        raise RecipeValueError(
            "views.overlay.count", f"smallest {overlay.count[0]} is above largest {overlay.count[1]}"
        )
    sizes = [rule.occluders.size for rule in splits.values() if rule.occluders and rule.occluders.size]
    if overlay.scale >= (smallest := min([overlay.size, *sizes])):
        raise RecipeValueError("views.overlay.scale", f"{overlay.scale} leaves nothing of {smallest} pixels")
    if overlay.scale > (most := largest_scale(smallest)):
        raise RecipeValueError(
            "views.overlay.scale", f"{overlay.scale} leaves an eighth of {smallest} pixels or less; take at most {most}"
        )
    cut = overlay.cut
    if cut is not None and (cut.low > cut.high or cut.close % 2 == 0):
        raise RecipeValueError("views.overlay.cut", "`low` may not be above `high`, and `close` must be odd")
    if cut is not None and cut.algorithm == "canny-cut/1" and (cut.agreement, cut.closed, cut.spread) != _NO_GATE:
        raise RecipeValueError("views.overlay.cut", "`agreement`, `closed` and `spread` belong to canny-cut/2")


def _check_focus(views: ViewRule, focus: FocusRule, height: int, width: int) -> None:
    if views.count < 2:
        raise RecipeValueError("views.count", "one view has one plane of focus; two or more are fused")
    low, high = focus.blur
    if low > high:
        raise RecipeValueError("views.focus.blur", f"smallest {low} is above largest {high}")
    if 2 * high >= min(height, width):
        raise RecipeValueError("views.focus.blur", f"a radius of {high} covers the image ({height}×{width})")
    if focus.grid is not None and (views.masks is not None or views.overlay is not None):
        raise RecipeValueError("views.focus.grid", "belongs to a smooth depth, which has neither masks nor overlay")


def _check_exposure(count: int, exposure: ExposureRule) -> None:
    if not 2 <= count <= MOST_EXPOSURES:
        raise RecipeValueError("views.count", f"{count}: a stack has 2 to {MOST_EXPOSURES} exposures")
    if exposure.stops * QUARTERS != exposure.step:
        raise RecipeValueError("views.exposure.stops", f"{exposure.stops} is not in whole quarters")
    if count * exposure.step > 2 * MOST:
        raise RecipeValueError(
            "views.exposure.stops", f"{count} exposures, {exposure.stops} EV apart, reach beyond ±{MOST // QUARTERS} EV"
        )
