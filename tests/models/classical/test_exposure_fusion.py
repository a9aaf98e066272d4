"""Oracles: OpenCV's exposure fusion, and the weights of the paper by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fusionbench import create_model
from fusionbench.core.errors import UsageError
from fusionbench.core.types import Batch, ImageSpec


def test_exposure_fusion_is_near_opencvs() -> None:
    """OpenCV's pyramids treat the border otherwise, and its weights of grey images know no saturation either."""
    import cv2

    from fusionbench.synth.exposure import MOST, curve

    y, x = np.mgrid[0:96, 0:112]
    picture = (128 + 60 * np.sin(x / 9) * np.cos(y / 7) + 50 * ((x // 16 + y // 16) % 2)).clip(0, 255).astype(np.uint8)
    views = np.stack([curve()[MOST + quarters][picture] for quarters in (-10, -2, 6)])
    theirs = cv2.createMergeMertens(1.0, 0.0, 1.0).process(list(views)).squeeze()
    model: Any = create_model("exposure-fusion", ImageSpec(1, 96, 112, 3))
    batch = Batch(None, torch.from_numpy(views)[None, :, None].float() / 255, torch.ones(1, 3).bool(), torch.arange(1))
    ours = model.fuse(batch)[0, 0].numpy()
    assert np.abs(ours - theirs).mean() < 0.02 and np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_exposure_fusion_weights_are_those_of_the_paper() -> None:
    model: Any = create_model("exposure-fusion", ImageSpec(1, 3, 3, 2))
    view = torch.tensor([[0.2, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.2]], dtype=torch.float64)[None, None]
    wanted = 4 * 0.4 * np.exp(-(0.1**2) / (2 * 0.2**2))
    assert float(model.weight(view)[0, 0, 1, 1]) == pytest.approx(wanted, rel=1e-9)
    for wrong in ({"contrast": -1.0}, {"sigma": 0.0}, {"levels": 0}):
        with pytest.raises(UsageError, match="exposure fusion"):
            create_model("exposure-fusion", ImageSpec(1, 8, 8, 2), **wrong)
