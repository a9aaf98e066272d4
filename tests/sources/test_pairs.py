"""Published sets of pairs: their layouts, written small and on real data, and the embedded demo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fusionbench.core.errors import DataError, UsageError
from fusionbench.sources.pair_folders import PairFolders
from fusionbench.sources.pairs import Harvard, Llvip, M3fd, Msrs, PairsDemo, RoadScene, Tno, Vifb
from tests.sources import folders

FIRST = np.array([0])


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


def test_the_colours_of_the_demo_have_the_luma_of_its_second_view() -> None:
    demo, chosen = PairsDemo(), np.array([2, 0])
    colours = demo.colours("all", chosen)
    assert colours.dtype == np.uint8 and np.ptp(colours.astype(int), axis=3).mean() > 20
    for rgb, pair in zip(colours, demo.read_pairs("all", chosen), strict=True):
        assert np.abs(rgb @ np.array([0.299, 0.587, 0.114]) - pair[1]).max() <= 1
    with pytest.raises(UsageError, match="Unknown split"):
        demo.colours("test", chosen)


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
