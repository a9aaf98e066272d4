"""Protocols of stacks: scores against computations by hand, what data they take, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from fusionbench import create_model
from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.images import luma
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe
from fusionbench.evaluation.protocols import PROTOCOLS, protocol_for
from fusionbench.evaluation.protocols.multi_exposure import MultiExposure
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.evaluation.stack_scores import score_stack
from fusionbench.evaluation.stack_sets import open_stacks
from fusionbench.metrics import get_metric
from tests.helpers.stacks import small_stacks
from tests.sources import folders

FOCUS, EXPOSURE = PROTOCOLS.get("multi-focus/1"), PROTOCOLS.get("multi-exposure/1")


@pytest.fixture(scope="module")
def focus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_stacks("multi-focus", tmp_path_factory.mktemp("focus"))


def evaluated(protocol: Any, data: str, model: str) -> Any:
    opened = protocol.open(data, protocol.options())
    return protocol.evaluate(
        create_model(model, protocol.spec(opened)), opened, protocol.options(), out=None, device="cpu"
    )


def test_scores_of_a_data_set_are_those_by_hand(focus: Path) -> None:
    result, arrays = evaluated(FOCUS, str(focus), "average"), open_dataset(focus).arrays("test")
    psnr, frequency = [], []
    for views, target in zip(arrays.views, arrays.targets, strict=True):
        fused = np.round(views.astype(float).mean(0)).astype(np.uint8)
        psnr.append(peak_signal_noise_ratio(target, fused))
        frequency.append(float(get_metric("sf").function(fused[None])[0]))
    assert result.scores["psnr_target"].mean == pytest.approx(np.mean(psnr), rel=1e-6)
    assert result.scores["sf"].mean == pytest.approx(np.mean(frequency), rel=1e-6)
    three_views = {"qg", "qy", "qcb"}  # metrics of two sources are left out
    assert set(result.scores) == {*FOCUS.columns} - three_views == {*result.identity.metrics}
    assert protocol_for(str(focus)) is FOCUS and result.identity.dataset.split == "test"


def test_folders_are_scored_in_luma_with_their_truth_or_without(tmp_path: Path) -> None:
    found = FOCUS.open("real-mff", FOCUS.options(), source_dir=folders.real_mff(tmp_path / "a"))
    views, truth = found.origin.read_stack("all", 0)
    stack = found.stack(0)
    assert np.array_equal(stack.views, np.stack([luma(view) for view in views]))
    assert truth is not None and np.array_equal(stack.truth, luma(truth))
    values, missing = score_stack(stack.views[0], stack, ["psnr_target", "vif"])
    assert values["psnr_target"] == pytest.approx(peak_signal_noise_ratio(stack.truth, stack.views[0]))
    assert "at least 41" in missing["vif"].reason
    place = folders.scenes(tmp_path / "mefb" / "input").parent
    result = evaluated(EXPOSURE, str(place), "exposure-fusion")
    assert result.identity.dataset.name == "mefb"  # a folder that is called like a source is one of it
    assert not {"psnr_target", "ssim_target"} & {*result.scores}
    assert 0 < result.scores["mef_ssim"].mean <= 1


def test_ten_exposures_and_other_data_are_refused(tmp_path: Path, focus: Path) -> None:
    for number in range(10):
        (tmp_path / "ten" / "cup").mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * number).save(tmp_path / "ten" / "cup" / f"{number}.png")
    with pytest.raises(DataError, match="stacks of 10 pictures; multi-exposure/1 scores 2 to 9"):
        EXPOSURE.open(str(tmp_path / "ten"), EXPOSURE.options())
    assert FOCUS.open(str(tmp_path / "ten"), FOCUS.options()).spec.views == 10
    with pytest.raises(DataError, match=r"its recipe has no views\.exposure"):
        EXPOSURE.open(str(focus), EXPOSURE.options())
    digits = build_dataset(load_recipe("pairs-demo"), out=tmp_path / "data", jobs=1)
    with pytest.raises(DataError, match=r"its recipe has no views\.focus"):
        open_stacks(str(digits), "focus")
    for data in ("nothing", ""):
        with pytest.raises(UsageError, match="Unknown data set, folder or source of stacks"):
            FOCUS.open(data, FOCUS.options())
    with pytest.raises(UsageError, match="--source-dir"):
        FOCUS.open("lytro", FOCUS.options())
    with pytest.raises(FusionbenchError, match="no split 'far'"):
        FOCUS.open(str(focus), FOCUS.options(), split="far")


def test_a_task_is_one_class(focus: Path) -> None:
    """A third task of stacks: its names, the rule of its views, and its metrics."""

    class Sharpness(MultiExposure):
        name, title, views = "sharpness", "sharpness", "focus"
        metrics_used = columns = ("ag",)

    assert list(evaluated(Sharpness(), str(focus), "copy-a").scores) == ["ag"]


def test_suites_of_published_sets_run_on_their_layouts(tmp_path: Path) -> None:
    """Small pictures where Lytro, Real-MFF and MEFB have theirs; two rows of each suite."""
    places = {
        "multi-focus-lytro": folders.stacks(tmp_path / "lytro", "."),
        "multi-focus-real-mff": folders.real_mff(tmp_path / "real"),
        "multi-exposure-mefb": folders.scenes(tmp_path / "mefb" / "input").parent,
    }
    for name, place in places.items():
        rows = ["average", "exposure-fusion"]
        results = run_suite(name, source_dir=place, out=tmp_path / "out", models=rows, device="cpu")
        assert [result.identity.model.name for result in results] == rows
        assert ("psnr_target" in results[0].scores) == (name == "multi-focus-real-mff")
