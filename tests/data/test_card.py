"""The card says what the manifest says, and its picture shows the stored samples."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from tests.data.test_build import small_recipe


def test_card_and_picture(tmp_path: Path) -> None:
    folder = build_dataset(small_recipe(512), out=tmp_path)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    text = (folder / "README.md").read_text()
    for expected in (manifest["id"], manifest["source"]["licence"], manifest["source"]["citation"], "(preview.png)"):
        assert expected in text
    assert f"{100 * manifest['splits']['test']['coverage'][0]:.1f} %" in text and "1,501" in text
    sheet = cv2.imread(str(folder / "preview.png"), cv2.IMREAD_UNCHANGED)
    arrays = open_dataset(folder).arrays("train")
    assert np.array_equal(sheet[2:66:2, 2:66:2], arrays.targets[0])
    assert np.array_equal(sheet[2:66:2, 66:130:2], arrays.views[0, 0])
