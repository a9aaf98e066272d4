"""Oracle: the files that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError
from fusionbench.data.preprocessing import grey
from fusionbench.sources.coil import Coil
from fusionbench.synth import CannyCut
from fusionbench.synth.cutouts import iou
from tests.sources import folders


def test_images_are_in_the_order_of_object_and_turn(tmp_path: Path) -> None:
    source = Coil(folders.coil(tmp_path))
    labels = source.labels("coil20")
    assert labels is not None and labels.tolist() == [n for n in range(1, 21) for _ in range(3)]
    found = source.read("coil20", np.array([3 * 9 + 2]))[0]
    assert np.array_equal(found, np.repeat(folders.picture(10 + 2, 128, 128, grey=True)[..., None], 3, -1))
    assert np.array_equal(source.read("coil100", np.array([49]))[0], folders.picture(50, 128, 128))


def test_one_half_is_enough(tmp_path: Path) -> None:
    folders.coil(tmp_path)
    (tmp_path / "coil100").rename(tmp_path / "elsewhere")
    source = Coil(tmp_path)
    assert tuple(source.splits) == ("coil20",)
    with pytest.raises(FusionbenchError, match="'coil100'"):
        source.length("coil100")


def test_a_picture_of_another_size_is_named(tmp_path: Path) -> None:
    folders.coil(tmp_path)
    folders.save(tmp_path / "coil20" / "obj1__0.png", folders.picture(0, 64, 64))
    with pytest.raises(FusionbenchError, match=r"obj1__0\.png: 64×64"):
        Coil(tmp_path).read("coil20", np.array([0]))


def test_the_object_is_found_by_its_brightness(tmp_path: Path) -> None:
    """A dark disc with a black hole and a gap of three pixels, on grey 25 with an odd pixel in one corner."""
    y, x = np.mgrid[0:128, 0:128]
    disc = np.hypot(y - 64, x - 60) < 40
    image = np.full((128, 128, 3), 25, np.uint8)
    image[disc] = (25, 40, 27)  # grey would hardly tell it
    image[60:70, 55:65] = image[62:65, 60:] = 25
    image[0, 0] = (53, 51, 32)
    folders.save(tmp_path / "coil100" / "obj28__0.png", image)
    mask = Coil(tmp_path).object_mask("coil100", 0)
    assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 255}
    assert np.count_nonzero((mask > 0) != disc) < 30 and mask[65, 60] == 255 and mask[0, 0] == 0
    folders.save(tmp_path / "coil100" / "obj28__5.png", np.full((128, 128, 3), 25, np.uint8))
    assert not Coil(tmp_path).object_mask("coil100", 1).any()


def test_real_objects_and_how_often_canny_misses_them(real_data: Path) -> None:
    """Agreement below .8: 0.2 % of the cut-outs of COIL-20, and more than a tenth of those of COIL-100."""
    source = Coil(real_data / "coil")
    objects = {"coil20": range(9, 21), "coil100": (1, 2, 4, 5, 7, 10, 19, 28, 33, 35, 37, 46, 47, 49)}
    for split, (low, high) in {"coil20": (0.001, 0.004), "coil100": (0.1, 0.2)}.items():
        labels = source.labels(split)
        assert labels is not None
        chosen = np.flatnonzero(np.isin(labels, list(objects[split])))
        bad = 0
        for index in chosen.tolist():
            image = grey(source.read(split, np.array([index]))[0])
            bad += iou(CannyCut(20, 60, 5).mask(image), source.object_mask(split, index)) < 0.8
        assert low < bad / len(chosen) < high
