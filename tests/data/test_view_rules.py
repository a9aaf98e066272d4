"""What recipes may say about views: limits, defaults, and the gate in thousandths."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fusionbench.data.view_rules import CutRule, LiveRule, MaskRule, NoiseRule, OverlayRule

CUT = {"algorithm": "canny-cut/2", "low": 50, "high": 150, "close": 5}
OVERLAY = {"algorithm": "overlay/1", "count": [1, 2], "size": 32}
MASKS = {"algorithm": "ellipse/2", "ellipses": 3, "radius": [4, 9]}


def test_only_the_second_cutting_has_a_gate_and_it_counts_in_thousandths() -> None:
    first = msgspec.convert(CUT | {"algorithm": "canny-cut/1"}, CutRule)
    assert first.gate is None
    gate = msgspec.convert(CUT | {"agreement": 0.9, "closed": 0.25, "spread": 2}, CutRule).gate
    assert gate is not None
    assert (gate.agreement, gate.closed, gate.spread) == (900, 250, 2000)
    assert (gate.cut.low, gate.cut.high, gate.cut.close) == (50, 150, 5)


def test_what_is_left_out_has_its_default() -> None:
    masks = msgspec.convert(MASKS, MaskRule)
    assert (masks.margin, masks.ellipticity) == ((1, 2), (0.5, 1.5))
    overlay = msgspec.convert(OVERLAY, OverlayRule)
    assert (
        overlay.cut is None and overlay.via is None and (overlay.scale, overlay.rotate, overlay.flip) == (0, True, True)
    )
    assert msgspec.convert({"algorithm": "augment/1"}, LiveRule) == LiveRule(algorithm="augment/1")


@pytest.mark.parametrize(
    ("kind", "table", "named"),
    [
        (MaskRule, MASKS | {"algorithm": "ellipse/3"}, "algorithm"),
        (MaskRule, MASKS | {"ellipses": 65}, "ellipses"),
        (MaskRule, MASKS | {"radius": [-1, 9]}, "radius"),
        (NoiseRule, {"algorithm": "noise/1", "sigma": 0}, "sigma"),
        (NoiseRule, {"algorithm": "noise/1", "sigma": 1.01}, "sigma"),
        (CutRule, CUT | {"low": 1021}, "low"),
        (CutRule, CUT | {"close": 0}, "close"),
        (CutRule, CUT | {"agreement": 1.1}, "agreement"),
        (CutRule, CUT | {"spread": 0.9}, "spread"),
        (OverlayRule, OVERLAY | {"size": 3}, "size"),
        (OverlayRule, OVERLAY | {"count": [0, 0]}, "count"),
        (OverlayRule, OVERLAY | {"colour": 1}, "colour"),
    ],
)
def test_impossible_values_are_refused_by_name(kind: type, table: dict[str, Any], named: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=named):
        msgspec.convert(table, kind)
