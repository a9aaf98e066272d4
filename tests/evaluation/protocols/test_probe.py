"""The downstream probe on scenes with a known truth, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench import create_model
from fusionbench.core.errors import DataError, UsageError
from fusionbench.evaluation.labelled_set import LabelledSet, open_labelled
from fusionbench.evaluation.protocols import PROTOCOLS
from fusionbench.evaluation.run_suite import run_suite
from fusionbench.results.schema import load_per_image
from fusionbench.sources.labelled_pairs import ProbeDemo
from tests.sources import folders

PROBE = PROTOCOLS.get("probe/1")


def scores_of(name: str, data: LabelledSet, **options: object) -> dict[str, float]:
    model = PROBE.reference(name, data) if name == "stack" else create_model(name, PROBE.spec(data))
    found = PROBE.evaluate(model, data, PROBE.options(**options), out=None, device="cpu").scores
    return {key: np.nan if score.mean is None else score.mean for key, score in found.items()}


@pytest.fixture(scope="module")
def demo() -> LabelledSet:
    return open_labelled("probe-demo", None, None)


def test_a_class_is_found_in_the_view_that_shows_it_and_nowhere_else(demo: LabelledSet) -> None:
    infrared, visible = scores_of("copy-a", demo), scores_of("copy-b", demo)
    stack = scores_of("stack", demo, colour=False)
    assert infrared["ap@person"] > 0.98 and visible["ap@car"] > 0.98
    assert stack["ap@person"] > 0.98 and stack["ap@car"] > 0.98
    shares = [np.mean([demo.truth(f, [name], 1).mean() for f in range(len(demo))]) for name in ("person", "car")]
    assert visible["ap@person"] < 3 * shares[0] and infrared["ap@car"] < 3 * shares[1]  # about chance
    assert infrared["ap"] == pytest.approx((infrared["ap@person"] + infrared["ap@car"]) / 2)
    # the colour of the visible image shows the cars that infrared does not
    assert infrared["ap_colour@car"] > 0.98 and visible["ap_colour@person"] < 3 * shares[0]


class Permuted(ProbeDemo):
    """The demo with the pixels of its label maps in any order."""

    def label_map(self, split: str, index: int) -> np.ndarray:
        found = super().label_map(split, index)
        return np.random.default_rng(index).permutation(found.ravel()).reshape(found.shape)


def test_permuted_labels_give_chance() -> None:
    data = LabelledSet(Permuted(), "all")
    found = scores_of("stack", data, colour=False)
    for name in ("person", "car"):
        share = float(np.mean([data.truth(frame, [name], 1).mean() for frame in range(len(data))]))
        assert share / 2 < found[f"ap@{name}"] < 3 * share


def test_the_suite_has_its_reference_and_tables_by_scene(tmp_path: Path) -> None:
    results = run_suite("probe-demo", out=tmp_path, models=["copy-a", "stack"], device="cpu", limit=3)
    assert [result.title for result in results] == ["infrared", "both sources as channels"]
    table = load_per_image(results[1].folder(tmp_path))
    assert list(table["id"]) == ["s0_100-s0_102", "s1_100-s1_102", "s2_100-s2_102"]
    assert results[1].scores["ap@person"].n == 3 and len(results[1].scores["ap@person"].extra["folds"]) == 3
    [alone] = run_suite("probe-demo", out=tmp_path, models=["stack"], device="cpu", limit=3)
    assert alone.id == results[1].id and alone.family == "trivial"


def test_scenes_without_a_class_and_grey_images_are_left_out_for_all(tmp_path: Path) -> None:
    root = folders.labelled(tmp_path)
    label = np.array(Image.open(root / "labels" / "0200.png"))
    folders.save(root / "labels" / "0200.png", np.where(label == 2, 0, label).astype(np.uint8))
    data = open_labelled(str(root), None, None)
    assert data.scene_names == ["0001", "0200", "0300"]
    found = PROBE.evaluate(
        create_model("average", PROBE.spec(data)), data, PROBE.options(), out=None, device="cpu"
    ).scores
    assert found["ap@person"].n == 2 and found["ap@car"].n == 3 and found["ap"].n == 3
    assert found["ap@person"].extra["not_available"][0]["images"] == ["0200"]
    assert found["ap_colour"].mean is None and "visible images are grey" in found["ap_colour"].reason


def test_what_cannot_be_probed_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'pairs-demo' has no label maps; sources with labels: labelled-pairs, msrs"):
        open_labelled("pairs-demo", None, None)
    with pytest.raises(UsageError, match=r"Unknown class 'persn'\. Did you mean 'person'"):
        scores_of("average", open_labelled("probe-demo", None, None, limit=2), classes=("persn",))
    for wrong in ({"classes": ()}, {"classes": ("a", "a")}, {"classes": ("../x",)}, {"folds": 1}):
        with pytest.raises(UsageError):
            PROBE.options(**wrong)
    with pytest.raises(DataError, match="one scene by the names of its frames"):
        scores_of("average", open_labelled("probe-demo", None, None, limit=1))
    root = folders.labelled(tmp_path)
    for folder in ("ir", "vi", "labels"):  # neighbours all, and in two scenes by their tails
        for old, new in (("0001", "0001D"), ("0200", "0002D"), ("0300", "0003N")):
            (root / folder / f"{old}.png").rename(root / folder / f"{new}.png")
    with pytest.raises(DataError, match="all frames are near tested ones"):
        scores_of("average", open_labelled(str(root), None, None))
