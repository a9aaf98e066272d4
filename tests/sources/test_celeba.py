"""Oracle: the files that the tests write, read by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import FusionbenchError
from fusionbench.sources.celeba import CelebA, CelebAHalf
from tests.sources import folders


def test_the_official_partition_is_followed(tmp_path: Path) -> None:
    source = CelebA(folders.celeba(tmp_path))
    assert tuple(source.splits) == ("train", "validation", "test")
    assert [source.length(split) for split in source.splits] == [5, 2, 1]  # 000009 is listed and not there
    found = source.read("validation", np.array([1]))[0]
    assert np.array_equal(found, np.asarray(Image.open(tmp_path / "img_align_celeba" / "000007.jpg")))


def test_halves_are_a_source_of_their_own(tmp_path: Path) -> None:
    half = CelebAHalf(folders.celeba_half(tmp_path))
    assert half.read("train", np.array([0])).shape == (1, 109, 89, 3)
    with pytest.raises(FusionbenchError, match="img_align_celeba"):
        CelebA(tmp_path)
    (tmp_path / "half_89x109").rename(tmp_path / "img_align_celeba")
    assert CelebAHalf(tmp_path).length("train") == 5
    with pytest.raises(FusionbenchError, match="109×89 pixels instead of 218×178"):
        CelebA(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("000001.jpg 3\n", "line 1"), ("\n../../etc/passwd 0\n", "line 2"), ("000009.jpg 0\n", "none of the images")],
)
def test_a_bad_partition_is_named(text: str, message: str, tmp_path: Path) -> None:
    folders.celeba(tmp_path)
    (tmp_path / "list_eval_partition.txt").write_text(text)
    with pytest.raises(FusionbenchError, match=message):
        CelebA(tmp_path)


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    folders.celeba(tmp_path)
    (tmp_path / "img_align_celeba" / "000003.jpg").write_bytes(b"\xff\xd8 nothing")
    with pytest.raises(FusionbenchError, match=r"000003\.jpg"):
        CelebA(tmp_path).read("train", np.arange(5))
