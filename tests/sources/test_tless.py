"""Oracle: the folders that the tests write, in both public layouts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import parse_recipe
from fusionbench.sources.tless import TLess
from tests.sources import folders


def test_both_layouts_are_the_same_source(tmp_path: Path) -> None:
    bop, original = TLess(folders.tless(tmp_path / "bop")), TLess(folders.tless(tmp_path / "v2", bop=False))
    assert bop.length("train") == original.length("train") == 12
    for source in (bop, original):
        labels = source.labels("train")
        assert labels is not None and labels.tolist() == [n for n in (1, 3, 19, 20) for _ in range(3)]
    assert bop.fingerprint("train") == original.fingerprint("train")
    assert TLess(tmp_path / "bop" / "train_primesense").length("train") == 12
    mask = bop.visible_mask("train", 4)
    assert mask is not None and mask.shape == (400, 400) and original.visible_mask("train", 4) is None


@pytest.mark.parametrize("bop", [True, False])
def test_annotations_that_contradict_the_folder_are_refused(bop: bool, tmp_path: Path) -> None:
    root = folders.tless(tmp_path, bop)
    folder = root / "train_primesense" / ("000003" if bop else "03")
    path = folder / ("scene_gt.json" if bop else "gt.yml")
    text = path.read_text()
    path.write_text(text.replace('"obj_id": 3', '"obj_id": 4').replace("obj_id: 3", "obj_id: 4"))
    with pytest.raises(FusionbenchError, match="says object 4"):
        TLess(root)
    path.write_text(text.replace('"2"', '"7"').replace("2:\n", "7:\n"))
    with pytest.raises(FusionbenchError, match="does not mention it"):
        TLess(root)
    path.unlink()
    with pytest.raises(FusionbenchError, match="neither"):
        TLess(root)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "9" * 5000, "99999999999999999999"])
def test_numbers_that_are_no_object_are_one_line(tmp_path: Path, number: str) -> None:
    root = folders.tless(tmp_path, True, objects=(1,), images=1)
    path = tmp_path / "train_primesense" / "000001" / "scene_gt.json"
    path.write_text(path.read_text().replace('"obj_id": 1', f'"obj_id": {number}'))
    with pytest.raises(FusionbenchError, match=r"000001") as caught:
        TLess(root)
    assert "\n" not in str(caught.value)


NESTED = st.recursive(st.none() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(st.sampled_from([True, False]), st.text(max_size=80) | NESTED.map(json.dumps))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_annotation_makes_it_crash(tmp_path: Path, bop: bool, text: str) -> None:
    root = tmp_path / str(bop)
    if not root.exists():
        folders.tless(root, bop, objects=(1,), images=1)
    path = root / "train_primesense" / ("000001/scene_gt.json" if bop else "01/gt.yml")
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        TLess(root)
    except FusionbenchError as error:
        assert "\n" not in str(error)


def test_the_recipe_builds_and_reports_how_well_objects_are_cut(tmp_path: Path) -> None:
    folders.tless(tmp_path / "tless", objects=(1, 3, 19, 24), images=10)
    text = (shipped_folder("datasets_recipes") / "fusiontless.toml").read_text()
    recipe = parse_recipe(text.encode(), "fusiontless.toml")
    folder = build_dataset(recipe, tmp_path / "tless", tmp_path / "out")
    dataset = open_dataset(folder)
    assert {split: dataset.size(split) for split in dataset.splits} == {"train": 18, "test": 2}
    assert dataset.view_maker("train").bank.shape == (10, 50, 50, 2)  # type: ignore[union-attr]
    for split in dataset.splits:
        assert 0.9 < (dataset.split(split).cutouts_iou or 0) <= 1
    assert dataset.arrays("train").views.shape == (18, 3, 64, 64)
    colour = parse_recipe(text.replace("channels = 1", "channels = 3").encode(), "colour.toml")
    dataset = open_dataset(build_dataset(colour, tmp_path / "tless", tmp_path / "out"))
    assert dataset.arrays("test").targets.shape == (2, 64, 64, 3)
    assert np.asarray(dataset.arrays("test").targets[..., 0]).std() > 0
