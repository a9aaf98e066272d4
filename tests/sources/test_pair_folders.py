"""Pairs by stem: what is paired, what is left out and reported, what is refused, and how values are read."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionbench.core.errors import DataError, UsageError
from fusionbench.core.image_ranges import Ranges
from fusionbench.sources.digits import Digits
from fusionbench.sources.pair_folders import Layout, PairFolders, name_range_options, range_arguments
from fusionbench.sources.pairs import Pairs, RoadScene
from tests.sources import folders


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


class Night(PairFolders):
    """Two splits, one of which may lie in two places, with tails."""

    name = "night"
    LAYOUTS = {  # noqa: RUF012
        "test": (Layout("test/ir", "test/vi"), Layout("T/A", "T/B", "_a", "_b")),
        "few": (Layout("test/ir", "test/vi", only=("x3", "01")),),
    }


def test_a_split_is_taken_from_the_first_place_that_is_there(tmp_path: Path) -> None:
    for stem in ("p", "q"):
        folders.save(tmp_path / f"T/A/{stem}_a.png", folders.picture(1, 12, 16, grey=True))
        folders.save(tmp_path / f"T/B/{stem}_b.bmp", folders.picture(2, 12, 16))
    source = Night(tmp_path)
    assert source.splits == ("test",) and source.stems("test") == ["p", "q"]
    folders.pairs(tmp_path, "test/ir", "test/vi")
    source = Night(tmp_path, strict=True)
    assert source.splits == ("test", "few") and source.stems("test") == ["01", "02", "x3"]
    assert source.stems("few") == ["01", "x3"] and source.length("few") == 2
    assert source.fixed("few") == "2 pairs by name" and source.fixed("test") == ""
    assert source.names("few") == ["01", "x3"] and source.labels("test") is None
    assert source.paths("few", 1) == (tmp_path / "test/ir/x3.png", tmp_path / "test/vi/x3.bmp")
    with pytest.raises(UsageError, match="Unknown split of night"):
        source.stems("tset")
    (tmp_path / "test/ir/x3.png").unlink()
    with pytest.raises(DataError, match="the split 'few' of night is not here, or not all of it"):
        Night(tmp_path).stems("few")


def test_a_folder_with_none_of_the_layouts_names_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pairs here; looked for test/ir/ and test/vi/ or T/A/ and T/B/"):
        Night(tmp_path)
    (tmp_path / "T/A").mkdir(parents=True)
    folders.save(tmp_path / "T/A/p.png", folders.picture(1, 12, 16))
    (tmp_path / "T/B").mkdir()
    with pytest.raises(DataError, match=r"A: no image here has a stem that ends in '_a' \(p, …\)"):
        Night(tmp_path)


def test_two_folders_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.pairs(tmp_path, "one/deep", "two")
    monkeypatch.chdir(tmp_path)
    source = Pairs.between("one/deep", tmp_path / "two", "all")
    assert source.root == tmp_path and source.splits == ("all",)
    assert source.files("all")["02"] == (tmp_path / "one/deep/02.png", tmp_path / "two/02.bmp")
    same = Pairs(folders.pairs(tmp_path / "again", "a", "b"))
    assert source.fingerprint("all") == same.fingerprint("all"), "the place is no part of the fingerprint"
    with pytest.raises(UsageError, match="Unknown split of pairs"):
        Pairs.between("one/deep", "two", "al")


def test_the_fingerprint_is_over_names_and_decoded_pixels(tmp_path: Path) -> None:
    source = Pairs(folders.pairs(tmp_path, "a", "b"))
    pairs = source.read_pairs("all", np.arange(3))
    state = hashlib.sha256()
    for stem, pair in zip(["01", "02", "x3"], pairs, strict=True):
        state.update(f"{stem} (2, 12, 16) ".encode() + pair.tobytes())
    assert source.fingerprint("all") == Pairs.fingerprint_of(source.stems("all"), pairs) == state.hexdigest()
    assert Pairs.fingerprint_of(["01", "02", "x4"], pairs) != state.hexdigest()
    grey = np.asarray(Image.open(tmp_path / "a/02.png"))
    folders.save(tmp_path / "a/02.bmp", grey)  # another file with the same pixels
    (tmp_path / "a/02.png").unlink()
    assert Pairs(tmp_path).fingerprint("all") == state.hexdigest()


def test_all_pairs_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b")
    for name in ("a/01.png", "b/x3.bmp"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(DataError, match="2 of 3 pairs of 'all' cannot be used") as caught:
        Pairs(tmp_path).fingerprint("all")
    assert "01.png" in str(caught.value) and "x3.bmp" in str(caught.value) and "\n" not in str(caught.value)


def test_views_of_one_size_and_their_second(tmp_path: Path) -> None:
    source = Pairs(folders.pairs(tmp_path, "a", "b"))
    views = source.views("all", np.array([2, 0]))
    assert views.shape == (2, 2, 12, 16, 1) and views.dtype == np.uint8
    assert np.array_equal(views[..., 0], np.stack(source.read_pairs("all", np.array([2, 0]))))
    assert np.array_equal(source.read("all", np.array([2, 0])), views[:, 1])
    assert source.views("all", np.array([], np.int64)).shape == (0, 2, 1, 1, 1)


def test_ranges_are_found_once_in_all_images_of_a_split(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b", ("01", "02"))
    deep = [np.linspace(0, top, 12 * 16).reshape(12, 16).astype(np.uint16) for top in (900, 3900)]  # up to 12 bits
    for stem, pixels in zip(("01", "02"), deep, strict=True):
        folders.save(tmp_path / f"a/{stem}.png", pixels)
    with pytest.raises(DataError, match="--range-a"):
        Pairs(tmp_path).read_pairs("all", np.array([0]))
    source = Pairs(tmp_path, ranges=Ranges.parse("auto", None))
    assert source.ranges_of("all").texts() == {"a": "12bit"} and source.ranges_of("all") is source.ranges_of("all")
    pair = source.read_pairs("all", np.array([0]))[0]
    assert np.array_equal(pair[0], np.rint(deep[0].astype(np.float64) * 255 / 4095))
    assert np.array_equal(pair[1], Pairs(tmp_path, ranges=Ranges.parse("12bit", None)).read_pairs("all", [0])[0][1])
    with pytest.raises(UsageError):
        source.ranges_of("al")


def test_only_folders_of_images_take_ranges(tmp_path: Path) -> None:
    wanted = Ranges.parse("12bit", None)
    assert range_arguments(RoadScene, "roadscene", wanted) == {"ranges": wanted}
    assert range_arguments(RoadScene, "roadscene", Ranges()) == range_arguments(Digits, "digits", Ranges()) == {}
    for other in (Digits, lambda root: None):
        with pytest.raises(UsageError, match="'x' reads no folders of image files: it takes no ranges"):
            range_arguments(other, "x", wanted)


def test_messages_call_the_ranges_as_their_caller_does(tmp_path: Path) -> None:
    folders.pairs(tmp_path, "a", "b", ("01",))
    folders.save(tmp_path / "a/01.png", np.arange(192, dtype=np.uint16).reshape(12, 16) * 10)
    source = Pairs(tmp_path)
    name_range_options(source, "--left", "--right")
    with pytest.raises(DataError, match="say what they mean with --left 12bit, "):
        source.read_pairs("all", np.array([0]))
    digits = Digits()
    name_range_options(digits, "--left", "--right")
    assert not hasattr(digits, "options")
