"""Oracle: the files that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError
from fusionbench.sources.coil import Coil
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
