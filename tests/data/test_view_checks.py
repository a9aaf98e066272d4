"""Recipes of stacks: what they can say, and what is wrong in one line that names the key."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError
from fusionbench.core.io import shipped_folder
from fusionbench.data.build import build_dataset
from fusionbench.data.dataset import open_dataset
from fusionbench.data.recipes import load_recipe, parse_recipe
from fusionbench.data.verify import verify_dataset
from fusionbench.synth import DefocusViews, ExposureViews, Overlays, SmoothDepth
from tests.helpers.stacks import TASKS, small_recipe, small_stacks

TEXT = {name: (shipped_folder("datasets_recipes") / f"{name}.toml").read_text() for name in (*TASKS, "fusioncoil")}
FOCUS, EXPOSURE = TEXT["multi-focus"], TEXT["multi-exposure"]
MASKS = '[views.masks]\nalgorithm = "ellipse/1"\nellipses = 2\nradius = [5, 9]\n'
NOISE = '[views.noise]\nalgorithm = "noise/1"\nsigma = 0.1\n'


@pytest.mark.parametrize(
    ("text", "old", "new", "key", "reason"),
    [
        (FOCUS, "count = 3", "count = 1", "views.count", "one view has one plane of focus"),
        (FOCUS, "blur = [4, 10]", "blur = [10, 4]", "views.focus.blur", "smallest 10 is above largest 4"),
        (FOCUS, "blur = [4, 10]", "blur = [4, 33]", "views.focus.blur", "<= 32"),
        (FOCUS, "height = 256", "height = 20", "views.focus.blur", "a radius of 10 covers the image"),
        (FOCUS, "[live]", f"{MASKS}[live]", "views.focus.grid", "belongs to a smooth depth"),
        (FOCUS, "[live]", f"{NOISE}[live]", "views.noise", "not with views.focus"),
        (EXPOSURE, "count = 5", "count = 1", "views.count", "a stack has 2 to 9 exposures"),
        (EXPOSURE, "count = 5", "count = 10", "views.count", "a stack has 2 to 9 exposures"),
        (EXPOSURE, "stops = 1.5", "stops = 1.3", "views.exposure.stops", "not in whole quarters"),
        (EXPOSURE, "stops = 1.5", "stops = 4.0", "views.exposure.stops", "reach beyond ±8 EV"),
        (EXPOSURE, "stops = 1.5", "stops = 0.25", "views.exposure.stops", ">= 0.5"),
        (EXPOSURE, "[live]", f"{MASKS}[live]", "views", "`exposure` is the only way"),
        (EXPOSURE, "[live]", f"{NOISE}[live]", "views.noise", "not with views.exposure"),
        (EXPOSURE, '[views.exposure]\nalgorithm = "exposure/1"\n', "[live]\n#", "views", "one of `masks`"),
    ],
)
def test_what_cannot_work_is_one_line(text: str, old: str, new: str, key: str, reason: str) -> None:
    changed = text.replace(old, new)
    if new == "[live]\n#":
        changed = changed.partition("[live]")[0]
    assert changed != text
    with pytest.raises(DataError) as caught:
        parse_recipe(changed.encode())
    assert key in str(caught.value) and reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_recipe_says_what_lies_nearer() -> None:
    assert load_recipe("multi-focus-demo").view_maker("test").depth.count == 3  # type: ignore[union-attr]
    smooth = load_recipe("multi-focus").view_maker("test")
    assert isinstance(smooth, DefocusViews) and smooth.depth == SmoothDepth(4)
    exposures = load_recipe("multi-exposure").view_maker("train")
    assert isinstance(exposures, ExposureViews) and (exposures.step, exposures.views) == (6, 5)
    focus = '[views.focus]\nalgorithm = "defocus/1"\nblur = [2, 4]\n'
    recipe = parse_recipe(TEXT["fusioncoil"].replace("[views.overlay]", f"{focus}[views.overlay]").encode())
    with_cutouts = recipe.view_maker("test", np.full((2, 9, 9, 2), 255, np.uint8))
    assert isinstance(with_cutouts, DefocusViews) and with_cutouts.depth == Overlays((5, 8), 4)
    targets = (np.arange(2 * 64 * 64) * 89 % 251).astype(np.uint8).reshape(2, 64, 64)
    assert (with_cutouts.make_views(targets, np.arange(2)) == targets[:, None]).any(1).all()
    with pytest.raises(ValueError, match="bank of cut-outs"):
        recipe.view_maker("test")


@pytest.mark.parametrize("task", TASKS)
def test_data_sets_are_verified_and_stream_live(task: str, tmp_path: Path) -> None:
    folder = small_stacks(task, tmp_path)
    report = verify_dataset(folder, regenerate=3, source_dir=tmp_path / "pictures")
    assert report.ok
    dataset = open_dataset(folder)
    stored, live = (dataset.stream("train", live=kind) for kind in (False, True))
    first, later = stored.batch(np.arange(3)), live.batch(np.arange(3), epoch=4)
    assert first.views.shape == later.views.shape == (3, small_recipe(task).views.count, 1, 48, 48)
    assert not (first.views == later.views).all() and first.target is not None
    if task == "multi-focus":
        assert bool(((first.views == first.target[:, None]).any(1)).all())


def test_the_demo_recipes_have_the_digests_that_they_promise(tmp_path: Path) -> None:
    """Built with another number of processes than the shipped results, and checked against [expect] while built."""
    for name in ("multi-focus-demo", "multi-exposure-demo"):
        recipe = load_recipe(name)
        dataset = open_dataset(build_dataset(recipe, out=tmp_path, jobs=1))
        assert dataset.id == recipe.expect.id and dataset.size("test") == 18
