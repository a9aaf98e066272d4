"""The order of cut-outs that have no score; what sheets show is tested in tests/cli/test_preview.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from fusionbench.data.preview import draw_cutouts, solidity


def cutout(kind: str) -> np.ndarray:
    alpha = np.zeros((40, 40), np.uint8)
    if kind == "disc":
        cv2.circle(alpha, (20, 20), 15, 255, -1)
    elif kind == "ring":
        cv2.circle(alpha, (20, 20), 15, 255, 1)
    elif kind == "corner":
        alpha[5:35, 5:10] = alpha[30:35, 5:35] = 255
    return np.stack([alpha // 2, alpha], -1)


def test_solidity_is_the_share_of_the_hull() -> None:
    assert solidity(cutout("disc")[..., 1]) > 950
    # an L of arms 30 by 5: 275 pixels in a hull of 275 + 25·26/2 - 25/2, by counting
    assert abs(solidity(cutout("corner")[..., 1]) - 1000 * 275 / (275 + 312)) < 40
    assert solidity(cutout("ring")[..., 1]) < 250 and solidity(cutout("nothing")[..., 1]) == 0
    assert solidity(np.full((9, 9), 127, np.uint8)) == 0  # less than half opaque


def test_fragments_come_first() -> None:
    bank = {"cutouts": np.stack([cutout(kind) for kind in ("disc", "corner", "ring")])}
    dataset: Any = SimpleNamespace(
        name="drawn",
        version="1.0.0",
        id="0" * 64,
        cutouts=lambda split: bank,
        split=lambda split: SimpleNamespace(cutouts_gate=None),
        manifest=SimpleNamespace(source=SimpleNamespace(licence="none")),
    )
    png, order = draw_cutouts(dataset, "test")
    assert order == [2, 1, 0] and png.startswith(b"\x89PNG")
    assert draw_cutouts(dataset, "test", 2)[1] == [2, 1]
