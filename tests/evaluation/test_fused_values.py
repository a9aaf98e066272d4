"""What is no image is refused wherever images are scored or written; overshoot is cut off as before."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fusionbench as fb
from fusionbench.core.errors import CannotMeasure
from fusionbench.core.types import ImageSpec
from fusionbench.evaluation.fused_values import problem_of_fused
from fusionbench.evaluation.stack_scores import fused_luma
from fusionbench.evaluation.stack_sets import Stack
from tests.cli.runner import run

NET = """
import torch
from fusionbench.models.classical.pyramids import Average
class Net(Average):
    title = "net"
    def fuse(self, batch):
        image = batch.views.mean(1).clone()
        BODY
        return image
"""
FAULTS = {
    "image[..., 0, 0] = float('nan')": "has values that are not finite",
    "image[..., 0, 0] = float('inf')": "has values that are not finite",
    "image = (image + 0.1) * 250": r"has values up to [0-9.]+; fused images are in \[0,1\]: divide by 255",
    "image = (image * 255).to(torch.uint8)": "is of uint8; fused images are floating|has values up to 64",
    "image = image - 3": r"has values down to -[0-9.]+; fused images are in \[0,1\]",
}


@pytest.mark.parametrize(
    ("low", "high", "fine"),
    [(0, 1, True), (-0.9, 1.9, True), (0, 2.1, False), (-1.1, 0, False), (0, np.nan, False), (-np.inf, 0, False)],
)
def test_bounds(low: float, high: float, fine: bool) -> None:
    assert (problem_of_fused(torch.tensor([[[[low, high]]]], dtype=torch.float32)) is None) == fine


def test_nothing_has_no_problem() -> None:
    assert problem_of_fused(torch.zeros(1, 1, 0, 3)) is None


@pytest.mark.parametrize("body", FAULTS)
@pytest.mark.parametrize("protocol", ["pairs", "pairs-robust", "probe"])
def test_scoring_refuses_it(protocol: str, body: str, tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.replace("BODY", body))
    data = "probe-demo" if protocol == "probe" else "pairs-demo"
    with pytest.raises(CannotMeasure, match=FAULTS[body]):
        fb.evaluate(path, data, protocol=protocol, out=None, limit=1 if protocol != "probe" else 2, device="cpu")


@pytest.mark.parametrize(("value", "match"), [(float("nan"), "not finite"), (128.0, "divide by 255")])
def test_scoring_stacks_refuses_it(value: float, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fb.create_model("average", ImageSpec(1, 8, 8, views=3))
    monkeypatch.setattr(type(model), "fuse", lambda self, batch: torch.full((1, 1, 8, 8), value))
    with pytest.raises(CannotMeasure, match=match):
        fused_luma(model, Stack("s", np.zeros((3, 8, 8), np.uint8), None), 0, "cpu")


@pytest.mark.parametrize("body", FAULTS)
def test_fusing_refuses_it(body: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.py"
    path.write_text(NET.replace("BODY", body))
    Image.fromarray(np.full((9, 8), 64, np.uint8)).save(tmp_path / "a.png")
    names = [str(tmp_path / name) for name in ("a.png", "a.png", "x.png")]
    code, _, err = run(capsys, "fuse", str(path), "--a", names[0], "--b", names[1], "-o", names[2], "--device", "cpu")
    assert code == 2 and re.search(FAULTS[body], err) and not Path(names[2]).exists()
