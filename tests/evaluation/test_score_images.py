"""``score``: the same pixels have the same scores, however they are given; and what cannot be scored is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from fusionbench import score
from fusionbench.core.errors import DataError, FusionbenchError, UsageError
from fusionbench.core.images import luma
from fusionbench.evaluation.image_files import score_files
from fusionbench.metrics import get_metric
from tests.metrics.scenes import scene

NAMES = ["en", "mi", "ssim"]
ROWS = [scene(number, (48, 52)) for number in range(3)]  # fused, a, b
FUSED, A, B = (np.stack([row[side] for row in ROWS]) for side in range(3))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("folders")
    found = {}
    for side, stack in {"fused": FUSED, "a": A, "b": B}.items():
        found[side] = root / side
        found[side].mkdir()
        for number, image in enumerate(stack):
            assert cv2.imwrite(str(found[side] / f"{number}.png"), image)
    return found


def values(*images: Any, **options: Any) -> list[list[float]]:
    found = score(*images, metrics=NAMES, **options)
    return [found.values[name].tolist() for name in NAMES]


def test_the_fused_image_comes_first_as_in_metrics() -> None:
    """The oracle is the metric itself, called with (fused, a, b)."""
    found = score(FUSED, A, B, ["scd", "mi"])
    for name in ("scd", "mi"):
        np.testing.assert_array_equal(found.values[name], get_metric(name)(FUSED, A, B))
    assert found.values["scd"].tolist() == score(fused=FUSED, b=B, a=A, metrics="scd").values["scd"].tolist()


def test_every_form_of_the_same_pixels_has_the_same_scores(folders: dict[str, Path]) -> None:
    files = score_files(folders["a"], folders["b"], folders["fused"], NAMES)
    wanted = [files.values[name].tolist() for name in NAMES]
    stacks = FUSED, A, B
    forms = {
        "stacks": stacks,
        "lists": [[*stack] for stack in stacks],
        "iterators": [iter(stack) for stack in stacks],
        "tuples of Pillow images": [tuple(map(Image.fromarray, stack)) for stack in stacks],
        "lists of files": [[folders[side] / f"{n}.png" for n in range(3)] for side in ("fused", "a", "b")],
        "names of files": [[str(folders[side] / f"{n}.png") for n in range(3)] for side in ("fused", "a", "b")],
        "folders": [folders[side] for side in ("fused", "a", "b")],
        "floats": [stack / 255 for stack in stacks],
        "tensors": [torch.from_numpy(stack)[:, None].float() / 255 for stack in stacks],
        "colour": [np.stack([stack] * 3, axis=-1) for stack in stacks],
        "bfloat16": [[torch.from_numpy(stack) for stack in FUSED], A, B],
        "16 bits": [stack.astype(np.uint16) * 257 for stack in stacks],
        "a mapping and folders": [{str(n): image for n, image in enumerate(FUSED)}, folders["a"], folders["b"]],
        "mixed": [FUSED, [*map(Image.fromarray, A)], [folders["b"] / f"{n}.png" for n in range(3)]],
    }
    for name, form in forms.items():
        assert values(*form) == wanted, name
    single = [[value[1]] for value in wanted]
    assert values(FUSED[1], A[1], B[1]) == single
    assert values(torch.from_numpy(FUSED[1])[None], A[1], B[1][..., None]) == single
    assert values(folders["fused"] / "1.png", A[1], str(folders["b"] / "1.png")) == single


def test_names_pair_and_tell(folders: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    some = score({"2": FUSED[2], "0": FUSED[0], "9": FUSED[1]}, folders["a"], folders["b"], "en")
    assert some.ids == ["0", "2"] and some.missing == {"1": ["fused"], "9": ["a", "b"]}
    assert "1 (not in fused), 9 (not in a, b)" in capsys.readouterr().err
    assert score([folders["fused"] / "2.png"], A[2:], B[2:], "en").ids == ["2"]
    assert score(FUSED, A, B, "en").ids == ["0", "1", "2"]
    with pytest.raises(DataError, match="lack a partner"):
        score({"2": FUSED[2]}, folders["a"], folders["b"], "en", strict=True)


def test_colour_counts_as_its_luma() -> None:
    colour = np.random.default_rng(5).integers(0, 256, (48, 52, 3), np.uint8)
    assert values(colour, A[0], B[0]) == values(luma(colour), A[0], B[0])


def test_targets_ranges_and_more_sources() -> None:
    alone = score(FUSED, target=A)
    assert [*alone] == ["mse_target", "psnr_target", "ssim_target"] and alone.inputs == ("fused", "target")
    np.testing.assert_allclose(
        alone.values["mse_target"], ((FUSED / 255 - A / 255) ** 2).mean(axis=(1, 2)) * 255**2, rtol=1e-12
    )
    third = score(FUSED, A, B, "mi", more=[A])
    assert third.inputs == ("fused", "a", "b", "c")
    deep = B.astype(np.uint16) * 16
    assert values(FUSED, A, deep, range_b="0:4080") == values(FUSED, A, B)
    found = score(FUSED, A, deep, "en", range_b="auto")
    assert found.ranges == {"b": "12bit"}


def test_another_order_is_noticed_and_the_right_one_is_not(tmp_path: Path) -> None:
    """A fused image is like both sources; of 350 published ones on TNO the hint was wrong for none."""
    rng = np.random.default_rng(1)
    a, b = (cv2.GaussianBlur(rng.normal(size=(64, 64)), (0, 0), 3) for _ in range(2))
    a, b = ((image - image.min()) / np.ptp(image) for image in (a, b))
    fused = (a + b) / 2
    assert score(fused, a, b, "en").warnings == []
    for order, side in {(0, 1, 2): "b", (0, 2, 1): "a"}.items():
        images = (a, b, fused)
        (warning,) = score(*(images[place] for place in order), "en").warnings
        assert warning.startswith(f"what was given as {side} looks more like a fused image")
    for name, image in {"a": a, "b": b, "fused": fused}.items():
        Image.fromarray((image * 255).astype(np.uint8)).save(tmp_path / f"{name}.png")
    assert score(*(tmp_path / f"{name}.png" for name in ("fused", "a", "b")), "en").warnings == []
    (warning,) = score(*(tmp_path / f"{name}.png" for name in ("a", "b", "fused")), "en").warnings
    assert warning.startswith("what was given as b")
    copies = [score(a, a, b, "en"), score(a // 1, a, b, "en"), score(np.zeros((64, 64)), a, b, "en")]
    assert not any("order" in line for found in copies for line in found.warnings)


@pytest.mark.parametrize(
    ("images", "options", "told"),
    [
        ((FUSED, A), {}, r"score\(fused, a, b\) needs"),
        ((FUSED,), {}, r"score\(fused, a, b\) needs"),
        ((FUSED, A[:2], B), {}, "different numbers of images: fused 3, a 2, b 3"),
        (([], [], []), {}, "no images to score"),
        ((FUSED, {"x": A[0]}, B), {}, "a: a folder or mapping, whose images have names, and fused, b"),
        (({"x": FUSED[0]}, {"y": A[0]}, {"x": B[0]}), {}, "No name is on all sides"),
        ((FUSED[0], A[0][:40], B[0]), {}, "sizes differ .*not"),
        ((FUSED[0], "nowhere.png", B[0]), {}, "nowhere.png: no such file or folder"),
        ((FUSED[0].astype(float), A[0], B[0]), {}, "floating point is in"),
        ((FUSED[0].astype(np.int32), A[0], B[0]), {}, "fused 0: an array of int32"),
        ((torch.zeros(5, 9, 9), A[0], B[0]), {}, r"a tensor of shape \(5, 9, 9\)"),
        ((np.zeros((48, 52, 4), np.uint8), A[0], B[0]), {}, r"fused 0: an array of shape \(48, 52, 4\)"),
        ((FUSED[0], A[0], object()), {}, "b 0: a object; give an array"),
        ((FUSED[0], A[0], [[1, 2], [3, 4]]), {}, "different numbers"),
        ((FUSED, A, B), {"metrics": "vff"}, "Did you mean 'viff' or 'vif'"),
        ((FUSED, A, B), {"metrics": []}, "No metric"),
        ((FUSED, A, B), {"dialect": "nobody"}, "nobody"),
        ((FUSED, A, B), {"more": [A] * 9}, "11 sources: at most 6"),
        ((FUSED, A, B), {"jobs": 0}, "at least 1"),
        ((FUSED, A, B), {"range_a": "wide"}, "wide"),
    ],
)
def test_what_cannot_be_scored_is_one_line(images: tuple[Any, ...], options: dict[str, Any], told: str) -> None:
    with pytest.raises(FusionbenchError, match=told) as error:
        score(*images, **options)
    assert "\n" not in str(error.value)


def test_names_from_a_mapping_are_harmless() -> None:
    name = "<script>\x1b[0m"
    found = score({name: FUSED[0]}, {name: A[0]}, {name: B[0]}, "en")
    assert "<script>" not in found._repr_html_() and "\x1b" not in found._repr_html_()


def test_scripts_hear_nothing_of_what_is_over_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    score(FUSED, A, B, "en")
    assert capsys.readouterr() == ("", "")


def test_one_kind_of_error_stays_usage() -> None:
    with pytest.raises(UsageError):
        score(FUSED, A, B, "psnr_target")
