"""Pairs by stem: what is paired, what is left out and said, what is refused, and the published layouts on real data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.sources.pair_folders import PairFolders
from fusionbench.sources.pairs import Harvard, Llvip, M3fd, Msrs, Pairs, PairsDemo, RoadScene, Tno, Vifb
from tests.sources import folders

FIRST = np.array([0])


def test_pairs_by_stem_whatever_the_extension(tmp_path: Path) -> None:
    source = Pairs(folders.pairs(tmp_path, "ir", "vi"))
    assert source.splits == ("all",) and source.stems("all") == ["01", "02", "x3"]
    pair = source.read_pairs("all", np.array([1]))[0]
    assert pair.shape == (2, 12, 16) and pair.dtype == np.uint8
    assert np.array_equal(pair[0], folders.picture(6, 12, 16, grey=True))
    rgb = folders.picture(1, 12, 16).astype(np.float64)
    assert np.abs(pair[1] - rgb @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-9  # BT.601, rounded


def test_missing_partners_are_listed_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders.pairs(tmp_path, "a", "b")
    (tmp_path / "b" / "02.bmp").unlink()
    (tmp_path / "a" / "x3.png").unlink()
    source = Pairs(tmp_path)
    assert source.stems("all") == ["01"] and source.missing("all") == {"02": "b", "x3": "a"}
    said = capsys.readouterr().err
    assert "2 images" in said and "02 (not in b)" in said and "x3 (not in a)" in said
    with pytest.raises(DataError, match="--strict"):
        Pairs(tmp_path, strict=True)


def test_stems_that_differ_in_large_letters_alone_belong_together(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "input/IR", "input/VI", ("manCall", "peopleShadow", "Two", "two"))
    (tmp_path / "input/VI/peopleShadow.bmp").rename(tmp_path / "input/VI/peopleshadow.bmp")
    (tmp_path / "input/VI/Two.bmp").rename(tmp_path / "input/VI/TWO.bmp")
    source = Vifb(tmp_path)
    assert source.stems("all") == ["Two", "manCall", "peopleShadow", "two"]
    assert [path.name for path in source.files("all")["Two"]] == ["Two.png", "TWO.bmp"]
    (tmp_path / "input/IR/two.png").rename(tmp_path / "input/IR/tWO.png")  # now two pictures fit, so none is chosen
    (tmp_path / "input/VI/two.bmp").unlink()
    assert set(Vifb(tmp_path).missing("all")) == {"Two", "TWO", "tWO"}


def test_no_common_stem_and_no_folder(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b", ("01",))
    (tmp_path / "b" / "01.bmp").rename(tmp_path / "b" / "other.bmp")
    with pytest.raises(DataError, match="no stem"):
        Pairs(tmp_path)
    with pytest.raises(UsageError, match="--source-dir"):
        Pairs(None)


def test_mixed_sizes_are_read_one_by_one_and_a_pair_of_two_sizes_is_refused(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b")
    folders.save(tmp_path / "a" / "02.png", folders.picture(1, 20, 30, grey=True))
    folders.save(tmp_path / "b" / "02.bmp", folders.picture(1, 20, 30))
    folders.save(tmp_path / "b" / "x3.bmp", folders.picture(1, 12, 17))
    source = Pairs(tmp_path)
    assert [pair.shape for pair in source.read_pairs("all", np.array([1, 0]))] == [(2, 20, 30), (2, 12, 16)]
    with pytest.raises(DataError, match="different sizes"):
        source.views("all", np.array([0, 1]))
    with pytest.raises(DataError, match=r"x3\.png is 12×16 and .*x3\.bmp is 12×17"):
        source.read_pairs("all", np.array([2]))


def test_palettes_alpha_and_sixteen_bits(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b")
    ramp = np.linspace(0, 65535, 12 * 16).reshape(12, 16).astype(np.uint16)
    folders.save(tmp_path / "a" / "01.png", ramp)
    rgb = folders.picture(2, 12, 16)
    palette = Image.fromarray(rgb).quantize(256)
    (tmp_path / "b" / "01.bmp").unlink()
    palette.save(tmp_path / "b" / "01.png")
    opaque = np.dstack((rgb, np.full((12, 16), 255, np.uint8)))
    (tmp_path / "b" / "02.bmp").unlink()
    folders.save(tmp_path / "b" / "02.png", opaque)
    (tmp_path / "b" / "x3.bmp").unlink()
    folders.save(tmp_path / "b" / "x3.png", np.dstack((rgb, np.full((12, 16), 100, np.uint8))))
    source = Pairs(tmp_path)
    first, second = source.read_pairs("all", np.array([0, 1]))
    assert np.array_equal(first[0], np.rint(ramp / 257.0))
    coloured = np.asarray(palette.convert("RGB")).astype(np.float64)
    assert np.abs(first[1] - coloured @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-9
    assert np.abs(second[1] - rgb.astype(np.float64) @ [0.299, 0.587, 0.114]).max() <= 0.5 + 1e-9
    with pytest.raises(DataError, match=r"x3\.png: has translucent"):
        source.read_pairs("all", np.array([2]))


def test_truncated_and_hostile_files_are_one_line(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b")
    whole = (tmp_path / "a" / "01.png").read_bytes()
    (tmp_path / "a" / "01.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b" / "02.bmp").write_bytes(b"\x00" * 40)
    huge = bytearray((tmp_path / "a" / "x3.png").read_bytes())
    huge[16:24] = b"\x00\x01\xff\xff" * 2  # the header claims 131071 pixels a side
    (tmp_path / "a" / "x3.png").write_bytes(bytes(huge))
    source = Pairs(tmp_path)
    for index, name in enumerate(("01.png", "02.bmp", "x3.png")):
        with pytest.raises(DataError) as caught:
            source.read_pairs("all", np.array([index]))
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_split_of_named_pairs_is_there_when_all_of_them_are(tmp_path: Path) -> None:
    names = RoadScene.LAYOUTS["cddfuse-50"][0].only
    assert len(set(names)) == 50
    folders.pairs(tmp_path, "cropinfrared", "crop_LR_visible", (*names, "FLIR_extra"))
    source = RoadScene(tmp_path, strict=True)
    assert source.length("all") == 51 and source.stems("cddfuse-50") == sorted(names)
    elsewhere = RoadScene.between(tmp_path / "cropinfrared", tmp_path / "crop_LR_visible", "cddfuse-50", strict=True)
    assert elsewhere.splits == ("cddfuse-50",) and elsewhere.fingerprint("cddfuse-50") == source.fingerprint(
        "cddfuse-50"
    )
    (tmp_path / "cropinfrared" / f"{names[3]}.png").unlink()
    less = RoadScene(tmp_path)
    assert less.splits == ("all",)
    with pytest.raises(DataError, match="'cddfuse-50' of roadscene is not here"):
        less.stems("cddfuse-50")
    with pytest.raises(DataError, match=rf"1 pairs of 'cddfuse-50' are not in both folders: {names[3]}"):
        RoadScene.between(tmp_path / "cropinfrared", tmp_path / "crop_LR_visible", "cddfuse-50")


def test_tails_of_sequences(tmp_path: Path) -> None:
    for number in (7, 8):
        folders.save(tmp_path / f"sequences/Tree_sequence/thermal/{number}i.bmp", folders.picture(number, 12, 16))
        folders.save(tmp_path / f"sequences/Tree_sequence/visual/{number}v.bmp", folders.picture(number, 12, 16))
    source = Tno(tmp_path)
    assert source.splits == ("tree",) and source.stems("tree") == ["7", "8"]


def test_the_demo_has_known_bytes_and_two_different_views() -> None:
    demo = PairsDemo()
    assert demo.fingerprint("all") == "e3e6402c0ce09e5ef890ffe1ac61f31f5684e2a78a149e2d0664278e55adac8b"
    for pair in demo.read_pairs("all", np.arange(demo.length("all"))):
        a, b = pair.reshape(2, -1).astype(np.float64)
        assert a.std() > 20 and b.std() > 20 and np.corrcoef(a, b)[0, 1] < 0.95


@pytest.mark.parametrize(
    ("kind", "folder", "counts"),
    [
        (Tno, "tno", {"test": 25, "nato-camp": 12, "tree": 12, "duine": 12}),
        (RoadScene, "roadscene", {"all": 221, "cddfuse-50": 50}),
        (Msrs, "msrs", {"test": 32, "train": 4}),
        (M3fd, "m3fd", {"all": 1}),
        (Harvard, "harvard", {"mri-ct": 21, "mri-pet": 42, "mri-spect": 73}),
    ],
)
def test_published_layouts(kind: type, folder: str, counts: dict[str, int], real_data: Path) -> None:
    source = kind(real_data / folder, strict=True)
    assert {split: source.length(split) for split in source.splits} == counts
    for split in source.splits:
        (pair,) = source.read_pairs(split, FIRST)
        assert pair.shape[0] == 2 and pair.std() > 5


def _vifb(root: Path, real: Path) -> dict[str, int]:
    """The repository: input/IR and input/VI, one name in two spellings, one copy left behind by an editor."""
    names = ["carLight", "manCall", "peopleShadow", "walking2"]
    for name, stem in zip(names, ("01", "02", "03", "04"), strict=True):
        _link(real / f"tno/ir/{stem}.png", root / f"input/IR/{name}.png")
        _link(real / f"tno/vi/{stem}.png", root / f"input/VI/{name.replace('Shadow', 'shadow')}.png")
    _link(real / "tno/vi/02.png", root / "input/VI/manCall - 副本.png")
    return {"all": 4}


def _llvip(root: Path, real: Path) -> dict[str, int]:
    """infrared/ and visible/ with train/ and test/ below, numbers of six digits."""
    pictures = sorted((real / "roadscene/ir").iterdir())[:5]
    for number, path in enumerate(pictures):
        split = "test" if number < 2 else "train"
        for side, folder in (("infrared", "ir"), ("visible", "vi")):
            (found,) = (real / "roadscene" / folder).glob(f"{path.stem}.*")
            _link(found, root / side / split / f"{190001 + number}{found.suffix}")
    (root / "Annotations").mkdir()
    return {"test": 2, "train": 3}


def _roadscene(root: Path, real: Path) -> dict[str, int]:
    """cropinfrared/ and crop_LR_visible/, with the visible pictures of higher resolution beside them."""
    for path in sorted((real / "roadscene/ir").iterdir())[:6]:
        (visible,) = (real / "roadscene/vi").glob(f"{path.stem}.*")
        _link(path, root / "cropinfrared" / path.name)
        for folder in ("crop_LR_visible", "crop_HR_visible"):
            _link(visible, root / folder / visible.name)
    return {"all": 6}


def _m3fd(root: Path, real: Path) -> dict[str, int]:
    """M3FD_Fusion/ with Ir/ and Vis/."""
    for folder, name in (("ir", "Ir"), ("vi", "Vis")):
        (path,) = (real / "m3fd" / folder).iterdir()
        _link(path, root / "M3FD_Fusion" / name / path.name)
    return {"all": 1}


def _link(target: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize(("kind", "arrange"), [(Vifb, _vifb), (Llvip, _llvip), (RoadScene, _roadscene), (M3fd, _m3fd)])
def test_layouts_of_data_that_are_not_at_hand(
    kind: type[PairFolders], arrange: Callable[[Path, Path], dict[str, int]], real_data: Path, tmp_path: Path
) -> None:
    """Real pictures of other sets, arranged as these are published."""
    counts = arrange(tmp_path, real_data)
    source = kind(tmp_path)
    assert {split: source.length(split) for split in source.splits} == counts
    for split, count in counts.items():
        pairs = source.read_pairs(split, np.arange(count))
        assert all(pair.shape[0] == 2 and pair.std() > 5 for pair in pairs)
        assert len(source.fingerprint(split)) == 64
    assert list(source.missing("all")) == ["manCall - 副本"] if kind is Vifb else not source.missing(source.splits[0])
