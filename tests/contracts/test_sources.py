"""Every registered source keeps the contract. Sources that need files are tried on small ones that the tests write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import FusionbenchError
from fusionbench.core.types import Source
from fusionbench.sources import SOURCES
from tests.sources import folders, idx


def write_mnist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    idx.shrink(monkeypatch)
    return idx.write_all(folder)


def write_release(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("lmdb", reason="the extra 'lmdb' is not installed")
    return folders.tless_release(folder, monkeypatch)


# how to make a folder that the source accepts; a new source adds its line (None: embedded)
FOLDERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Path] | None] = {
    "celeba": lambda folder, _: folders.celeba(folder),
    "celeba-half": lambda folder, _: folders.celeba_half(folder),
    "coil": lambda folder, _: folders.coil(folder),
    "fusiontless-release": write_release,
    "folder": lambda folder, _: folders.mixed(folder),
    "digits": None,
    "harvard": lambda folder, _: folders.pairs(folder, "MRI_CT/CT", "MRI_CT/MRI"),
    "labelled-pairs": lambda folder, _: folders.labelled(folder),
    "llvip-detection": lambda folder, _: folders.boxed(
        folder, "infrared/test", "visible/test", "Annotations", "person"
    ),
    "m3fd-detection": lambda folder, _: folders.boxed(folder, "Ir", "Vis", "Annotation", "People"),
    "yolo-pairs": lambda folder, _: folders.yolo(folder),
    "llvip": lambda folder, _: folders.pairs(folder, "infrared/test", "visible/test"),
    "m3fd": lambda folder, _: folders.pairs(folder, "ir", "vi"),
    "msrs": lambda folder, _: folders.pairs(folder, "test/ir", "test/vi"),
    "msrs-half": lambda folder, _: folders.labelled(folder),
    "msrs-labelled": lambda folder, _: folders.labelled(folder / "test", "Segmentation_labels").parent,
    "pairs": lambda folder, _: folders.pairs(folder, "a", "b"),
    "roadscene": lambda folder, _: folders.pairs(folder, "ir", "vi"),
    "tno": lambda folder, _: folders.pairs(folder, "ir", "vi"),
    "vifb": lambda folder, _: folders.pairs(folder, "IR", "VI"),
    "lytro": lambda folder, _: folders.stacks(folder, ".", "Triple Series"),
    "mefb": lambda folder, _: folders.scenes(folder / "input").parent,
    "mffw": lambda folder, _: folders.stacks(folder, "MFFW2", "MFFW3"),
    "real-mff": lambda folder, _: folders.real_mff(folder),
    "stacks": lambda folder, _: folders.stacks(folder, "."),
    "scenes-demo": None,
    "pairs-demo": None,
    "probe-demo": None,
    "mnist": write_mnist,
    "tless": lambda folder, _: folders.tless(folder),
}


@pytest.fixture(params=SOURCES.names())
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    name = request.param
    assert name in FOLDERS, f"say in FOLDERS how to write a small folder for the source {name!r}"
    write = FOLDERS[name]
    return SOURCES.get(name)(write(tmp_path / name, monkeypatch) if write else None)


def test_it_says_what_it_is(source: Source) -> None:
    assert isinstance(source, Source)
    assert source.name in SOURCES.names()
    for text in (source.title, source.licence, source.citation):
        assert text.strip() and "\n" not in text
    assert source.homepage.startswith("http") or source.homepage == ""
    assert isinstance(source.redistributable, bool)
    assert len(source.splits) >= 1 and len(set(source.splits)) == len(source.splits)


def test_images_are_uint8_and_in_the_order_asked_for(source: Source) -> None:
    for split in source.splits:
        count = source.length(split)
        assert count >= 1
        wanted = np.array([count - 1, 0, count // 2, 0])
        images = source.read(split, wanted)
        assert images.dtype == np.uint8 and images.ndim == 4 and images.shape[0] == 4
        assert images.shape[3] in (1, 3)
        for i, index in enumerate(wanted):
            assert np.array_equal(source.read(split, np.array([index]))[0], images[i])
        assert source.read(split, np.array([], np.int64)).shape[0] == 0


def test_reading_hands_out_copies(source: Source) -> None:
    split = source.splits[0]
    images = source.read(split, np.array([0]))
    before = images.copy()
    images[:] = 77
    assert np.array_equal(source.read(split, np.array([0])), before)


def test_labels_match_the_length(source: Source) -> None:
    for split in source.splits:
        labels = source.labels(split)
        if labels is not None:
            assert labels.dtype == np.int64 and labels.shape == (source.length(split),) and labels.min() >= 0


def test_fingerprints_tell_splits_apart_and_repeat(source: Source) -> None:
    prints = [source.fingerprint(split) for split in source.splits]
    assert prints == [source.fingerprint(split) for split in source.splits]
    assert len(set(prints)) == len(prints) and all(len(value) == 64 for value in prints)


def test_an_unknown_split_is_an_error_for_people(source: Source) -> None:
    for call in (source.length, source.labels, source.fingerprint):
        with pytest.raises(FusionbenchError):
            call("no-such-split")


@pytest.mark.parametrize("name", [name for name, write in FOLDERS.items() if write])
def test_an_empty_folder_is_an_error_for_people(name: str, tmp_path: Path) -> None:
    with pytest.raises(FusionbenchError) as caught:
        SOURCES.get(name)(tmp_path)
    assert str(tmp_path) in str(caught.value) and caught.value.exit_code == 2


def test_every_image_file_has_a_name(source: Source) -> None:
    """Sources of image files name each of them, so that one can be refused, named and left out."""
    from fusionbench.data.source_files import file_names, has_files

    if not has_files(source):
        assert source.name in (
            "digits",
            "mnist",
            "fusiontless-release",
            "pairs-demo",
            "scenes-demo",
            "probe-demo",
        )  # one file, or none
        return
    for split in source.splits:
        names = file_names(source, split)
        assert len(names) == len(set(names)) == source.length(split)
        paths = [source.paths(split, index) for index in range(len(names))]  # type: ignore[attr-defined]
        files = [path for both in paths for path in both]
        assert all(path.is_file() for path in files) and len(files) == len(set(files))
        several = hasattr(source, "read_pairs") or hasattr(source, "read_stack")
        assert {len(both) > 1 for both in paths} == {several}
        assert isinstance(getattr(source, "fixed", lambda _: "")(split), str)
