"""Oracle: the pictures that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, FusionbenchError
from fusionbench.sources.folder import Folder
from tests.sources import folders


def test_pictures_in_the_order_of_paths_with_classes(tmp_path: Path) -> None:
    source = Folder(folders.mixed(tmp_path))
    assert source.length("all") == 5
    labels = source.labels("all")
    assert labels is not None and labels.tolist() == [1, 1, 2, 2, 2]
    assert np.array_equal(source.read("all", np.array([1]))[0], folders.picture(2, 40, 50))  # a/two.tif
    assert np.array_equal(source.read("all", np.array([4]))[0], folders.picture(0, 40, 50))  # b/z.png


def test_mixed_sizes_are_read_as_a_list(tmp_path: Path) -> None:
    folders.save(tmp_path / "a.png", folders.picture(0, 40, 50))
    folders.save(tmp_path / "b.png", folders.picture(1, 30, 31))
    source = Folder(tmp_path)
    assert [image.shape for image in source.read_list("all", np.array([1, 0]))] == [(30, 31, 3), (40, 50, 3)]
    assert source.labels("all") is None
    with pytest.raises(FusionbenchError, match="another size"):
        source.read("all", np.arange(2))


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folders.save(tmp_path / "secret.png", folders.picture(0, 8, 8))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "secret.png")
    folders.save(tmp_path / "in" / "b.png", folders.picture(1, 8, 8))
    source = Folder(tmp_path / "in")
    with pytest.raises(FusionbenchError, match="leads out of"):
        source.read("all", np.array([0]))
    assert np.array_equal(source.read("all", np.array([1]))[0], folders.picture(1, 8, 8))


def test_confusing_folders_are_refused(tmp_path: Path) -> None:
    folders.mixed(tmp_path)
    folders.save(tmp_path / "top.png", folders.picture(0, 40, 50))
    with pytest.raises(FusionbenchError, match="both here and in subfolders"):
        Folder(tmp_path)
    with pytest.raises(FusionbenchError, match="no such folder"):
        Folder(tmp_path / "none")


def test_links_to_themselves_and_to_nothing_are_refused_when_they_are_read(tmp_path: Path) -> None:
    folders.save(tmp_path / "a.png", folders.picture(1, 8, 8))
    (tmp_path / "b.png").symlink_to("b.png")
    (tmp_path / "c.png").symlink_to("none.png")
    (tmp_path / "d").symlink_to("d")  # no folder, and no image
    source = Folder(tmp_path)
    assert source.names("all") == ["a.png", "b.png", "c.png"]
    assert source.read("all", np.array([0])).shape == (1, 8, 8, 3)
    for index in (1, 2):
        with pytest.raises(DataError) as caught:
            source.read("all", np.array([index]))
        assert "\n" not in str(caught.value) and source.names("all")[index] in str(caught.value)
